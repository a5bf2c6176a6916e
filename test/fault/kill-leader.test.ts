import { afterEach, describe, expect, it } from 'vitest';
import { expectAllDone, startWorker } from '../support/jobs.js';
import { expectHonestFailures, Load } from '../support/load.js';
import { RealCluster } from '../support/real-cluster.js';

/**
 * Goal: killing the leader loses no accepted job (docs/guarantees.md, promise 1 and 3). Submissions flow through all
 * three nodes, and a worker takes some of them, while each node in turn is the leader and is killed, twice; afterwards
 * every acknowledged job completes, every node knows it, what failed says the truth, and the replicas agree.
 */
const TIMES = 2;

describe('the leader is killed while submissions flow', () => {
  let cluster: RealCluster;
  afterEach(async () => {
    await cluster.remove();
  });

  it('loses no acknowledged job, whichever node leads', async () => {
    cluster = await RealCluster.start();
    const clients = cluster.nodes.map((node) => cluster.client({ only: node.name }));
    const failover = cluster.nodes.map((_, i) => cluster.client({ order: i === 0 ? 'leader' : 'random' }));
    const load = new Load([...clients, ...failover], 'reverse', 8);
    await load.reached(500);
    const worker = await startWorker(cluster, 'reverse');
    const gaps: number[] = [];
    const led = new Map(cluster.nodes.map((node) => [node.name, 0]));
    const fewest = (): number => Math.min(...led.values());
    for (let round = 0; fewest() < TIMES && round < 12 * TIMES; round++) {
      const wanted = cluster.nodes.find((node) => led.get(node.name) === fewest())!;
      const one = cluster.client();
      if ((await cluster.leader()) !== wanted)
        await one.cluster.transferLeadership(wanted.name).catch(() => {});
      await one.close();
      const leader = await cluster.leader();
      led.set(leader.name, led.get(leader.name)! + 1);
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
    await expectHonestFailures(cluster, load);
    console.log(
      `next acknowledgement after each kill: ${gaps.map((ms) => `${ms.toFixed(0)} ms`).join(', ')}`,
    );
    expect(fewest()).toBeGreaterThanOrEqual(TIMES);
    await expectAllDone(cluster, load.acknowledged);
    await worker.stop();
    await cluster.agreedHash();
  });

  it('loses nothing when all nodes are killed at the same instant', async () => {
    cluster = await RealCluster.start();
    const clients = [...cluster.nodes.map((node) => cluster.client({ only: node.name })), cluster.client()];
    const load = new Load(clients, 'reverse', 16);
    const worker = await startWorker(cluster, 'reverse');
    for (let time = 0; time < TIMES; time++) {
      await load.more(2_000);
      await Promise.all(cluster.nodes.map((node) => node.end('SIGKILL')));
      for (const node of cluster.nodes) node.start();
      await cluster.ready();
      await load.more(100);
    }
    await load.stop();
    for (const client of clients) await client.close();
    await expectHonestFailures(cluster, load);
    await expectAllDone(cluster, load.acknowledged);
    await worker.stop();
    await cluster.agreedHash();
  });
});
