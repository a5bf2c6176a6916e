import { beforeEach, describe, expect, it } from 'vitest';
import { ClockWatch } from '../../../src/node/clock-watch.js';
import { Clocks } from '../../../src/node/clocks.js';
import type { SimClock, World } from '../../../src/sim/world.js';
import { newWorld, pass, silent } from './parts.js';

const LIMIT_MS = 2_000;
const ROUND_MS = 200;

describe("the voters' clocks", () => {
  let world: World;
  let clock: SimClock;
  let clocks: Clocks;
  /** By peer: its wall clock less the right one; null: it does not answer. */
  let peers: Map<string, number | null>;
  let core: { wall: number };
  let voters: string[] | null;
  let watch: ClockWatch;
  let transfers: string[];
  let unable: Set<string>;

  beforeEach(() => {
    world = newWorld();
    clock = world.clock(0);
    peers = new Map<string, number | null>([
      ['n2', 0],
      ['n3', 0],
    ]);
    voters = ['n2', 'n3'];
    core = { wall: 0 };
    transfers = [];
    unable = new Set();
    clocks = new Clocks({ clock, core, limitMs: LIMIT_MS, otherVoters: () => voters });
    watch = new ClockWatch({
      clock,
      clocks,
      log: silent,
      limitMs: LIMIT_MS,
      canLead: (name) => !unable.has(name),
      transferTo: (name) => transfers.push(`${world.now} ${name}`),
    });
  });

  /** One answer; it takes `thereMs` for the question and `backMs` for the answer. */
  async function ask(name: string, thereMs: number, backMs: number): Promise<void> {
    const offset = peers.get(name);
    if (offset === null || offset === undefined) return;
    const sentMs = clock.monotonicMs();
    await pass(world, thereMs);
    const wall = world.clock(offset).wallMs();
    await pass(world, backMs);
    clocks.heard(name, sentMs, wall);
  }

  async function rounds(count: number, isLeader = true): Promise<void> {
    for (let i = 0; i < count; i++) {
      for (const name of peers.keys()) await ask(name, 1, 1);
      watch.look(isLeader);
      await pass(world, ROUND_MS);
    }
  }

  it('are read before the first stamp, which waits for a second at most', async () => {
    const fresh = (): Clocks => new Clocks({ clock, core, limitMs: LIMIT_MS, otherVoters: () => voters });
    await pass(world, 5_000);
    expect(clocks.mayStamp).toBe(false);
    await pass(world, 999);
    expect(clocks.mayStamp).toBe(false);
    await pass(world, 1);
    expect(clocks.mayStamp).toBe(true);
    // Another time it waits again.
    await pass(world, 5_000);
    expect(clocks.mayStamp).toBe(false);
    // Of two clocks that contradict each other the earlier one counts, whosever it is; three tell which are right.
    for (const [off, two, three] of [
      [10_000, 0, 0],
      [-10_000, -10_000, 0],
    ] as const) {
      clock.wallOffsetMs = off;
      clocks = fresh();
      const late = (): number => Math.round((clocks.wallMs() - world.clock(0).wallMs()) / 10) * 10;
      await ask('n2', 1, 1);
      expect(clocks.judge()).toMatchObject({ isOff: true });
      expect(clocks.mayStamp).toBe(true);
      expect(late()).toBe(two);
      await ask('n3', 1, 1);
      expect(clocks.mayStamp).toBe(true);
      expect(late()).toBe(three);
    }
    // The time of the log tells which of two is behind; where both are, nothing does.
    for (const [off, log, two] of [
      [-10_000, 0, 0],
      [-10_000, -9_000, -10_000],
      [10_000, 0, 0],
      [10_000, 60_000, 10_000],
      [-10_000, 60_000, 0],
    ] as const) {
      clock.wallOffsetMs = off;
      core.wall = world.clock(0).wallMs() + log;
      clocks = fresh();
      await ask('n2', 1, 1);
      expect(clocks.mayStamp).toBe(true);
      expect(Math.round((clocks.wallMs() - world.clock(0).wallMs()) / 10) * 10).toBe(two);
    }
    core.wall = 0;
    // Whoever has once known its clock to be right need not wait.
    clock.wallOffsetMs = 0;
    clocks = fresh();
    await ask('n2', 1, 1);
    expect(clocks.mayStamp).toBe(true);
    await pass(world, 60_000);
    expect(clocks.judge()).toBeNull();
    expect(clocks.mayStamp).toBe(true);
    // One node alone is a majority.
    voters = [];
    expect(fresh().mayStamp).toBe(true);
  });

  it('are known within half of the smallest round trip', async () => {
    peers.set('n2', 1_000);
    await ask('n2', 0, 400);
    expect(clocks.offsetMs('n2')).toBeCloseTo(800, 0);
    await ask('n2', 2, 6);
    expect(Math.abs(clocks.offsetMs('n2')! - 1_000)).toBeLessThanOrEqual(5);
    await ask('n2', 500, 0);
    expect(Math.abs(clocks.offsetMs('n2')! - 1_000)).toBeLessThanOrEqual(5);
  });

  it('are known anew once one was set', async () => {
    await ask('n2', 1, 1);
    peers.set('n2', -60_000);
    await ask('n2', 5, 5);
    expect(clocks.offsetMs('n2')).toBeCloseTo(-60_000, -2);
    clock.wallOffsetMs = -60_000;
    expect(clocks.offsetMs('n2')).toBeCloseTo(0, -2);
  });

  it('are forgotten after a time without an answer', async () => {
    await ask('n2', 1, 1);
    await pass(world, 6_000);
    expect(clocks.offsetMs('n2')).toBeNull();
    expect(clocks.judge()).toBeNull();
  });

  it.each([60_000, -60_000])("depose a leader that is %i ms away, and its time is no stamp's", async (ms) => {
    await rounds(3);
    clock.wallOffsetMs = ms;
    expect(Math.abs(clocks.wallMs() - world.clock(0).wallMs())).toBeLessThan(10);
    await rounds(4);
    expect(transfers).toEqual([]);
    await rounds(3);
    expect(transfers).toHaveLength(1);
    expect(Math.abs(clocks.wallMs() - world.clock(0).wallMs())).toBeLessThan(10);
    await rounds(20, false);
    expect(transfers).toHaveLength(1);
  });

  it('set together on one machine depose nobody, and stamps follow', async () => {
    await rounds(3);
    clock.wallOffsetMs = 3_600_000;
    await rounds(1);
    for (const name of peers.keys()) peers.set(name, 3_600_000);
    await rounds(30);
    expect(transfers).toEqual([]);
    expect(clocks.wallMs()).toBe(clock.wallMs());
  });

  it('within the limit are left alone', async () => {
    peers.set('n2', 1_900);
    peers.set('n3', 1_900);
    await rounds(30);
    expect(transfers).toEqual([]);
    expect(clocks.wallMs()).toBe(clock.wallMs());
  });

  it('choose the successor that is nearest to the median, then the next', async () => {
    voters = ['n2', 'n3', 'n4', 'n5'];
    for (const [name, ms] of [
      ['n2', 30_000],
      ['n3', 30_400],
      ['n4', 29_900],
      ['n5', 90_000],
    ] as const) {
      peers.set(name, ms);
    }
    await rounds(8);
    expect(transfers.map((one) => one.split(' ')[1])).toEqual(['n2']);
    await rounds(15);
    expect(transfers.map((one) => one.split(' ')[1])).toEqual(['n2', 'n4']);
    expect(clocks.judge()!.off).toEqual(['n5']);
    unable.add('n3');
    await rounds(15);
    expect(transfers.at(-1)!.split(' ')[1]).not.toBe('n3');
  });

  it('never hand over to one that is off itself', async () => {
    peers.set('n2', 60_000);
    peers.set('n3', null);
    await rounds(40);
    expect(clocks.judge()).toMatchObject({ isOff: true, successors: [] });
    expect(transfers).toEqual([]);
  });

  it('say nothing without a majority of readings, and a leader that has none keeps to its own pace', async () => {
    await rounds(3);
    peers.set('n2', null);
    peers.set('n3', null);
    await pass(world, 6_000);
    clock.wallOffsetMs = 60_000;
    await rounds(30);
    expect(clocks.judge()).toBeNull();
    expect(transfers).toEqual([]);
    expect(Math.abs(clocks.wallMs() - world.clock(0).wallMs())).toBeLessThan(10);
  });

  it('of one node alone are always right', async () => {
    voters = [];
    peers.clear();
    await rounds(3);
    clock.wallOffsetMs = 60_000;
    await rounds(20);
    expect(transfers).toEqual([]);
    expect(clocks.wallMs()).toBe(clock.wallMs());
  });

  it('that cannot be read well enough do not count', async () => {
    peers.set('n2', 60_000);
    peers.set('n3', 60_000);
    for (let i = 0; i < 10; i++) {
      for (const name of ['n2', 'n3']) await ask(name, 0, 1_200);
      expect(clocks.judge()).toBeNull();
    }
  });
});
