import { Worker } from '../../../src/worker/index.js';

/**
 * Workers that do nothing, in a process of their own. Takes one order, says `ready`, then works. Asked for anything, it
 * answers with the number of jobs it has worked.
 */
export interface WorkOrder {
  readonly endpoints: readonly string[];
  /** All of them can do all of these functions. */
  readonly functions: readonly string[];
  readonly sessions: number;
  readonly credits: number;
}

let worked = 0;

process.once('message', (order: WorkOrder) => {
  void open(order).then(() => {
    process.on('message', () => process.send?.(worked));
    process.send?.('ready');
  });
});
process.on('disconnect', () => process.exit(0));

async function open({ endpoints, functions, sessions, credits }: WorkOrder): Promise<void> {
  for (let i = 0; i < sessions; i++) {
    const first = endpoints[i % endpoints.length]!;
    const worker = new Worker({
      endpoints: [first, ...endpoints.filter((one) => one !== first)],
      order: 'listed',
      concurrency: credits,
      name: `bench-${i}`,
    });
    for (const fn of functions) {
      worker.handle(fn, () => {
        worked++;
      });
    }
    await worker.start();
  }
}
