/**
 * The worker of Gearmesh: do jobs, from Node.js.
 *
 * @example
 * import { NonRetryableError, Worker } from 'gearmesh/worker';
 *
 * const worker = new Worker({ endpoints: ['n1:7730', 'n2:7730', 'n3:7730'], concurrency: 16 });
 *
 * worker.handle('reverse', (job) => [...job.text()].reverse().join(''));
 *
 * worker.handle('import', async (job, ctx) => {
 *   const { url } = job.json<{ url?: string }>();
 *   if (url === undefined) throw new NonRetryableError('no url');
 *   const answer = await fetch(url, { signal: ctx.signal }); // ends when the job is cancelled or its lease is lost
 *   ctx.progress(1, 2, 'fetched');
 *   return { status: answer.status };
 * }, { concurrency: 4, runTimeoutMs: 60_000 });
 *
 * await worker.start();
 * process.once('SIGTERM', () => worker.stop({ timeoutMs: 20_000 }));
 *
 * @module gearmesh/worker
 */
export { GearmeshError } from '../client/errors.js';
export type { JsonValue, PayloadInput, PayloadStream } from '../client/payload.js';
export { JobAbortedError, NonRetryableError, RetryAfter } from './errors.js';
export type { Job, JobContext } from './job.js';
export type {
  HandleOptions,
  Handler,
  JobReport,
  SessionReport,
  StopOptions,
  WorkerEvents,
  WorkerOptions,
} from './types.js';
export { Worker } from './worker.js';
