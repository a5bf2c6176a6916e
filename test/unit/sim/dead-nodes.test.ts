import { describe, expect, it } from 'vitest';
import type { SimCluster } from '../../../src/sim/cluster.js';
import { DeadNodes } from '../../../src/sim/dead-nodes.js';
import type { Inside } from '../../../src/sim/inside.js';

/** Two nodes of which the second leads from the beginning, and what the leader's state says of the first. */
function bed() {
  const core = { appliedIndex: 1, up: true, nodes: () => [{ name: 'n1', up: core.up }] };
  const dead = { name: 'n1', started: true, starts: 1 };
  const leader = { name: 'n2', started: true, starts: 1, node: { parts: { core } } };
  const cluster = { nodes: [dead, leader], leader: leader as object | null, world: { now: 0 } };
  const rules: string[] = [];
  const inside = { broken: (rule: string) => rules.push(rule) };
  const looking = new DeadNodes(cluster as unknown as SimCluster, inside as unknown as Inside);
  /** Time passes, with an event every 100 ms. */
  const pass = (ms: number, decides = true): void => {
    for (const end = cluster.world.now + ms; cluster.world.now < end; ) {
      cluster.world.now += 100;
      if (decides) core.appliedIndex += 1;
      looking.look();
    }
  };
  return { core, dead, leader, cluster, rules, pass };
}

describe('a node that is dead', () => {
  it('is to be declared down by a leader that decides', () => {
    const { dead, rules, pass } = bed();
    pass(20_000);
    expect(rules).toEqual([]);
    dead.started = false;
    pass(4_000);
    expect(rules).toEqual([]);
    pass(2_000);
    expect(rules).toEqual(['node-down']);
  });

  it('may be up as long as nobody can decide otherwise, or nobody leads for long', () => {
    const { dead, cluster, leader, rules, pass } = bed();
    dead.started = false;
    pass(10_000, false);
    expect(rules).toEqual([]);
    for (let i = 0; i < 5; i++) {
      cluster.leader = null;
      pass(500, false);
      cluster.leader = leader;
      pass(4_000);
    }
    expect(rules).toEqual([]);
  });

  it('is at peace once it was declared down, or has begun another life', () => {
    const { core, dead, rules, pass } = bed();
    dead.started = false;
    pass(3_000);
    core.up = false;
    pass(20_000);
    core.up = true;
    dead.started = true;
    pass(1_000);
    dead.started = false;
    dead.starts += 2;
    pass(4_000);
    expect(rules).toEqual([]);
  });
});
