import { describe, expect, it } from 'vitest';
import { jobSpec } from '../../unit/node/parts.js';
import { RuleBed } from './bed.js';

describe('a log whose end is replaced while it is being synced', () => {
  it('rule: durable index - the end of the older sync attests nothing of what took its place, on a whole cluster', async () => {
    const bed = await RuleBed.started(31);
    const old = bed.leader;
    const [next, other] = bed.others(old);
    await bed.submit(old);
    await bed.until(() => bed.agree());
    // An entry of the old leader's is written and its sync is under way, and nobody else ever gets it.
    const syncs = bed.holdSyncs(old);
    bed.isolate(old);
    const calls: string[] = [];
    const submit = (id: string) => [jobSpec({ id })];
    const lost = old.node!.newJobId();
    bed.heard(calls, 'lost', old.node!.submit('default', submit(lost), { allOrNothing: false }));
    await bed.until(() => syncs.count === 1);
    const written = old.node!.parts!.consensus.status().lastIndex;

    await bed.until(() =>
      bed.cluster.running.some((node) => node !== old && node.node!.engine!.isOpenLeader),
    );
    const leader = [next, other].find((node) => node.node!.engine!.isOpenLeader)!;
    const third = leader === next ? other : next;
    for (let i = 0; i < 5; i++) await bed.submit(leader);
    // From here on nothing is committed without the old leader's disk.
    third.kill();
    bed.heal();
    const id = leader.node!.newJobId();
    bed.heard(calls, 'acknowledged', leader.node!.submit('default', submit(id), { allOrNothing: false }));
    const { term } = leader.node!.parts!.consensus.status();
    const place = () => old.node!.parts!.consensus.status();
    await bed.until(() => place().term === term && place().lastIndex > written);
    await bed.pass(30);
    // The dangerous state: the old entries are replaced in memory, and the only sync so far is of the old ones.
    expect(syncs.count).toBe(1);
    expect(bed.seqOf(old, id)).toBe(0);

    syncs.next();
    await bed.until(() => syncs.count === 2);
    await bed.pass(100);
    expect(leader.node!.engine!.isOpenLeader).toBe(true);
    expect(calls).toEqual([]);
    expect(bed.seqOf(leader, id)).toBe(0);

    syncs.end();
    await bed.until(() => calls.includes('acknowledged done'));
    void third.start();
    await bed.until(() => bed.cluster.allReady() && bed.agree(), 20_000);
    for (const node of bed.cluster.nodes) expect(bed.stateOf(node, id)).toBe('queued');
  });
});
