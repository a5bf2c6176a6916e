import { once } from 'node:events';
import { WebSocket } from 'ws';
import { type RealNode, until } from './real-cluster.js';

const WAIT_MS = 10_000;

/** Environment of nodes whose collector is to be run; any port does. */
export const INSPECTABLE = { NODE_OPTIONS: '--inspect-port=127.0.0.1:0' };

export interface Memory {
  /** Bytes that the process has from the system: also what its allocator keeps in hand after a peak. */
  readonly resident: number;
  /** Bytes of objects and buffers that something in the process still refers to. */
  readonly live: number;
}

/** The memory of a node after its garbage was collected; by what Node.js offers to debuggers. */
export async function memoryAfterCollection(node: RealNode): Promise<Memory> {
  const address = (): string | undefined => /Debugger listening on (ws:\S+)/.exec(node.log())?.[1];
  if (address() === undefined) node.signal('SIGUSR1');
  await until(WAIT_MS, () => address() !== undefined);
  const socket = new WebSocket(address()!);
  await once(socket, 'open');
  try {
    const ask = async (method: string, params: object = {}): Promise<unknown> => {
      const answered = once(socket, 'message');
      socket.send(JSON.stringify({ id: 1, method, params }));
      const [message] = (await answered) as [Buffer];
      return JSON.parse(message.toString());
    };
    // What finalizers of the first collection let go of is garbage for the second.
    for (let time = 0; time < 2; time++) await ask('HeapProfiler.collectGarbage');
    const expression = '(({ heapUsed, external }) => heapUsed + external)(process.memoryUsage())';
    const answer = (await ask('Runtime.evaluate', { expression })) as {
      result: { result: { value: number } };
    };
    return { resident: node.residentBytes(), live: answer.result.result.value };
  } finally {
    socket.close();
    await once(socket, 'close');
  }
}
