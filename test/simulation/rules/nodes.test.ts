import { describe, expect, it } from 'vitest';
import { completion, RuleBed } from './bed.js';

const NODE_DOWN_MS = 2_000;

describe('a node that answers and applies nothing', () => {
  it('rule: stalled node - what it was given comes back by a timer, and it gets no more until it has caught up', async () => {
    const bed = await RuleBed.started(51, { settings: { ackTimeoutMs: 3_000 } });
    const { leader } = bed;
    const [stalled, other] = bed.others(leader);
    const lazy = await bed.serve(stalled, 10, { name: 'lazy' });
    await bed.until(() => bed.agree());
    const incarnation = bed.incarnation(stalled);
    // Its process is well and speaks, and its disk stands still: nothing is written, and so nothing applied.
    const syncs = bed.holdSyncs(stalled);
    const applied = bed.core(stalled).appliedIndex;
    const job = await bed.submit(leader);
    // The dangerous state: the cluster has given it a job, the node speaks, and the worker never hears of it.
    expect(bed.core(leader).findJob('default', job)).toMatchObject({ state: 'running', attempt: 1 });
    const given = bed.core(leader).findJob('default', job)!.token;
    const seen = (): boolean | undefined =>
      bed
        .core(leader)
        .nodes()
        .find(({ name }) => name === stalled.name)?.stalled;
    const began = bed.world.now;
    await bed.until(() => seen() === true);
    expect(bed.world.now - began).toBeLessThan(2_500);

    const second = await bed.submit(leader);
    await bed.pass(100);
    expect(bed.stateOf(leader, second)).toBe('queued');
    const busy = await bed.serve(other, 10, { name: 'busy' });
    await bed.until(() => busy.got.length === 2);
    expect(busy.got.map((one) => one.job).sort()).toEqual([job, second].sort());
    // The attempt that nobody began does not count.
    expect(busy.got.find((one) => one.job === job)).toMatchObject({ attempt: 1 });
    expect(busy.got.find((one) => one.job === job)!.token).toBeGreaterThan(given);
    expect(bed.world.now - began).toBeLessThan(4_500);
    expect(lazy.got).toEqual([]);

    expect(bed.core(stalled).appliedIndex).toBe(applied);
    syncs.end();
    await bed.until(() => seen() === false);
    expect(bed.incarnation(stalled)).toBe(incarnation);
    for (const one of busy.got) expect((await bed.outcome(busy, completion(one))).error).toBeNull();
    await bed.settled(busy.session.close());
    await bed.submit(leader);
    await bed.until(() => lazy.got.length > 0);
    await bed.until(() => bed.agree());
  });
});

describe('a node that is silent while the leader changes', () => {
  it('rule: node down - is given its two seconds by the new leader, also by one that led before', async () => {
    const bed = await RuleBed.started(52, { nodes: 5 });
    const silent = bed.followers[0]!;
    // All others have led before, and have counted the silence of that time.
    for (const node of bed.cluster.nodes) {
      if (node === silent) continue;
      await bed.lead(node);
      await bed.pass(1_000);
    }
    const incarnation = bed.incarnation(silent);
    const worker = await bed.serve(silent, 1);
    const job = await bed.submit(silent);
    await bed.until(() => worker.got.length === 1);
    worker.session.ack([worker.got[0]!.token]);
    await bed.pass(2_500);
    bed.isolate(silent);
    const since = bed.world.now;
    await bed.pass(NODE_DOWN_MS - 300);
    const old = bed.leader;
    old.kill();
    await bed.until(() => bed.cluster.leader !== null && bed.cluster.leader !== silent);
    const led = bed.world.now;
    const up = (): boolean =>
      bed
        .core(bed.leader)
        .nodes()
        .some((one) => one.incarnation === incarnation && one.up);
    // The dangerous state: it has been silent for longer than two seconds, of which the new leader has seen a part.
    await bed.until(() => bed.world.now > since + NODE_DOWN_MS + 600);
    expect(bed.world.now - led).toBeLessThan(NODE_DOWN_MS);
    expect(up()).toBe(true);
    bed.heal();
    await bed.pass(5_000);
    expect(up()).toBe(true);
    expect(bed.incarnation(silent)).toBe(incarnation);
    expect(worker.told).toEqual([]);
    expect((await bed.outcome(worker, completion(worker.got[0]!))).error).toBeNull();
    expect(bed.stateOf(bed.leader, job)).toBe('succeeded');
  });

  it('rule: node down - a connection that breaks again and again costs nothing as long as the node speaks', async () => {
    const bed = await RuleBed.started(53);
    const { leader } = bed;
    const [node] = bed.others(leader);
    const incarnation = bed.incarnation(node);
    const worker = await bed.serve(node, 1);
    for (let i = 0; i < 30; i++) {
      bed.cluster.network.end(leader.name)!.drop(node.name, 'closed');
      bed.cluster.network.end(node.name)!.drop(leader.name, 'closed');
      await bed.pass(250);
    }
    expect(bed.lines.filter((line) => line.includes(`${leader.name} lost ${node.name} closed`))).toHaveLength(
      30,
    );
    expect(bed.incarnation(node)).toBe(incarnation);
    expect(worker.told).toEqual([]);
  });
});
