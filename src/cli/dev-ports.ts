import { once } from 'node:events';
import { createServer } from 'node:net';

const HOST = '127.0.0.1';

/** Whether this process could listen on the port now; otherwise why not. */
export async function whyNotFree(port: number): Promise<string | null> {
  const probe = createServer();
  try {
    probe.listen(port, HOST);
    await once(probe, 'listening');
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  probe.close();
  await once(probe, 'close');
  return null;
}

/** The first base port from `from` on with which every port of a dev cluster of `nodes` is free; null: none. */
export async function freeBasePort(nodes: number, from: number): Promise<number | null> {
  for (let base = from; base + 10 * nodes < 32_768; base += 10 * nodes) {
    let free = true;
    for (let i = 0; i < nodes && free; i++) {
      for (let offset = 0; offset < 4 && free; offset++) {
        free = (await whyNotFree(base + 10 * i + offset)) === null;
      }
    }
    if (free) return base;
  }
  return null;
}
