/**
 * Background jobs: submit many, let nobody wait for them, look at them later, cancel one. Needs examples/worker.ts.
 *
 *     node dist/examples/background.js
 */
import { Client, GearmeshError, JobCancelledError } from 'gearmesh/client';

const endpoints = process.env.GEARMESH_ENDPOINT ?? '127.0.0.1:7730,127.0.0.1:7740,127.0.0.1:7750';
const client = new Client({ endpoints });

try {
  // All that is submitted in one turn of the event loop travels together; each promise resolves once its job is on
  // disk on a majority of the nodes. The SDK repeats a submission with the same job id, so that none runs twice.
  const jobs = Array.from({ length: 20 }, (_, i) =>
    client.submit(
      'primes',
      { below: 1_000 * (i + 1) },
      { priority: 'low', retry: { maxAttempts: 3, initialBackoffMs: 500 }, resultRetentionMs: 600_000 },
    ),
  );
  const ids = (await Promise.all(jobs)).map((job) => job.jobId);
  console.log(`${ids.length} jobs accepted`);

  // While a job with the key waits or runs, submitting answers with that job instead of making another.
  const key = { uniqueKey: 'the long one', metadata: { why: 'an example' } };
  const long = await client.submit('primes', { below: 1e9 }, key);
  const again = await client.submit('primes', { below: 1e9 }, key);
  console.log(`the long one: ${long.disposition}, then ${again.disposition}`);

  // Not before its time; and a job can be looked at whenever one likes, through any node.
  const later = await client.submit('primes', { below: 10 }, { delayMs: 3_600_000 });
  console.log(`in an hour: ${(await client.get(later.jobId)).state}`);
  await client.cancel(later.jobId);

  await client.cancel(long.jobId, { reason: 'nobody needs it', graceMs: 5_000 });
  const end = await client.watch(long.jobId).result.catch((error: unknown) => error);
  console.log(end instanceof JobCancelledError ? 'the long one is cancelled' : `unexpected: ${end}`);

  const results = await Promise.all(ids.map((id) => client.watch(id).result));
  const last = await results.at(-1)?.json<{ below: number; count: number }>();
  console.log(`${results.length} jobs done; the last one found ${last?.count} primes below ${last?.below}`);
} catch (error) {
  // NOT_APPLIED: nothing happened. UNKNOWN: it may have; submitting again with the same id is safe.
  if (error instanceof GearmeshError) console.error(`${error.reason}, ${error.outcome}: ${error.message}`);
  throw error;
} finally {
  await client.close();
}
