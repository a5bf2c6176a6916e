import { Worker } from '../../../src/worker/index.js';
import { type Places, placed } from '../places.js';

/**
 * Workers that do nothing, in a process of their own. Told to open some it says `ready` when they work, told to close
 * them it says `closed`; asked for the count, it answers with the number of jobs that it has worked.
 */
export interface WorkOrder {
  readonly endpoints: readonly string[];
  readonly places: Places;
  /** All of them can do all of these functions. */
  readonly functions: readonly string[];
  readonly sessions: number;
  readonly credits: number;
}

export type WorkRequest =
  | { readonly kind: 'open'; readonly order: WorkOrder }
  | { readonly kind: 'close' }
  | { readonly kind: 'count' };

let worked = 0;
let workers: Worker[] = [];

process.on('message', (request: WorkRequest) => {
  if (request.kind === 'count') process.send?.(worked);
  else if (request.kind === 'open') void open(request.order).then(() => process.send?.('ready'));
  else void close().then(() => process.send?.('closed'));
});
process.on('disconnect', () => process.exit(0));

async function open({ endpoints, places, functions, sessions, credits }: WorkOrder): Promise<void> {
  for (let i = 0; i < sessions; i++) {
    const worker = new Worker({
      ...placed(endpoints, i, places),
      concurrency: credits,
      name: `bench-${i}`,
    });
    for (const fn of functions) {
      worker.handle(fn, () => {
        worked++;
      });
    }
    workers.push(worker);
    await worker.start();
  }
}

async function close(): Promise<void> {
  const open = workers;
  workers = [];
  await Promise.all(open.map((worker) => worker.stop()));
}
