/**
 * A foreground job: submit it, follow its progress and data, and get its result. Needs examples/worker.ts.
 *
 *     node dist/examples/foreground.js
 */
import { Client, JobFailedError } from 'gearmesh/client';

const endpoints = process.env.GEARMESH_ENDPOINT ?? '127.0.0.1:7730,127.0.0.1:7740,127.0.0.1:7750';
const client = new Client({ endpoints });

try {
  // Should the node die meanwhile, following goes on through another one.
  const run = client.run('primes', { below: 1_000_000 });
  let primes = 0;
  for await (const event of run) {
    switch (event.type) {
      case 'accepted':
        console.log(`accepted as ${event.jobId}: on disk on a majority of the nodes`);
        break;
      case 'started':
        console.log(`attempt ${event.attempt} runs at ${event.worker}`);
        break;
      case 'progress':
        console.log(`${Math.round((100 * event.numerator) / event.denominator)} %, ${event.message}`);
        break;
      case 'data':
        primes += Buffer.from(event.chunk).toString().trim().split(' ').length;
        break;
      case 'gap':
        // Data is live only. What was lost on the way is named, never left out in silence.
        console.log(`chunks ${event.from} to ${event.to} were lost on the way`);
        break;
    }
  }
  const result = await (await run.result).json<{ below: number; count: number }>();
  console.log(`${result.count} primes below ${result.below}, ${primes} of them seen on the way`);

  // One that fails: the promise says what the worker said.
  await client.run('primes', { below: -1 }).result.catch((error: unknown) => {
    if (!(error instanceof JobFailedError)) throw error;
    console.log(`failed as expected: ${error.message}`);
  });
} finally {
  await client.close();
}
