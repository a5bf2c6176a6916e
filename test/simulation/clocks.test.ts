import { describe, expect, it } from 'vitest';
import { UlidSource } from '../../src/base/ulid.js';
import type { JobSpec } from '../../src/core/types.js';
import { SimCluster, type SimNode } from '../../src/sim/cluster.js';
import { EPOCH_WALL_MS, World } from '../../src/sim/world.js';

/**
 * Goal: a leader whose clock is set wrong hands over within seconds, and no delayed job starts early for it
 * (docs/guarantees.md, "What all of this rests on"). Virtual time is the majority's clock, give or take 50 ms.
 */
const START_WALL_MS = EPOCH_WALL_MS;
const OWN_ERROR_MS = 200;
const EARLY_MS = 2_000;
const DELAYS_MS = [4_000, 8_000, 15_000, 30_000, 58_000, 61_000, 90_000];

function delayed(id: string, delayMs: number): JobSpec {
  return {
    id,
    function: 'f',
    payload: new Uint8Array(0),
    payloadBlob: null,
    contentType: '',
    metadata: [],
    priority: 1,
    runAtWall: 0,
    delayMs,
    uniqueKey: '',
    retry: null,
    runTimeoutMs: 0,
    startDeadlineWall: 0,
    retentionMs: -1,
    traceparent: '',
    foreground: false,
    seed: 1,
  };
}

class Watched {
  readonly world: World;
  readonly cluster: SimCluster;
  readonly due = new Map<string, number>();
  readonly began = new Map<string, number>();
  /** Leaders in order, as `ms name`. */
  readonly leaders: { at: number; name: string }[] = [];
  readonly #ulids: UlidSource;

  constructor(seed: number, lines: string[]) {
    this.world = new World(seed, (line) => lines.push(line));
    this.cluster = new SimCluster(this.world, { nodes: 3 });
    this.#ulids = new UlidSource(this.world.random);
  }

  async start(): Promise<void> {
    for (const node of this.cluster.nodes) void node.start();
    expect(await this.world.run(30_000, () => this.cluster.allReady())).toBe(true);
    this.#look();
    await this.pass(1_500);
  }

  pass(ms: number): Promise<boolean> {
    return this.world.run(this.world.now + ms, () => false);
  }

  async submit(through: SimNode, delays: readonly number[]): Promise<void> {
    const specs = delays.map((ms) =>
      delayed(this.#ulids.next(START_WALL_MS + Math.floor(this.world.now)), ms),
    );
    const { now } = this.world;
    specs.forEach((spec, i) => {
      this.due.set(spec.id, now + delays[i]!);
    });
    let answered = false;
    const call = through.node!.submit('default', specs, { allOrNothing: false }).then((results) => {
      answered = results.every((one) => one.error === null);
    });
    expect(await this.world.run(now + 10_000, () => answered)).toBe(true);
    await call;
  }

  /** Milliseconds by which jobs began before they were due, the worst. */
  get earliest(): number {
    return Math.min(...[...this.began].map(([id, at]) => at - this.due.get(id)!));
  }

  get latest(): number {
    return Math.max(...[...this.began].map(([id, at]) => at - this.due.get(id)!));
  }

  #look(): void {
    const leader = this.cluster.leader?.name;
    if (leader !== undefined && this.leaders.at(-1)?.name !== leader)
      this.leaders.push({ at: this.world.now, name: leader });
    for (const { node } of this.cluster.nodes) {
      const core = node?.parts?.core;
      if (core === undefined) continue;
      for (const id of this.due.keys()) {
        const seq = core.seqOf('default', id);
        if (seq === 0 || this.began.has(id) || core.stateOf(seq) === 'scheduled') continue;
        this.began.set(id, this.world.now);
      }
    }
    this.world.after(10, () => this.#look());
  }
}

describe("a leader's clock", () => {
  it.each([
    [1, 60_000],
    [2, -60_000],
    [3, 3_600_000],
    [4, -5_000],
  ])('(seed %i) that jumps by %i ms moves leadership and starts nothing early', async (seed, jumpMs) => {
    const lines: string[] = [];
    const run = new Watched(seed, lines);
    await run.start();
    const old = run.cluster.leader!;
    const other = run.cluster.nodes.find((node) => node !== old)!;
    await run.submit(other, DELAYS_MS);
    old.setClock(jumpMs);
    const jumped = run.world.now;
    await run.submit(other, DELAYS_MS);
    await run.pass(5_000);
    const next = run.cluster.leader!;
    expect(next).not.toBe(old);
    expect(run.leaders.at(-1)!.at - jumped).toBeLessThan(3_000);
    expect(lines.some((line) => line.includes("the leader's clock is away from the median"))).toBe(true);
    await run.submit(old, DELAYS_MS);
    await run.pass(100_000);
    // Once, and for good.
    expect(run.leaders).toHaveLength(2);
    expect(run.began.size).toBe(run.due.size);
    expect(run.earliest).toBeGreaterThan(-EARLY_MS);
    expect(run.earliest).toBeGreaterThan(-OWN_ERROR_MS);
    expect(run.latest).toBeLessThan(1_000);

    // From a leader that dies, the other one with a right clock takes over at once.
    next.kill();
    await run.pass(500);
    expect(run.leaders).toHaveLength(3);
    expect([old, next]).not.toContain(run.cluster.leader);
    await run.pass(60_000);
    expect(run.leaders).toHaveLength(3);
  });

  it("that is right stays in office whatever a minority's clocks say", async () => {
    const run = new Watched(5, []);
    await run.start();
    const leader = run.cluster.leader!;
    const other = run.cluster.nodes.find((node) => node !== leader)!;
    other.setClock(60_000);
    await run.pass(60_000);
    expect(run.leaders).toHaveLength(1);
    expect(run.cluster.leader).toBe(leader);
  });

  it('that is off gives way also when it came to office by an election', async () => {
    const run = new Watched(6, []);
    await run.start();
    const leader = run.cluster.leader!;
    const off = run.cluster.nodes.find((node) => node !== leader)!;
    off.setClock(60_000);
    await run.pass(2_000);
    leader.node!.engine!.transferTo(off.name);
    expect(await run.world.run(run.world.now + 1_000, () => run.cluster.leader === off)).toBe(true);
    await run.submit(off, DELAYS_MS);
    await run.pass(3_000);
    expect(run.cluster.leader).not.toBe(off);
    const { length } = run.leaders;
    await run.pass(100_000);
    expect(run.leaders).toHaveLength(length);
    expect(run.earliest).toBeGreaterThan(-OWN_ERROR_MS);
  });
});
