import { afterEach, describe, expect, it } from 'vitest';
import { Worker } from '../../src/worker/index.js';
import { expectAllDone, submitMany } from '../support/jobs.js';
import { parseMetrics } from '../support/prometheus.js';
import { RealCluster, type RealNode, until } from '../support/real-cluster.js';

/**
 * Goal: a queue that memory has no room for is as safe as another one (docs/guarantees.md, promise 1): jobs on disk come
 * back with what they carry, at every node, also after one was killed and made its state anew.
 */
const MIB = 2 ** 20;
const LIST_PAGE = 1_000;
const JOBS = 30_000;
const READY_MS = 60_000;
const WORK_MS = 120_000;
/** Some payloads lie in snapshots apart from their page. */
const LONG_EVERY = 100;
const LONG = 'x'.repeat(2_000);

const payloadOf = (i: number): string => `payload ${i}${i % LONG_EVERY === 0 ? LONG : ''}`;

async function spilled(node: RealNode): Promise<number> {
  return parseMetrics(await node.text('/metrics')).value('gearmesh_spilled_jobs') ?? 0;
}

describe('a queue larger than memory', () => {
  let cluster: RealCluster;
  afterEach(async () => {
    await cluster.remove();
  });

  it('loses nothing when nodes are killed, and is worked off in its order', async () => {
    cluster = await RealCluster.start({
      flags: [
        ...['--jobs-memory-bytes', String(MIB), '--snapshot-log-bytes', String(2 * MIB)],
        ...['--keep-log-bytes', String(MIB), '--log-memory-bytes', String(MIB)],
      ],
    });
    const client = cluster.client();
    const ids = await submitMany(client, 'deep', JOBS, payloadOf);
    for (const node of cluster.nodes) expect(await spilled(node)).toBeGreaterThan(JOBS / 2);

    const leader = await cluster.leader();
    await leader.end('SIGKILL');
    leader.start();
    await until(READY_MS, async () => (await leader.probe('/readyz')) === 200);
    expect(await spilled(leader)).toBeGreaterThan(JOBS / 2);
    expect((await client.get(ids[1]!)).state).toBe('queued');

    let listed = 0;
    for await (const _job of client.list({ pageSize: LIST_PAGE })) listed++;
    expect(listed).toBe(JOBS);
    for (const node of cluster.nodes) {
      await until(READY_MS, async () => (await spilled(node)) > JOBS / 2);
    }

    const seen: number[] = [];
    const worker = new Worker({ endpoints: cluster.endpoints, concurrency: 64 });
    const places = new Map(ids.map((id, i) => [id, i]));
    worker.handle('deep', (job) => {
      const i = places.get(job.id)!;
      if (job.text() !== payloadOf(i)) throw new Error(`job ${i} came with another payload`);
      seen.push(i);
    });
    await worker.start();
    await until(WORK_MS, async () => seen.length >= JOBS);
    await worker.stop();
    expect(seen).toEqual(ids.map((_, i) => i));
    await expectAllDone(cluster, ids);
    await cluster.agreedHash();
  });
});
