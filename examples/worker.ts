/**
 * A worker. It looks for primes, says how far it is, sends on what it finds, and ends early when the job is cancelled
 * or its lease is lost. SIGTERM or Ctrl-C lets what runs finish; what takes too long goes back to its queue.
 *
 *     node dist/examples/worker.js
 */
import { setImmediate as breathe } from 'node:timers/promises';
import { NonRetryableError, Worker } from 'gearmesh/worker';

/** Name all nodes: then the worker goes on with the same jobs when one of them dies. */
const endpoints = process.env.GEARMESH_ENDPOINT ?? '127.0.0.1:7730,127.0.0.1:7740,127.0.0.1:7750';
const SLICE = 50_000;

const worker = new Worker({ endpoints, concurrency: 4 });

worker.handle('primes', async (job, ctx) => {
  const { below } = job.json<{ below: number }>();
  if (!(below >= 2 && below <= 1e9)) {
    // Another attempt would not help. Any other error is tried again, as the job's retry policy says.
    throw new NonRetryableError(`below: ${below} is not a number from 2 to 1,000,000,000`, {
      code: 'BAD_INPUT',
    });
  }
  let count = 0;
  for (let from = 2; from < below; from += SLICE) {
    // Throws when nobody wants the result any more; `ctx.signal.reason.kind` says why.
    ctx.signal.throwIfAborted();
    const to = Math.min(from + SLICE, below);
    const found = primes(from, to);
    count += found.length;
    ctx.progress(to, below, `${count} found`);
    await ctx.data(`${found.join(' ')}\n`);
    await breathe();
  }
  // Kept with the job, and given to whoever waits for it.
  return { below, count };
});

function primes(from: number, to: number): number[] {
  const found: number[] = [];
  for (let n = from; n < to; n++) {
    let d = 2;
    while (d * d <= n && n % d !== 0) d++;
    if (d * d > n) found.push(n);
  }
  return found;
}

worker.on('session', ({ type, node }) => console.log(`session ${type}${node === '' ? '' : ` at ${node}`}`));
worker.on('job', ({ type, jobId, error }) =>
  console.log(`${jobId} ${type}${error ? `: ${error.message}` : ''}`),
);
worker.on('error', (error) => console.error(error.message));

await worker.start();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => worker.stop());
