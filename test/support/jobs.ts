import { expect } from 'vitest';
import { Client } from '../../src/client/index.js';
import { Worker } from '../../src/worker/index.js';
import { type RealCluster, until } from './real-cluster.js';

const DONE_MS = 60_000;

/** A worker that reverses the payload's text. */
export async function startWorker(cluster: RealCluster, fn: string): Promise<Worker> {
  const worker = new Worker({ endpoints: cluster.endpoints, concurrency: 64 });
  worker.handle(fn, (job) => [...job.text()].reverse().join(''));
  await worker.start();
  return worker;
}

/** Every node knows every job, and each of them succeeded. */
export async function expectAllDone(cluster: RealCluster, ids: readonly string[]): Promise<void> {
  for (const node of cluster.nodes.filter((one) => one.running)) {
    const client = new Client({ endpoints: node.grpc });
    try {
      let states = new Map<string, string>();
      await until(DONE_MS, async () => {
        states = new Map();
        for await (const job of client.list({ pageSize: 1_000 })) states.set(job.id, job.state);
        return ids.every((id) => states.get(id) === 'succeeded');
      }).catch((error: unknown) => {
        const missing = ids.filter((id) => states.get(id) !== 'succeeded');
        const shown = missing.slice(0, 5).map((id) => `${id} ${states.get(id) ?? 'unknown'}`);
        throw new Error(
          `${missing.length} of ${ids.length} jobs not done at ${node.name}: ${shown.join(', ')} (${error})`,
        );
      });
      expect(ids.filter((id) => !states.has(id))).toEqual([]);
    } finally {
      await client.close();
    }
  }
}
