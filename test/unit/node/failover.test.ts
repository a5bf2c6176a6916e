import { beforeEach, describe, expect, it } from 'vitest';
import { Failover } from '../../../src/node/failover.js';
import type { World } from '../../../src/sim/world.js';
import { newWorld, pass, silent } from './parts.js';

describe('fast failover', () => {
  let world: World;
  let standing: { leader: string; term: number };
  let reachable: boolean;
  let voters: readonly string[] | null;
  /** What the other follower says; null: no answer. */
  let word: { lost: boolean; lastTerm: number; lastIndex: number; clockOff?: boolean } | null;
  let clockOff: boolean;
  let campaigns: number[];
  let failover: Failover;

  beforeEach(() => {
    world = newWorld();
    standing = { leader: 'n1', term: 3 };
    reachable = false;
    voters = ['n1', 'n3'];
    word = { lost: true, lastTerm: 3, lastIndex: 10 };
    clockOff = false;
    campaigns = [];
    failover = new Failover({
      ownName: 'n2',
      clock: world.clock(0),
      random: world.random,
      log: silent,
      asking: {
        ask: () => (word === null ? Promise.reject(new Error('no answer')) : Promise.resolve(word)),
      } as never,
      probe: async () => reachable,
      otherVoters: () => voters,
      standing: () => standing,
      lastLog: () => ({ term: 3, index: 10 }),
      clockOff: () => clockOff,
      campaign: () => {
        campaigns.push(world.now);
        standing = { leader: 'n2', term: 4 };
      },
    });
  });

  it('rule: fast failover - it follows within milliseconds when a majority cannot reach the leader', async () => {
    failover.peerLost('n1');
    await pass(world, 200);
    expect(campaigns).toHaveLength(1);
    expect(campaigns[0]).toBeLessThan(50);
  });

  it('rule: fast failover - not when the leader can be reached again', async () => {
    reachable = true;
    failover.peerLost('n1');
    await pass(world, 2_000);
    expect(campaigns).toEqual([]);
  });

  it('rule: fast failover - not when only this node lost it', async () => {
    word = { lost: false, lastTerm: 3, lastIndex: 10 };
    failover.peerLost('n1');
    await pass(world, 2_000);
    word = null;
    failover.peerLost('n1');
    await pass(world, 2_000);
    expect(campaigns).toEqual([]);
  });

  it('does not follow for a peer that does not lead, nor from a node without a vote', async () => {
    failover.peerLost('n3');
    voters = null;
    failover.peerLost('n1');
    await pass(world, 2_000);
    expect(campaigns).toEqual([]);
  });

  it('rule: fast failover - the newest log goes first', async () => {
    word = { lost: true, lastTerm: 3, lastIndex: 11 };
    failover.peerLost('n1');
    await pass(world, 20);
    expect(campaigns).toEqual([]);
    await pass(world, 200);
    expect(campaigns).toHaveLength(1);
  });

  it('lets a node with a right clock go first, as long as its log is as new', async () => {
    clockOff = true;
    failover.peerLost('n1');
    await pass(world, 20);
    expect(campaigns).toEqual([]);
    await pass(world, 200);
    expect(campaigns).toHaveLength(1);
  });

  it('goes first of two whose clocks are off', async () => {
    clockOff = true;
    word = { lost: true, lastTerm: 3, lastIndex: 10, clockOff: true };
    failover.peerLost('n1');
    await pass(world, 20);
    expect(campaigns).toHaveLength(1);
  });

  it('stays out once another one took over', async () => {
    word = { lost: true, lastTerm: 4, lastIndex: 11 };
    failover.peerLost('n1');
    await pass(world, 10);
    standing = { leader: 'n3', term: 4 };
    await pass(world, 2_000);
    expect(campaigns).toEqual([]);
  });

  it('rule: fast failover - a pause before it is used again', async () => {
    failover.peerLost('n1');
    await pass(world, 200);
    standing = { leader: 'n1', term: 5 };
    failover.peerLost('n1');
    await pass(world, 1_000);
    expect(campaigns).toHaveLength(1);
    await pass(world, 1_000);
    failover.peerLost('n1');
    await pass(world, 200);
    expect(campaigns).toHaveLength(2);
  });
});
