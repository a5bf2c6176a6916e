import { beforeEach, describe, expect, it } from 'vitest';
import { Reads } from '../../../src/node/reads.js';
import type { World } from '../../../src/sim/world.js';
import { newWorld, pass } from './parts.js';

describe('a linearizable read', () => {
  let world: World;
  let applied: number;
  let led: boolean;
  let asked: string[];
  let turns: number;
  let reads: Reads;
  let told: string[];

  beforeEach(() => {
    world = newWorld();
    applied = 5;
    led = true;
    asked = [];
    turns = 0;
    told = [];
    reads = new Reads({
      clock: world.clock(0),
      appliedIndex: () => applied,
      readIndex: (context) => {
        if (led) asked.push(context);
        return led;
      },
      askTurn: () => {
        turns += 1;
      },
    });
  });

  function read(name: string, signal?: AbortSignal): void {
    reads.linearizable(signal).then(
      () => told.push(name),
      (error: { code: string }) => told.push(`${name} ${error.code}`),
    );
  }

  it('rule: fast failover - reads use the quorum: they wait until the index that a majority confirmed is applied here', async () => {
    read('a');
    reads.flush();
    reads.answered([{ context: asked[0]!, index: 7 }]);
    await pass(world, 1);
    expect(told).toEqual([]);
    applied = 7;
    reads.applied(7);
    await pass(world, 1);
    expect(told).toEqual(['a']);
  });

  it('shares its question with those of the same turn alone', async () => {
    read('a');
    read('b');
    reads.flush();
    read('late');
    expect(asked).toHaveLength(1);
    reads.answered([{ context: asked[0]!, index: 5 }]);
    await pass(world, 1);
    expect(told).toEqual(['a', 'b']);
    reads.flush();
    reads.answered([{ context: asked[1]!, index: 5 }]);
    await pass(world, 1);
    expect(told).toEqual(['a', 'b', 'late']);
  });

  it('is asked again once a leader is there', async () => {
    led = false;
    read('a');
    reads.flush();
    const before = turns;
    await pass(world, 300);
    expect(turns).toBe(before + 1);
    led = true;
    reads.flush();
    expect(asked).toHaveLength(1);
  });

  it('that was given up asks nothing and is forgotten', async () => {
    led = false;
    const call = new AbortController();
    read('a', call.signal);
    call.abort();
    await pass(world, 1);
    expect(told).toEqual(['a NO_LEADER']);
    led = true;
    reads.flush();
    expect(asked).toEqual([]);
  });

  it('ends with the node', async () => {
    read('gathering');
    reads.flush();
    read('next');
    reads.atLeast(9, undefined).catch(() => told.push('at least'));
    reads.close();
    await pass(world, 1);
    expect(told.sort()).toEqual(['at least', 'gathering SHUTTING_DOWN', 'next SHUTTING_DOWN']);
  });
});
