import { describe, expect, it } from 'vitest';
import { jobSpec } from '../../unit/node/parts.js';
import { RuleBed } from './bed.js';

const ELECTION_MS = 400;

describe('a cluster whose leader is gone', () => {
  it('rule: fast failover - has another one long before an election timeout, and jobs go on', async () => {
    for (let seed = 71; seed < 76; seed++) {
      const bed = await RuleBed.started(seed);
      const old = bed.leader;
      const [node] = bed.others(old);
      const { term } = old.node!.parts!.consensus.status();
      await bed.pass(5_000);
      old.kill();
      const at = bed.world.now;
      await bed.submit(node);
      expect(bed.world.now - at).toBeLessThan(ELECTION_MS / 2);
      expect(bed.leader.node!.parts!.consensus.status().term).toBe(term + 1);
    }
  });

  it('rule: fast failover - the node that has more of the log goes first', async () => {
    for (let seed = 81; seed < 86; seed++) {
      const bed = await RuleBed.started(seed);
      const old = bed.leader;
      const [newer, behind] = bed.others(old);
      await bed.pass(5_000);
      const { term } = old.node!.parts!.consensus.status();
      bed.cut(old, behind);
      for (let i = 0; i < 5; i++) await bed.submit(old);
      // The dangerous state: one that must not lead lost the leader as well, and knows nothing of the last entries.
      const last = (node: typeof newer): number => node.node!.parts!.consensus.status().lastIndex;
      expect(last(behind)).toBeLessThan(last(newer));
      old.kill();
      bed.heal();
      await bed.until(() => bed.cluster.leader !== null);
      expect(bed.leader).toBe(newer);
      expect(bed.leader.node!.parts!.consensus.status().term).toBe(term + 1);
    }
  });

  it('rule: fast failover - does not follow when one node alone loses the leader, however often', async () => {
    const bed = await RuleBed.started(91);
    const { leader } = bed;
    const [node] = bed.others(leader);
    const { term } = leader.node!.parts!.consensus.status();
    for (let i = 0; i < 20; i++) {
      bed.cluster.network.end(node.name)!.drop(leader.name, 'closed');
      bed.cluster.network.end(leader.name)!.drop(node.name, 'closed');
      await bed.pass(300);
    }
    expect(bed.lines.filter((line) => line.includes(`${node.name} lost ${leader.name} closed`))).toHaveLength(
      20,
    );
    expect(bed.leader).toBe(leader);
    expect(leader.node!.parts!.consensus.status().term).toBe(term);
  });
});

describe('a leader that was cut off and does not know it', () => {
  it('rule: fast failover - answers no read from what it has, by a quorum and not by a lease', async () => {
    const bed = await RuleBed.started(92);
    const old = bed.leader;
    const job = await bed.submit(old);
    await bed.until(() => bed.agree());
    bed.isolate(old, true);
    const [one, other] = bed.others(old);
    await bed.until(() => [one, other].some((node) => node.node!.engine!.isOpenLeader));
    const now = [one, other].find((node) => node.node!.engine!.isOpenLeader)!;
    await bed.settled(now.node!.cancelJob('default', job, '', 0, {}));
    // The dangerous state: two that think that they lead, and the older one has not heard of the change.
    expect(old.node!.engine!.isOpenLeader).toBe(true);
    expect(bed.stateOf(old, job)).toBe('queued');
    const calls: string[] = [];
    const read = { consistency: 'linearizable', minRevision: 0 } as const;
    const state = old.node!.getJob('default', job, read).then((view) => view.state);
    bed.heard(calls, 'read', state);
    const local = await bed.settled(old.node!.getJob('default', job, { ...read, consistency: 'eventual' }));
    expect(local.state).toBe('queued');
    await bed.pass(3_000);
    expect(calls).toEqual([]);
    bed.heal();
    expect(await bed.settled(state)).toBe('cancelled');
  });

  it('rule: fast failover - accepts nothing, and what it was told is done once or not at all when it is back', async () => {
    const bed = await RuleBed.started(93);
    const old = bed.leader;
    bed.isolate(old, true);
    const id = old.node!.newJobId();
    const calls: string[] = [];
    const submit = old.node!.submit('default', [jobSpec({ id })], { allOrNothing: false });
    bed.heard(calls, 'submit', submit);
    const [one, other] = bed.others(old);
    await bed.until(() => [one, other].some((node) => node.node!.engine!.isOpenLeader));
    expect(old.node!.engine!.isOpenLeader).toBe(true);
    await bed.pass(500);
    expect(calls).toEqual([]);
    // The client says it again elsewhere, and the first saying arrives when the old leader is back.
    const [answer] = await bed.settled(
      one.node!.submit('default', [jobSpec({ id })], { allOrNothing: false }),
    );
    expect(answer).toMatchObject({ error: null, disposition: 'created', jobId: id });
    bed.heal();
    const [first] = await bed.settled(submit);
    expect(first).toMatchObject({ error: null, disposition: 'same-id', seq: answer!.seq });
    await bed.until(() => bed.agree());
  });
});
