import { afterEach, describe, expect, it } from 'vitest';
import { expectAllDone, startWorker } from '../support/jobs.js';
import { expectHonestFailures, Load } from '../support/load.js';
import { RealCluster } from '../support/real-cluster.js';

/**
 * Goal: "An acknowledged submission is on disk" (docs/guarantees.md, promise 1) holds for a node that is alone as well:
 * it is its own majority, and what it acknowledged it still knows after a SIGKILL.
 */
const TIMES = 3;

describe('a node without others', () => {
  let cluster: RealCluster;
  afterEach(async () => {
    await cluster.remove();
  });

  it('knows every acknowledged job after it was killed in the middle of submissions', async () => {
    // Small, so that it restores snapshots as well as log.
    cluster = await RealCluster.start({ nodes: 1, flags: ['--snapshot-log-bytes', String(2 ** 20)] });
    const [node] = cluster.nodes;
    const clients = [cluster.client(), cluster.client()];
    const load = new Load(clients, 'reverse', 32);
    for (let time = 0; time < TIMES; time++) {
      await load.more(2_000);
      const term = (await cluster.info()).term;
      expect(await node!.end('SIGKILL')).toBeNull();
      node!.start();
      await node!.ready();
      expect((await cluster.info()).term).toBeGreaterThan(term);
    }
    await load.more(100);
    await load.stop();
    for (const client of clients) await client.close();
    await expectHonestFailures(cluster, load);
    const worker = await startWorker(cluster, 'reverse');
    await expectAllDone(cluster, load.acknowledged);
    await worker.stop();
    await cluster.agreedHash();
  });
});
