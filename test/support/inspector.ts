import { once } from 'node:events';
import { WebSocket } from 'ws';
import { type RealNode, until } from './real-cluster.js';

const WAIT_MS = 10_000;

/** Environment of nodes whose collector is to be run; any port does. */
export const INSPECTABLE = { NODE_OPTIONS: '--inspect-port=127.0.0.1:0' };

/** Bytes of memory that a node holds after its garbage was collected; by what Node.js offers to debuggers. */
export async function residentAfterCollection(node: RealNode): Promise<number> {
  const address = (): string | undefined => /Debugger listening on (ws:\S+)/.exec(node.log())?.[1];
  if (address() === undefined) node.signal('SIGUSR1');
  await until(WAIT_MS, () => address() !== undefined);
  const socket = new WebSocket(address()!);
  await once(socket, 'open');
  try {
    const answered = once(socket, 'message');
    socket.send(JSON.stringify({ id: 1, method: 'HeapProfiler.collectGarbage' }));
    await answered;
    return node.residentBytes();
  } finally {
    socket.close();
    await once(socket, 'close');
  }
}
