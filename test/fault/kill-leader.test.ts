import { afterEach, describe, expect, it } from 'vitest';
import { expectAllDone, startWorker } from '../support/jobs.js';
import { Load } from '../support/load.js';
import { RealCluster } from '../support/real-cluster.js';

/**
 * Goal: killing the leader loses no accepted job (docs/guarantees.md, promise 1 and 3). Submissions flow through all
 * three nodes while each node in turn is the leader and is killed; afterwards every acknowledged job completes, every
 * node knows it, and the replicas agree.
 */
describe('the leader is killed while submissions flow', () => {
  let cluster: RealCluster;
  afterEach(async () => {
    await cluster.remove();
  });

  it('loses no acknowledged job, whichever node leads', async () => {
    cluster = await RealCluster.start();
    const clients = cluster.nodes.map((node) => cluster.client({ only: node.name }));
    const failover = cluster.nodes.map(() => cluster.client());
    const load = new Load([...clients, ...failover], 'reverse', 8);
    await load.reached(500);
    const gaps: number[] = [];
    const led = new Set<string>();
    for (let round = 0; led.size < cluster.nodes.length && round < 12; round++) {
      const wanted = cluster.nodes.find((node) => !led.has(node.name))!;
      const one = cluster.client();
      if ((await cluster.leader()) !== wanted)
        await one.cluster.transferLeadership(wanted.name).catch(() => {});
      await one.close();
      const leader = await cluster.leader();
      led.add(leader.name);
      const gone = leader.end('SIGKILL');
      const killed = performance.now();
      gaps.push((await load.next(killed)) - killed);
      await gone;
      await load.reached(load.acknowledged.length + 500);
      leader.start();
      await cluster.ready();
    }
    await load.stop();
    for (const client of [...clients, ...failover]) await client.close();
    console.log(
      `next acknowledgement after each kill: ${gaps.map((ms) => `${ms.toFixed(0)} ms`).join(', ')}`,
    );
    expect(led.size).toBe(3);
    const worker = await startWorker(cluster, 'reverse');
    await expectAllDone(cluster, load.acknowledged);
    await worker.stop();
    await cluster.agreedHash();
  });

  it('loses nothing when all nodes are killed at the same instant', async () => {
    cluster = await RealCluster.start();
    const client = cluster.client();
    const load = new Load([client], 'reverse', 64);
    await load.reached(2_000);
    await Promise.all(cluster.nodes.map((node) => node.end('SIGKILL')));
    for (const node of cluster.nodes) node.start();
    await cluster.ready();
    await load.reached(load.acknowledged.length + 100);
    await load.stop();
    await client.close();
    const worker = await startWorker(cluster, 'reverse');
    await expectAllDone(cluster, load.acknowledged);
    await worker.stop();
    await cluster.agreedHash();
  });
});
