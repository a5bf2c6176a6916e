import { describe, expect, it } from 'vitest';
import { World } from '../../../src/sim/world.js';

describe('virtual time', () => {
  it('runs events in the order of their times, and of their asking where those are equal', async () => {
    const world = new World(1);
    const seen: string[] = [];
    world.after(2, () => seen.push('late'));
    world.after(1, () => seen.push('first'));
    world.after(1, () => seen.push('second'));
    world.after(1, () => seen.push('cancelled')).cancel();
    await world.run(10, () => false);
    expect(seen).toEqual(['first', 'second', 'late']);
    expect(world.now).toBe(10);
    expect(world.events).toBe(3);
  });

  it('lets every promise go on before the next event, however long their chain is', async () => {
    const world = new World(1);
    const seen: string[] = [];
    world.after(1, () => {
      void (async () => {
        for (let i = 0; i < 50; i++) await Promise.resolve();
        seen.push('chain');
      })();
    });
    world.after(1, () => seen.push('next'));
    await world.run(10, () => false);
    expect(seen).toEqual(['chain', 'next']);
  });

  it('interrupts between two events, so many of them from now', async () => {
    const world = new World(1);
    const seen: string[] = [];
    for (let i = 1; i <= 4; i++) world.after(i, () => seen.push(`${i}`));
    world.afterEvents(2, () => seen.push(`between at ${world.now}`));
    await world.run(10, () => false);
    expect(seen).toEqual(['1', '2', 'between at 2', '3', '4']);
  });

  it('has the same trace hash for the same notes alone', () => {
    const [one, same, other] = [new World(1), new World(1), new World(1)];
    one.note('a');
    same.note('a');
    other.note('b');
    expect(same.traceHash).toBe(one.traceHash);
    expect(other.traceHash).not.toBe(one.traceHash);
  });
});

describe('a process that stands still', () => {
  it('does what came meanwhile when it goes on, in its order and before what comes then', async () => {
    const world = new World(1);
    const clock = world.clock(0);
    const seen: string[] = [];
    clock.setTimer(1, () => seen.push(`timer at ${world.now}`));
    clock.setTimer(2, () => {
      seen.push(`second timer at ${world.now}`);
      clock.run(() => seen.push('after it'));
    });
    const cancelled = clock.setTimer(3, () => seen.push('cancelled'));
    clock.pause();
    await world.run(5, () => false);
    expect(clock.pausedMs).toBe(5);
    cancelled.cancel();
    clock.run(() => seen.push('frame'));
    clock.resume();
    clock.run(() => seen.push('new frame'));
    await world.run(6, () => false);
    expect(seen).toEqual(['timer at 5', 'second timer at 5', 'frame', 'new frame', 'after it']);
    expect(clock.paused).toBe(false);
  });

  it('may be stopped again before it has caught up', async () => {
    const world = new World(1);
    const clock = world.clock(0);
    const seen: string[] = [];
    clock.pause();
    clock.run(() => {
      seen.push('first');
      clock.pause();
    });
    clock.run(() => seen.push('second'));
    clock.resume();
    await world.run(5, () => false);
    expect(seen).toEqual(['first']);
    clock.resume();
    await world.run(6, () => false);
    expect(seen).toEqual(['first', 'second']);
  });

  it('does nothing any more once it is killed', async () => {
    const world = new World(1);
    const clock = world.clock(0);
    const seen: string[] = [];
    clock.pause();
    clock.run(() => seen.push('late'));
    clock.kill();
    clock.resume();
    clock.run(() => seen.push('later'));
    await world.run(5, () => false);
    expect(seen).toEqual([]);
  });
});
