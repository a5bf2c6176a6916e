import { Client } from '../../src/client/index.js';
import { Worker } from '../../src/worker/index.js';
import { type RealCluster, until } from './real-cluster.js';

const DONE_MS = 60_000;
const BATCH = 1_000;

/** Submits so many jobs, in batches; returns their ids. */
export async function submitMany(
  client: Client,
  fn: string,
  count: number,
  payloadOf: (i: number) => string,
  delayMs?: number,
): Promise<string[]> {
  const ids: string[] = [];
  while (ids.length < count) {
    const jobs = Array.from({ length: BATCH }, (_, i) => ({
      function: fn,
      payload: payloadOf(ids.length + i),
      delayMs,
    }));
    for (const result of await client.submitMany(jobs)) {
      if (result instanceof Error) throw result;
      ids.push(result.jobId);
    }
  }
  return ids;
}

/** A worker that reverses the payload's text. */
export async function startWorker(cluster: RealCluster, fn: string): Promise<Worker> {
  const worker = new Worker({ endpoints: cluster.endpoints, concurrency: 64 });
  worker.handle(fn, (job) => [...job.text()].reverse().join(''));
  await worker.start();
  return worker;
}

/** Every running node knows every one of these jobs, and each of them succeeded. */
export async function expectAllDone(cluster: RealCluster, ids: readonly string[]): Promise<void> {
  for (const node of cluster.nodes.filter((one) => one.running)) {
    const client = new Client({ endpoints: node.grpc });
    try {
      // Cheap to ask again and again; the jobs themselves are looked at once.
      await until(DONE_MS, async () => {
        const queues = await client.queues.list();
        return queues.every(({ waiting, running }) => waiting.normal + running === 0);
      }).catch(() => {});
      const states = new Map<string, string>();
      for await (const job of client.list({ pageSize: 1_000 })) states.set(job.id, job.state);
      const missing = ids.filter((id) => states.get(id) !== 'succeeded');
      if (missing.length === 0) continue;
      const shown = missing.slice(0, 5).map((id) => `${id} ${states.get(id) ?? 'unknown'}`);
      throw new Error(
        `${missing.length} of ${ids.length} jobs not done at ${node.name}: ${shown.join(', ')}, …`,
      );
    } finally {
      await client.close();
    }
  }
}
