import { afterEach, describe, expect, it } from 'vitest';
import type { ClusterInfo } from '../../src/client/index.js';
import { expectAllDone, startWorker } from '../support/jobs.js';
import { Load } from '../support/load.js';
import { RealCluster, until } from '../support/real-cluster.js';

/**
 * Goal: a node that stands still disturbs nobody and has no second opinion: "exactly one terminal outcome per job, the
 * same seen from every node", "reads that ask for it (the default) are linearizable" (docs/guarantees.md, promises 3
 * and 4). A paused process keeps its sockets and, once it runs again, believes for a moment that nothing happened.
 */
const PAUSE_MS = 5_000;
const QUIET_MS = 1_500;
const WAIT_MS = 20_000;

describe('a node is paused and resumed', () => {
  let cluster: RealCluster;
  afterEach(async () => {
    await cluster.remove();
  });

  /** What a node says of itself. */
  async function own(name: string): Promise<ClusterInfo['nodes'][number] & { leader: string; term: number }> {
    const info = await cluster.info(name);
    return { ...info.nodes.find((one) => one.name === name)!, leader: info.leader, term: info.term };
  }

  it('goes on while one of three stands still for 5 s, which then catches up', async () => {
    cluster = await RealCluster.start();
    const paused = (await cluster.followers())[0]!;
    const others = cluster.nodes.filter((node) => node !== paused);
    const clients = others.map((node) => cluster.client({ only: node.name }));
    // This one talks to the paused node and must find another by itself.
    const astray = cluster.client({ first: paused.name });
    await astray.submit('reverse', 'before', { resultRetentionMs: 3_600_000 });
    const load = new Load(clients, 'reverse', 8);
    await load.more(500);
    const { term } = await cluster.info(others[0]!.name);
    paused.signal('SIGSTOP');
    const begin = performance.now();
    const { jobId } = await astray.submit('reverse', 'while paused', { resultRetentionMs: 3_600_000 });
    await until(PAUSE_MS + WAIT_MS, () => performance.now() - begin >= PAUSE_MS);
    const end = performance.now();
    paused.signal('SIGCONT');
    await load.more(500);
    expect(load.longestGap(begin, end)).toBeLessThan(QUIET_MS);
    expect(load.failures).toEqual([]);
    await until(WAIT_MS, async () => {
      const [mine, theirs] = [await own(paused.name), await own(others[0]!.name)];
      return mine.appliedIndex > 0 && theirs.appliedIndex - mine.appliedIndex < 100;
    });
    // PreVote: whoever stood still does not depose a leader that the others hear.
    expect((await cluster.info(others[0]!.name)).term).toBe(term);
    await load.stop();
    for (const client of [...clients, astray]) await client.close();
    const worker = await startWorker(cluster, 'reverse');
    await expectAllDone(cluster, [...load.acknowledged, jobId]);
    await worker.stop();
    await cluster.agreedHash();
  });

  it('has a new leader while the leader stands still, and no second opinion afterwards', async () => {
    cluster = await RealCluster.start();
    const old = await cluster.leader();
    const others = cluster.nodes.filter((node) => node !== old);
    const atOld = cluster.client({ only: old.name });
    const clients = others.map((node) => cluster.client({ only: node.name }));
    const load = new Load(clients, 'reverse', 8);
    await load.more(500);
    await atOld.queues.list();
    const { term } = await own(old.name);
    old.signal('SIGSTOP');
    const begin = performance.now();
    await until(WAIT_MS, async () => {
      const { leader } = await cluster.info(others[0]!.name);
      return leader !== '' && leader !== old.name;
    });
    const next = await load.next();
    console.log(`leader paused: next acknowledgement after ${(next - begin).toFixed(0)} ms`);
    const { jobId } = await clients[0]!.submit('reverse', 'by the new leader', {
      resultRetentionMs: 3_600_000,
    });
    // Lies in the old leader's socket before it runs again: its first thought must not be an answer from its past.
    const early = atOld.get(jobId, { timeoutMs: WAIT_MS });
    const opinion = atOld.submit('reverse', 'through the old leader', { resultRetentionMs: 3_600_000 });
    await until(WAIT_MS, () => performance.now() - begin >= PAUSE_MS / 2);
    old.signal('SIGCONT');
    expect((await early).id).toBe(jobId);
    const late = (await opinion).jobId;
    await until(WAIT_MS, async () => {
      const mine = await own(old.name);
      return mine.role === 'follower' && mine.leader !== '' && mine.leader !== old.name && mine.term > term;
    });
    await load.more(500);
    await load.stop();
    expect(load.failures).toEqual([]);
    for (const client of [...clients, atOld]) await client.close();
    const worker = await startWorker(cluster, 'reverse');
    await expectAllDone(cluster, [...load.acknowledged, jobId, late]);
    await worker.stop();
    await cluster.agreedHash();
  });
});
