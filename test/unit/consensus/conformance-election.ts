import { expect, test } from 'vitest';
import { Cluster, type Codec, type Factory } from './cluster.js';

export function electionConformance(factory: Factory, codec: Codec): void {
  const three = (seed = 1) => new Cluster({ factory, codec, seed, voters: [1, 2, 3] });

  test('the first output says where the node stands', () => {
    const output = three().node(1).core.take();
    expect(output?.standing).toEqual({ role: 'follower', term: 1, leader: 0 });
    expect(output?.write).toBe(0);
  });

  test('time alone makes exactly one leader, which all know', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const cluster = three(seed);
      cluster.tick(60);
      const { leader } = cluster;
      for (const node of cluster.all) expect(node.core.status().leader).toBe(leader.id);
    }
  });

  test('the election timeout is drawn from the randomness given', () => {
    const winners = (seed: number): string => {
      const cluster = three(seed);
      let ticks = 0;
      while (ticks < 500 && !cluster.all.some((node) => node.leads)) {
        cluster.tick();
        ticks++;
      }
      return `${cluster.leader.id} after ${ticks}`;
    };
    const seen = new Set<string>();
    for (let seed = 1; seed <= 12; seed++) {
      expect(winners(seed)).toBe(winners(seed));
      seen.add(winners(seed));
    }
    expect(seen.size).toBeGreaterThan(2);
  });

  test('a vote leaves only once it is on disk', () => {
    const cluster = three();
    cluster.node(2).syncs = false;
    cluster.node(3).syncs = false;
    cluster.node(1).core.campaign();
    cluster.settle();
    expect(cluster.node(1).core.status().role).toBe('candidate');
    cluster.sync(cluster.node(2));
    cluster.settle();
    expect(cluster.node(1).core.status().role).toBe('leader');
  });

  test('a candidate asks for votes only once its own is on disk', () => {
    const cluster = three();
    const node = cluster.node(1);
    node.syncs = false;
    node.core.campaign();
    cluster.settle();
    expect(cluster.node(2).core.status().term).toBe(1);
    cluster.crash(1);
    cluster.restart(1);
    expect(node.core.status().term).toBe(1);
  });

  test('a vote that was lost in a crash can be given again, one that was synced cannot', () => {
    const cluster = three();
    cluster.isolate(3);
    cluster.node(2).syncs = false;
    cluster.node(1).core.campaign();
    cluster.settle();
    expect(cluster.node(2).core.status().vote).toBe(1);
    cluster.crash(2);
    cluster.restart(2);
    expect(cluster.node(2).core.status().vote).toBe(0);

    cluster.node(2).syncs = true;
    cluster.node(1).core.tick();
    cluster.node(1).core.campaign();
    cluster.settle();
    const { term } = cluster.node(1).core.status();
    cluster.crash(2);
    cluster.restart(2);
    expect(cluster.node(2).core.status()).toMatchObject({ term, vote: 1 });
  });

  test('a node that was cut off does not disturb the others when it comes back', () => {
    const cluster = three();
    cluster.elect(1);
    const { term } = cluster.node(1).core.status();
    cluster.isolate(3);
    cluster.tick(100);
    cluster.heal();
    cluster.tick(30);
    expect(cluster.node(1).core.status()).toMatchObject({ role: 'leader', term });
    expect(cluster.node(3).core.status()).toMatchObject({ role: 'follower', term, leader: 1 });
  });

  test('a leader that hears from no majority gives up', () => {
    const cluster = three();
    cluster.elect(1);
    cluster.isolate(1);
    cluster.tick(25);
    expect(cluster.node(1).core.status()).not.toMatchObject({ role: 'leader' });
    cluster.tick(30);
    expect(cluster.leader.id).not.toBe(1);
  });

  test('a follower that campaigns at once needs no timeout', () => {
    const cluster = three();
    cluster.elect(1);
    cluster.propose(cluster.node(1), 'a');
    cluster.crash(1);
    cluster.elect(2);
    expect(cluster.node(3).core.status().leader).toBe(2);
  });

  test('campaigning twice in one moment is one election; after a tick it is a new one', () => {
    const cluster = three();
    cluster.isolate(1);
    const { core } = cluster.node(1);
    core.campaign();
    core.campaign();
    expect(core.status()).toMatchObject({ role: 'candidate', term: 2 });
    core.tick();
    core.campaign();
    expect(core.status().term).toBe(3);
  });

  test('campaigning does nothing at a leader and at a learner', () => {
    const cluster = new Cluster({ factory, codec, voters: [1, 2, 3], learners: [4] });
    cluster.elect(1);
    const { term } = cluster.node(1).core.status();
    cluster.node(1).core.campaign();
    cluster.node(4).core.campaign();
    cluster.settle();
    expect(cluster.node(1).core.status()).toMatchObject({ role: 'leader', term });
    expect(cluster.node(4).core.status()).toMatchObject({ role: 'learner', term, leader: 1 });
  });

  test('a node with a shorter log does not win', () => {
    const cluster = three();
    cluster.elect(1);
    cluster.isolate(3);
    cluster.propose(cluster.node(1), 'a');
    cluster.heal();
    cluster.crash(1);
    cluster.node(3).core.campaign();
    cluster.settle();
    expect(cluster.node(3).core.status().role).not.toBe('leader');
    cluster.tick(60);
    expect(cluster.leader.id).toBe(2);
  });

  test('leadership moves to the node that is named, without a timeout', () => {
    const cluster = three();
    cluster.elect(1);
    cluster.node(1).core.transferTo(3);
    cluster.settle();
    expect(cluster.leader.id).toBe(3);
    expect(cluster.node(1).core.status().leader).toBe(3);
  });

  test('a transfer first brings the successor up to date, and drops proposals meanwhile', () => {
    const cluster = three();
    cluster.elect(1);
    cluster.cut.add('1>3');
    cluster.propose(cluster.node(1), 'a');
    cluster.node(1).core.transferTo(3);
    cluster.settle();
    expect(cluster.node(1).core.propose([new Uint8Array(1)])).toBe('dropped');
    cluster.heal();
    cluster.tick(2);
    expect(cluster.leader.id).toBe(3);
    expect(cluster.commands(cluster.node(3))).toEqual(['a']);
  });

  test('a transfer to a node that does not answer ends after an election timeout', () => {
    const cluster = three();
    cluster.elect(1);
    cluster.crash(3);
    cluster.node(1).core.transferTo(3);
    cluster.tick(11);
    expect(cluster.node(1).core.propose([new Uint8Array(1)])).toBe('accepted');
  });

  test('a leader that gives up is followed by another at once', () => {
    const cluster = three();
    cluster.elect(1);
    cluster.propose(cluster.node(1), 'a');
    cluster.node(1).core.stepDown();
    expect(cluster.node(1).core.status()).toMatchObject({ role: 'follower', leader: 0 });
    cluster.settle();
    expect(cluster.leader.id).not.toBe(1);
  });

  test('a lone voter leads by itself, and says nothing in a term that is not on disk', () => {
    const cluster = new Cluster({ factory, codec, voters: [1], learners: [2] });
    const node = cluster.node(1);
    node.syncs = false;
    node.core.campaign();
    cluster.settle();
    expect(node.leads).toBe(true);
    expect(cluster.node(2).core.status()).toMatchObject({ term: 1, leader: 0 });
    cluster.sync(node);
    cluster.settle();
    expect(cluster.node(2).core.status()).toMatchObject({ term: 2, leader: 1 });
  });
}
