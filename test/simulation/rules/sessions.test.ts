import { describe, expect, it } from 'vitest';
import { jobSpec } from '../../unit/node/parts.js';
import { completion, RuleBed, type TestWorker } from './bed.js';

describe('a worker that goes from one node to another', () => {
  it('rule: attach and detach - the detach of the old connection that arrives behind the attach changes nothing', async () => {
    const bed = await RuleBed.started(41);
    const [from, to] = bed.others(bed.leader);
    const old = await bed.serve(from, 3);
    const job = await bed.submit(bed.leader);
    await bed.until(() => old.got.length === 1);
    const [lease] = old.got;
    const incarnation = bed.incarnation(from);

    bed.isolate(from);
    const now = await bed.serve(to, 2, { attach: { session: old.session, heldTokens: [lease!.token] } });
    expect(now.session.lostTokens).toEqual([]);
    // What the old node says of the session now waits there for a leader: credit for more jobs, and the end.
    const before = bed.core(bed.leader).lastBatch(incarnation);
    old.session.credit(50);
    old.session.detach();
    await bed.pass(300);
    bed.heal();
    // The dangerous order has happened: the old words were applied behind the attach, in the life in which they were said.
    await bed.until(() => bed.core(bed.leader).lastBatch(incarnation) > before);
    await bed.until(() => bed.agree());
    expect(bed.incarnation(from)).toBe(incarnation);

    const view = bed.core(bed.leader).session(now.session.id);
    expect(view).toMatchObject({ state: 'attached', node: to.name, held: 1, credit: 2 });
    expect(now.told).toEqual([]);
    expect((await bed.outcome(now, completion(lease!))).error).toBeNull();
    for (let i = 0; i < 5; i++) await bed.submit(bed.leader);
    await bed.pass(200);
    expect(now.got).toHaveLength(2);
    expect(old.got).toHaveLength(1);
    expect(bed.stateOf(bed.leader, job)).toBe('succeeded');
  });

  it('rule: attach and detach - a job whose assignment died with the node is given out again by the attach', async () => {
    const bed = await RuleBed.started(42);
    const [from, to] = bed.others(bed.leader);
    const old = await bed.serve(from, 1);
    const { leader } = bed;
    const id = leader.node!.newJobId();
    // The node dies before it has applied what the leader has: its worker never hears of the job.
    bed.cut(leader, from);
    const calls: string[] = [];
    const submit = leader.node!.submit('default', [jobSpec({ id })], { allOrNothing: false });
    bed.heard(calls, 'submit', submit);
    await bed.until(() => bed.stateOf(leader, id) === 'running');
    from.kill();
    bed.heal();
    expect(old.got).toEqual([]);
    const { token: unseen } = bed.core(leader).findJob('default', id)!;
    expect(unseen).toBeGreaterThan(0);

    const began = bed.world.now;
    const now = await bed.serve(to, 1, { attach: { session: old.session, heldTokens: [] } });
    await bed.until(() => now.got.length === 1);
    // Not by a timer, nor by the loss of the node.
    expect(bed.world.now - began).toBeLessThan(100);
    expect(now.got[0]).toMatchObject({ job: id, attempt: 1 });
    expect(now.got[0]!.token).toBeGreaterThan(unseen);
    expect((await bed.outcome(now, completion({ job: id, token: unseen, attempt: 1 }))).error?.code).toBe(
      'LEASE_LOST',
    );
    expect((await bed.outcome(now, completion(now.got[0]!))).error).toBeNull();
  });
});

describe('an outcome whose answer never came', () => {
  /** The outcome leaves for the others, and nothing of theirs comes back. */
  async function settledUnheard(seed: number, atLeader: boolean) {
    const bed = await RuleBed.started(seed);
    const { leader } = bed;
    const [node, other] = bed.others(leader);
    const at = atLeader ? leader : node;
    const worker = await bed.serve(at, 1);
    const job = await bed.submit(other);
    await bed.until(() => worker.got.length === 1);
    for (const one of bed.others(at)) bed.cluster.network.cut(one.name, at.name);
    const { lastIndex } = other.node!.parts!.consensus.status();
    const calls: string[] = [];
    const settle = at.attached(() => worker.session.settle([completion(worker.got[0]!)], 0));
    bed.heard(calls, 'settle', settle);
    return { bed, at, other, worker, job, calls, lastIndex };
  }

  async function saidAgain(
    bed: RuleBed,
    to: Parameters<RuleBed['serve']>[0],
    { session, got }: TestWorker,
  ): Promise<void> {
    const lease = got[0]!;
    const again = await bed.serve(to, 1, { attach: { session, heldTokens: [lease.token] } });
    expect(again.session.lostTokens).toEqual([lease.token]);
    expect((await bed.outcome(again, completion(lease))).error).toBeNull();
    expect((await bed.outcome(again, completion(lease, 'another'))).error?.code).toBe('LEASE_LOST');
    expect(Buffer.from(bed.core(to).findJob('default', lease.job)!.result).toString()).toBe('result');
    expect(again.got).toEqual([]);
  }

  it('rule: outcome repeated - it counted, its node died before it heard of that, and it is accepted elsewhere', async () => {
    const { bed, at, other, worker, job, calls } = await settledUnheard(43, false);
    await bed.until(() => bed.stateOf(bed.leader, job) === 'succeeded');
    expect(bed.stateOf(at, job)).toBe('running');
    at.kill();
    bed.heal();
    await bed.until(() => calls.length === 1);
    expect(calls).toEqual(['settle connection lost']);
    await saidAgain(bed, other, worker);
  });

  it('rule: outcome repeated - the leader died with it, the next one carried it out, and it is accepted there', async () => {
    const { bed, at, other, worker, job, calls, lastIndex } = await settledUnheard(44, true);
    await bed.until(() => other.node!.parts!.consensus.status().lastIndex > lastIndex);
    expect(bed.stateOf(at, job)).toBe('running');
    at.kill();
    bed.heal();
    await bed.until(() => bed.cluster.leader !== null);
    await bed.until(() => bed.stateOf(bed.leader, job) === 'succeeded');
    expect(calls).toEqual(['settle connection lost']);
    await saidAgain(bed, other, worker);
  });
});
