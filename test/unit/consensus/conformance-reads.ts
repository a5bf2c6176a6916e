import { expect, test } from 'vitest';
import { bytes, Cluster, type Codec, type Factory } from './cluster.js';

export function readConformance(factory: Factory, codec: Codec): void {
  const three = () => new Cluster({ factory, codec, voters: [1, 2, 3] });

  test('without a leader there is nobody to ask', () => {
    expect(three().node(1).core.readIndex('r')).toBe(false);
  });

  test('a read at any node sees all that was committed before it was asked', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    cluster.propose(leader, 'a');
    for (const node of cluster.all) {
      expect(node.core.readIndex('r')).toBe(true);
      cluster.settle();
      expect(node.reads).toEqual([{ context: 'r', index: leader.core.status().commit }]);
    }
  });

  test('who asks while a question is out waits for the next', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    const follower = cluster.node(2);
    follower.core.readIndex('early');
    cluster.drain(follower);
    leader.core.propose([bytes('a')]);
    cluster.drain(leader);
    follower.core.readIndex('late 1');
    follower.core.readIndex('late 2');
    cluster.settle();
    expect(follower.reads.map((read) => read.context)).toEqual(['early', 'late 1', 'late 2']);
    expect(follower.reads[1]).toEqual({ context: 'late 1', index: leader.core.status().commit });
  });

  test('many readers cost one question, and all are answered once', () => {
    const cluster = three();
    cluster.elect(1);
    const follower = cluster.node(2);
    for (let i = 0; i < 1_000; i++) follower.core.readIndex(`r${i}`);
    const before = cluster.network.length;
    cluster.drain(follower);
    expect(cluster.network.length - before).toBe(1);
    cluster.settle();
    expect(follower.reads.map((read) => read.context)).toEqual(
      Array.from({ length: 1_000 }, (_, i) => `r${i}`),
    );
  });

  test('late and repeated answers change nothing', () => {
    const cluster = three();
    cluster.elect(1);
    const follower = cluster.node(2);
    const arrived: (typeof cluster.network)[number][] = [];
    for (let i = 0; i < 40; i++) {
      follower.core.readIndex(`r${i}`);
      cluster.drain(follower);
      cluster.deliver(0);
      cluster.drain(cluster.node(1));
      arrived.push(...cluster.network);
      cluster.settle();
    }
    expect(follower.reads).toHaveLength(40);
    follower.core.readIndex('last');
    for (const frame of [...arrived, ...arrived, ...arrived]) cluster.arrive(frame);
    cluster.settle();
    expect(follower.reads).toHaveLength(41);
    expect(arrived.length).toBeGreaterThan(40);
  });

  test('rule: fast failover - reads use the quorum: a leader without a majority answers nothing', () => {
    const cluster = three();
    const old = cluster.elect(1);
    cluster.isolate(1);
    expect(old.core.readIndex('stale')).toBe(true);
    cluster.elect(2);
    cluster.propose(cluster.node(2), 'a');
    cluster.settle();
    expect(old.reads).toEqual([]);
    cluster.heal();
    cluster.tick(5);
    // Asked again of the new leader, it sees the newer commit.
    expect(old.reads).toEqual([{ context: 'stale', index: cluster.node(2).core.status().commit }]);
  });

  test('a question that was lost with its leader is asked of the next', () => {
    const cluster = three();
    cluster.elect(1);
    cluster.isolate(1);
    expect(cluster.node(3).core.readIndex('r')).toBe(true);
    cluster.settle();
    cluster.crash(1);
    cluster.elect(2);
    cluster.tick(3);
    expect(cluster.node(3).reads.map((read) => read.context)).toEqual(['r']);
  });

  test('a question that was lost on the way is asked again', () => {
    const cluster = three();
    cluster.elect(1);
    cluster.cut.add('3>1');
    cluster.node(3).core.readIndex('r');
    cluster.settle();
    cluster.heal();
    cluster.tick(4);
    expect(cluster.node(3).reads.map((read) => read.context)).toEqual(['r']);
  });

  test('a new leader answers only once it has committed in its term', () => {
    const cluster = three();
    cluster.elect(1);
    cluster.propose(cluster.node(1), 'a');
    cluster.crash(1);
    cluster.node(2).syncs = false;
    cluster.node(3).syncs = false;
    cluster.node(2).core.campaign();
    for (const node of [cluster.node(2), cluster.node(3)]) {
      cluster.settle();
      cluster.sync(node);
    }
    cluster.settle();
    const leader = cluster.node(2);
    expect(leader.leads).toBe(true);
    expect(leader.core.readIndex('own')).toBe(true);
    expect(cluster.node(3).core.readIndex('other')).toBe(true);
    cluster.settle();
    expect([...leader.reads, ...cluster.node(3).reads]).toEqual([]);
    leader.syncs = true;
    cluster.node(3).syncs = true;
    cluster.settle();
    const index = leader.core.status().commit;
    expect(index).toBe(leader.core.status().lastIndex);
    expect(leader.reads).toEqual([{ context: 'own', index }]);
    expect(cluster.node(3).reads).toEqual([{ context: 'other', index }]);
  });

  test('a lone voter answers, but not before it knows what was committed', () => {
    const cluster = new Cluster({ factory, codec, voters: [1], learners: [2] });
    const node = cluster.elect(1);
    cluster.propose(node, 'a', 'b');
    const { lastIndex } = node.core.status();
    cluster.crash(1);
    node.disk = { ...node.disk, hardState: { ...node.disk.hardState, commit: 1 } };
    cluster.restart(1);
    node.syncs = false;
    node.core.campaign();
    cluster.settle();
    node.core.readIndex('own');
    cluster.node(2).core.readIndex('learner');
    cluster.tick(2);
    expect([...node.reads, ...cluster.node(2).reads]).toEqual([]);
    node.syncs = true;
    cluster.tick(4);
    expect(node.reads).toEqual([{ context: 'own', index: lastIndex + 1 }]);
    expect(cluster.node(2).reads).toEqual([{ context: 'learner', index: lastIndex + 1 }]);
  });
}
