import { Client } from '../../../src/client/index.js';
import { type Places, placed } from '../places.js';

/**
 * Submits at a steady pace, in a process of its own: takes one order (PaceOrder), says `ready` when the pace is held,
 * and on the next message stops, waits for what is open, and answers with a PaceResult.
 */
export interface PaceOrder {
  readonly endpoints: readonly string[];
  readonly places: Places;
  readonly fn: string;
  readonly payloadBytes: number;
  readonly perSecond: number;
  readonly connections: number;
}

export interface PaceResult {
  readonly accepted: number;
  /** What the pace asked for. */
  readonly due: number;
  readonly seconds: number;
  /** Of each submission: when it left, wall clock (milliseconds since 1970), and how long it waited. */
  readonly at: readonly number[];
  readonly waits: readonly number[];
}

const TICK_MS = 1;
/** Of a pace that cannot be held, so much waits at most, seconds; the rest is left out, and shows as what was not held. */
const OPEN_SECONDS = 1;

process.once('message', (order: PaceOrder) => {
  void pace(order);
});
process.on('disconnect', () => process.exit(0));

async function pace(order: PaceOrder): Promise<void> {
  const { endpoints, places, fn, perSecond } = order;
  const clients = Array.from(
    { length: order.connections },
    (_, i) => new Client(placed(endpoints, i, places)),
  );
  const payload = Buffer.alloc(order.payloadBytes, 'x');
  const at: number[] = [];
  const waits: number[] = [];
  let sent = 0;
  let open = 0;
  const began = performance.now();
  const submit = async (client: Client): Promise<void> => {
    const from = performance.now();
    await client.submit(fn, payload);
    open--;
    at.push(performance.timeOrigin + from);
    waits.push(performance.now() - from);
  };
  const failed = (error: Error): never => {
    throw error;
  };
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - began) / 1_000) * perSecond);
    // What one tick owes goes out through one connection, as that of one caller would: batches by themselves.
    const client = clients[sent % clients.length]!;
    while (sent < due && open < perSecond * OPEN_SECONDS) {
      sent++;
      open++;
      submit(client).catch(failed);
    }
  }, TICK_MS);
  process.send?.('ready');
  process.once('message', () => {
    clearInterval(timer);
    const seconds = (performance.now() - began) / 1_000;
    void Promise.all(clients.map((client) => client.close())).then(() => {
      if (open !== 0) throw new Error(`${open} submissions of ${sent} were not answered`);
      const result: PaceResult = {
        accepted: waits.length,
        due: Math.floor(seconds * perSecond),
        seconds,
        at,
        waits,
      };
      process.send?.(result, () => process.exit(0));
    });
  });
}
