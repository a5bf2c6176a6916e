import { expect, test } from 'vitest';
import { MembershipError } from '../../../src/consensus/index.js';
import type { MembershipChange, Proposed } from '../../../src/consensus/types.js';
import { bytes, Cluster, type Codec, type Factory, type Node } from './cluster.js';

export function membershipConformance(factory: Factory, codec: Codec): void {
  const three = () => new Cluster({ factory, codec, voters: [1, 2, 3] });
  const change = (node: Node, context: string, ...changes: MembershipChange[]): Proposed =>
    node.core.proposeMembership({ changes, context: bytes(context) });

  test('a learner is added, catches up through a snapshot, and counts for nothing', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    cluster.propose(leader, 'a');
    cluster.add(4, null);
    expect(change(leader, 'hello', { kind: 'add-learner', id: 4 })).toBe('accepted');
    cluster.tick(3);
    expect(leader.core.status().snapshotWanted).toBe(true);
    const { term } = leader.core.status();
    leader.core.compact(
      { index: leader.appliedIndex, term, membership: leader.membership },
      leader.appliedIndex + 1,
    );
    expect(leader.core.status().snapshotWanted).toBe(false);
    cluster.tick(5);
    const learner = cluster.node(4);
    expect(learner.core.status()).toMatchObject({
      role: 'learner',
      leader: 1,
      commit: leader.core.status().commit,
    });
    for (const node of cluster.all) expect(node.membership.learners).toEqual([4]);
    expect(leader.contexts).toEqual(['hello']);

    cluster.crash(2);
    cluster.crash(3);
    leader.core.propose([bytes('b')]);
    cluster.settle();
    expect(cluster.commands(leader)).toEqual(['a']);
  });

  test('a learner is promoted, and its vote and its disk count', () => {
    const cluster = new Cluster({ factory, codec, voters: [1, 2, 3], learners: [4] });
    const leader = cluster.elect(1);
    expect(change(leader, '', { kind: 'promote', id: 4 })).toBe('accepted');
    cluster.settle();
    for (const node of cluster.all)
      expect(node.membership).toMatchObject({ voters: [1, 2, 3, 4], learners: [] });
    cluster.crash(3);
    cluster.propose(leader, 'a');
    expect(cluster.commands(cluster.node(4))).toEqual(['a']);
    cluster.elect(4);
  });

  test('a node is removed and no longer counts', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    expect(change(leader, '', { kind: 'remove', id: 3 })).toBe('accepted');
    cluster.settle();
    expect(leader.membership.voters).toEqual([1, 2]);
    cluster.propose(leader, 'a');
    expect(leader.core.status().progress.map((peer) => peer.id)).toEqual([1, 2]);
    cluster.crash(3);
    cluster.propose(leader, 'b');
    expect(cluster.commands(cluster.node(2))).toEqual(['a', 'b']);
  });

  test('a removed node does not disturb those that stay', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    const { term } = leader.core.status();
    cluster.isolate(3);
    change(leader, '', { kind: 'remove', id: 3 });
    cluster.settle();
    cluster.heal();
    cluster.tick(80);
    expect(leader.core.status()).toMatchObject({ role: 'leader', term });
  });

  test('a node is replaced through a joint configuration that ends by itself', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    cluster.crash(3);
    cluster.add(4, null);
    const phases: number[] = [];
    cluster.judge = (node) => phases.push(node.core.status().membership.outgoing.length);
    expect(change(leader, 'swap', { kind: 'remove', id: 3 }, { kind: 'add-learner', id: 4 })).toBe(
      'accepted',
    );
    cluster.settle();
    expect(phases).toEqual([0, 3]);
    expect(leader.membership).toEqual({
      voters: [1, 2],
      outgoing: [],
      learners: [4],
      learnersNext: [],
      autoLeave: false,
    });
    expect(leader.contexts).toEqual(['swap', '']);
    expect(cluster.node(2).membership).toEqual(leader.membership);
    expect(leader.core.status().membership).toEqual(leader.membership);
  });

  test('a joint configuration is left by the next leader when its maker dies', () => {
    const cluster = new Cluster({ factory, codec, voters: [1, 2, 3, 4] });
    const leader = cluster.elect(1);
    change(leader, '', { kind: 'remove', id: 4 }, { kind: 'add-learner', id: 5 });
    cluster.drain(leader);
    while (cluster.network.length > 0) {
      cluster.deliver(0);
      for (const id of [2, 3, 4]) cluster.drain(cluster.node(id));
    }
    cluster.crash(1);
    cluster.elect(2);
    cluster.tick(3);
    expect(cluster.node(2).membership).toMatchObject({ voters: [1, 2, 3], outgoing: [], learners: [5] });
    expect(cluster.node(3).membership).toEqual(cluster.node(2).membership);
  });

  test('one change at a time', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    expect(change(leader, '', { kind: 'add-learner', id: 4 })).toBe('accepted');
    expect(change(leader, '', { kind: 'add-learner', id: 5 })).toBe('dropped');
    cluster.settle();
    expect(change(leader, '', { kind: 'add-learner', id: 5 })).toBe('accepted');
    cluster.settle();
    expect(leader.membership.learners).toEqual([4, 5]);
  });

  test('only the leader proposes changes', () => {
    const cluster = three();
    cluster.elect(1);
    expect(change(cluster.node(2), '', { kind: 'add-learner', id: 4 })).toBe('not-leader');
  });

  test('changes that make no sense are refused with the reason', () => {
    const cluster = new Cluster({ factory, codec, voters: [1, 2], learners: [3] });
    const leader = cluster.elect(1);
    const { lastIndex } = leader.core.status();
    const refused = (reason: RegExp, ...changes: MembershipChange[]): void => {
      expect(() => change(leader, '', ...changes)).toThrow(MembershipError);
      expect(() => change(leader, '', ...changes)).toThrow(reason);
    };
    refused(/at least one/);
    refused(/takes part already/, { kind: 'add-learner', id: 2 });
    refused(/takes part already/, { kind: 'add-learner', id: 3 });
    refused(/is no learner/, { kind: 'promote', id: 9 });
    refused(/is a voter already/, { kind: 'promote', id: 2 });
    refused(/takes no part/, { kind: 'remove', id: 9 });
    refused(/named twice/, { kind: 'remove', id: 2 }, { kind: 'add-learner', id: 2 });
    refused(/last voter/, { kind: 'remove', id: 1 }, { kind: 'remove', id: 2 });
    refused(/no Raft id/, { kind: 'add-learner', id: 0 });
    refused(/no Raft id/, { kind: 'add-learner', id: 1.5 });
    expect(leader.core.status().lastIndex).toBe(lastIndex);
  });

  test('the last voter stays', () => {
    const cluster = new Cluster({ factory, codec, voters: [1] });
    const leader = cluster.elect(1);
    expect(() => change(leader, '', { kind: 'remove', id: 1 })).toThrow(/last voter/);
  });

  test('a leader that removes itself leads until that is committed, then hands over', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    cluster.propose(leader, 'a');
    expect(change(leader, '', { kind: 'remove', id: 1 })).toBe('accepted');
    expect(leader.leads).toBe(true);
    cluster.settle();
    expect(leader.leads).toBe(false);
    cluster.tick(40);
    expect([2, 3]).toContain(cluster.leader.id);
    cluster.propose(cluster.leader, 'b');
    expect(cluster.commands(cluster.node(2))).toEqual(['a', 'b']);
    expect(cluster.leader.membership.voters).toEqual([2, 3]);
  });

  test('one node grows to three and shrinks to one', () => {
    const cluster = new Cluster({ factory, codec, voters: [1] });
    const leader = cluster.elect(1);
    cluster.propose(leader, 'a');
    for (const id of [2, 3]) {
      cluster.add(id, null);
      expect(change(leader, '', { kind: 'add-learner', id })).toBe('accepted');
      cluster.settle();
      const { term } = leader.core.status();
      leader.core.compact(
        { index: leader.appliedIndex, term, membership: leader.membership },
        leader.appliedIndex + 1,
      );
      cluster.tick(4);
      expect(change(leader, '', { kind: 'promote', id })).toBe('accepted');
      cluster.tick(2);
    }
    expect(cluster.node(3).membership.voters).toEqual([1, 2, 3]);
    cluster.propose(leader, 'b');
    for (const id of [2, 3]) {
      expect(change(leader, '', { kind: 'remove', id })).toBe('accepted');
      cluster.tick(2);
      cluster.crash(id);
    }
    cluster.propose(leader, 'c');
    expect(cluster.commands(leader)).toEqual(['a', 'b', 'c']);
  });

  test('a restart in a joint configuration goes on from it', () => {
    const cluster = three();
    const node = cluster.node(1);
    cluster.crash(1);
    const joint = { voters: [1, 2], outgoing: [1, 2, 3], learners: [4], learnersNext: [], autoLeave: true };
    node.disk = { ...node.disk, mark: { index: 1, term: 1, membership: joint } };
    cluster.restart(1);
    expect(node.core.status().membership).toEqual(joint);
  });
}
