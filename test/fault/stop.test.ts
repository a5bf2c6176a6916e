import { afterEach, describe, expect, it } from 'vitest';
import { type SessionReport, Worker } from '../../src/worker/index.js';
import { Gate } from '../support/gate.js';
import { expectAllDone, startWorker } from '../support/jobs.js';
import { Load } from '../support/load.js';
import { RealCluster, until } from '../support/real-cluster.js';

/**
 * Goal: an orderly stop costs nobody anything (docs/guarantees.md, promises 1, 5 and 6). SIGTERM of each node in turn,
 * the leader among them, under load: exit code 0, no submission fails, leadership is handed over instead of being
 * missed, and workers go on with their jobs at another node.
 */
const STOP_MS = 20_000;
/** Far above what handing over takes on a slow machine, below what election timeouts in a row would. */
const QUIET_MS = 2_000;

describe('nodes are stopped in order', () => {
  let cluster: RealCluster;
  afterEach(async () => {
    await cluster.remove();
  });

  it('exits with 0, hands over and moves its workers; nobody notices', async () => {
    cluster = await RealCluster.start();
    const clients = cluster.nodes.map((node) => cluster.client({ first: node.name }));
    const load = new Load(clients, 'reverse', 8);
    await load.more(500);
    const led: string[] = [];
    for (const node of cluster.nodes) {
      const sessions: SessionReport[] = [];
      const begun = new Gate<number>();
      const mayEnd = new Gate();
      const worker = new Worker({ endpoints: cluster.endpointsFrom(node.name), order: 'listed' });
      worker.on('session', (report) => sessions.push(report));
      worker.handle(`hold-${node.name}`, async (_job, ctx) => {
        begun.open(ctx.leaseToken);
        await mayEnd.passed;
        return `${ctx.attempt} ${ctx.signal.aborted}`;
      });
      await worker.start();
      expect(sessions[0]).toMatchObject({ type: 'opened', node: node.name });
      const run = clients[0]!.run(`hold-${node.name}`);
      await begun.passed;
      if (node.name !== 'n1') await clients[0]!.cluster.transferLeadership(node.name);
      const before = (await cluster.leader()).name;
      led.push(before);

      const begin = performance.now();
      const code = await node.end('SIGTERM');
      const end = performance.now();
      expect(code, `exit code of ${node.name}\n${node.log().slice(-2_000)}`).toBe(0);
      expect(end - begin).toBeLessThan(STOP_MS);
      await load.more(200);
      const gap = load.longestGap(begin, performance.now());
      console.log(
        `${node.name} stopped in ${(end - begin).toFixed(0)} ms; longest wait for an acknowledgement ${gap.toFixed(0)} ms`,
      );
      expect(gap).toBeLessThan(QUIET_MS);
      const after = await cluster.leader();
      expect(after.name).not.toBe(node.name);
      expect(node.log()).toContain('stopping: handing over');

      await until(STOP_MS, () => sessions.some((one) => one.type === 'resumed'));
      expect(sessions.find((one) => one.type === 'resumed')!.node).not.toBe(node.name);
      mayEnd.open();
      expect(await (await run.result).text()).toBe('1 false');
      await worker.stop();
      node.start();
      await cluster.ready();
    }
    expect(led).toContain('n2');
    expect(led).toContain('n3');
    await load.stop();
    expect(load.failures).toEqual([]);
    for (const client of clients) await client.close();
    const worker = await startWorker(cluster, 'reverse');
    await expectAllDone(cluster, load.acknowledged);
    await worker.stop();
    await cluster.agreedHash();
  });

  it('stops a whole cluster, and starts it again with every job', async () => {
    cluster = await RealCluster.start();
    const client = cluster.client();
    const load = new Load([client], 'reverse', 16);
    await load.more(500);
    await load.stop();
    await client.close();
    const begin = performance.now();
    const codes = await Promise.all(cluster.nodes.map((node) => node.end('SIGTERM')));
    console.log(`all stopped in ${(performance.now() - begin).toFixed(0)} ms`);
    expect(codes).toEqual([0, 0, 0]);
    expect(performance.now() - begin).toBeLessThan(STOP_MS);
    for (const node of cluster.nodes) node.start();
    await cluster.ready();
    const worker = await startWorker(cluster, 'reverse');
    await expectAllDone(cluster, load.acknowledged);
    await worker.stop();
    await cluster.agreedHash();
  });
});
