/**
 * A replica that keeps most jobs on disk beside one that keeps all in memory: thousands of jobs, so that there are pages of
 * every kind. Both must say the same, write the same snapshots, and keep nothing that is not wanted.
 */
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { type Core, createCore, encodeEntry, encodeNodeUp, type JobSpec } from '../../../src/core/index.js';
import { seeded } from '../storage/support.js';
import { Bed, complete, fail, MapPayloads, MapSpill, Notes } from './bed.js';

const SETTINGS = { retentionMs: 3_000, failedRetentionMs: 9_000, retainedJobsMax: 400, sweepSteps: 200 };
const FUNCTIONS = ['f', 'g', 'h'] as const;
const ALL = {
  namespace: 'default',
  function: '',
  states: [],
  uniqueKey: '',
  pageSize: 1e6,
  after: 0,
  budget: 1e6,
};

interface Page {
  readonly key: string;
  readonly version: number;
  readonly bytes: Buffer | null;
}

/** Pages of a whole snapshot; without bytes those that `has` names in the same version. */
function snapshot(core: Core, has = new Map<string, number>(), between = (): void => {}): Page[] {
  const cursor = core.beginSnapshot();
  const pages: Page[] = [];
  const skip = (key: string, version: number): boolean => has.get(key) === version;
  for (let page = cursor.next(skip); page !== null; page = cursor.next(skip)) {
    pages.push({
      key: page.key,
      version: page.version,
      bytes: page.bytes === null ? null : Buffer.from(page.bytes),
    });
    between();
  }
  return pages;
}

class Pair {
  readonly bed = new Bed(SETTINGS);
  readonly payloads = new MapPayloads();
  readonly spill = new MapSpill();
  readonly disk: Core;
  readonly session: number;
  readonly random;
  readonly ids: string[] = [];
  /** Pages of the last snapshot, and the versions in which they were. */
  stored = new Map<string, Page>();
  most = 0;
  #credit = 0;

  constructor(seed: number, memoryBytes: number) {
    this.random = seeded(seed);
    const { bed, payloads } = this;
    const spill = { store: this.spill, memoryBytes };
    this.disk = createCore({ payloads, spill, settings: SETTINGS, clusterName: 'test' });
    const up = encodeNodeUp({ name: 'n1', nonce: 1, grpc: 'n1:1', http: 'n1:2', version: '1' });
    this.disk.apply(1, encodeEntry(bed.elapsedUs, bed.wall, [up]), new Notes());
    const apply = bed.apply.bind(bed);
    bed.apply = (batches) => {
      const entry = encodeEntry(bed.elapsedUs, bed.wall, batches);
      const said = apply(batches);
      const there = new Notes();
      this.disk.apply(bed.core.appliedIndex, entry, there);
      expect(there.lines).toEqual(said.lines);
      while (this.disk.relieve());
      this.most = Math.max(this.most, this.disk.counts().spilledJobs);
      return said;
    };
    this.session = bed.open(0, ['f', 'g']);
  }

  #spec(): JobSpec {
    const { random, bed } = this;
    const kind = random.below(40);
    const sizes: Record<number, number> = { 1: 600, 2: 9_000, 3: 0 };
    const spec = bed.spec({
      function: FUNCTIONS[random.below(3)]!,
      payload: Buffer.alloc(sizes[kind] ?? random.below(200), kind),
      priority: random.below(3) as 0 | 1 | 2,
      uniqueKey: kind === 4 ? `k${random.below(1_000)}` : '',
      delayMs: kind === 5 ? 1 + random.below(5_000) : 0,
      startDeadlineWall: kind === 6 ? bed.wall + 1 + random.below(5_000) : 0,
      retentionMs: kind === 7 ? 0 : -1,
      metadata: kind === 8 ? [['a', 'b']] : [],
      waits: kind === 9,
    });
    this.ids.push(spec.id);
    return spec;
  }

  submit(count: number): void {
    this.bed.do((b) => {
      for (let i = 0; i < count; i++) b.submit('default', this.#spec());
    });
  }

  work(count: number): void {
    const { bed, session, random } = this;
    this.#credit += count;
    bed.do((b) => b.credit(session, 1, this.#credit));
    const outcomes = bed.core.heldTokens(session).map((token) => {
      const seq = bed.core.seqOfToken(token);
      if (random.below(10) === 0) return fail(seq, token, { retryAfterMs: random.below(500) });
      return complete(seq, token, 'r'.repeat(random.below(20) === 0 ? 700 : 5));
    });
    bed.do((b) => b.outcomes(session, 1, this.#credit, outcomes));
  }
  someone(): string {
    return this.ids[this.random.below(this.ids.length)]!;
  }

  step(): void {
    const { bed, random } = this;
    const kind = random.below(12);
    if (kind < 4) this.submit(1 + random.below(500));
    else if (kind < 7) this.work(1 + random.below(250));
    else if (kind === 7) bed.do((b) => b.cancel('default', this.someone(), 'because', 0));
    else if (kind === 8) bed.do((b) => b.retry('default', this.someone()));
    else if (kind === 9) bed.pass(random.below(2_000));
    else if (kind === 10) this.spill.accepts = random.below(4) > 0;
    else if (random.below(8) === 0) bed.do((b) => b.purge('default', 'h', ['queued']));
    else
      expect(this.disk.findJob('default', this.ids[0]!)).toEqual(bed.core.findJob('default', this.ids[0]!));
  }

  /** A snapshot of both, while jobs go on being put away on one of them. */
  store(): void {
    const has = new Map(Array.from(this.stored.values(), ({ key, version }) => [key, version]));
    const memory = snapshot(this.bed.core, has);
    const disk = snapshot(this.disk, has, () => void this.disk.relieve());
    const byKey = (pages: Page[]): Page[] => pages.sort((a, b) => (a.key < b.key ? -1 : 1));
    expect(isDeepStrictEqual(byKey(disk), byKey(memory))).toBe(true);
    this.stored = new Map(
      disk.map((page) => [page.key, page.bytes === null ? this.stored.get(page.key)! : page]),
    );
  }

  /** The one on disk begins anew with its last snapshot; `order` of the pages. */
  restore(): void {
    this.store();
    const restorer = this.disk.beginRestore();
    const pages = [...this.stored.values()];
    if (this.random.below(2) === 0) pages.reverse();
    for (const { key, bytes } of pages) restorer.page(key, bytes!);
    restorer.finish();
    this.compare();
  }

  compare(): void {
    expect(this.disk.stateHash()).toBe(this.bed.core.stateHash());
    const { spilledJobs: _jobs, spillLoads: _loads, payloadBytes: _bytes, ...counts } = this.disk.counts();
    expect(this.bed.core.counts()).toMatchObject(counts);
    expect(this.disk.queues(null)).toEqual(this.bed.core.queues(null));
  }

  /** Everything is worked off, and nothing is left anywhere. */
  finish(): void {
    const { bed } = this;
    this.spill.accepts = true;
    expect(isDeepStrictEqual(this.disk.listJobs(ALL), bed.core.listJobs(ALL))).toBe(true);
    bed.do((b) => {
      for (const fn of FUNCTIONS)
        b.purge('default', fn, ['queued', 'scheduled', 'succeeded', 'failed', 'cancelled', 'expired']);
    });
    bed.do((b) => b.sessionClose(this.session, 1));
    bed.pass(20_000);
    for (const fn of FUNCTIONS) bed.do((b) => b.purge('default', fn, ['queued', 'scheduled']));
    bed.pass(20_000);
    this.compare();
    expect(this.disk.counts().jobs).toBe(0);
    expect(this.payloads.count).toBe(0);
    expect(this.spill.count).toBe(0);
  }
}

describe('a replica with most jobs on disk', () => {
  for (const [seed, memoryBytes] of [
    [1, 0],
    [2, 0],
    [3, 200_000],
    [4, 50_000],
  ] as const) {
    it(`is the same as one with all in memory (${seed})`, () => {
      const pair = new Pair(seed, memoryBytes);
      pair.submit(300);
      for (let round = 0; round < 6; round++) {
        for (let i = 0; i < 12; i++) pair.step();
        pair.compare();
        if (round % 2 === 0) pair.store();
        else pair.restore();
      }
      expect(pair.most).toBeGreaterThan(1_000);
      pair.finish();
    });
  }

  it('has what is worked off next in memory, and reads each page a few times at most', () => {
    const pair = new Pair(9, 300_000);
    for (let i = 0; i < 40; i++) {
      pair.bed.do((b) => {
        for (let job = 0; job < 256; job++) b.submit('default', pair.bed.spec());
      });
    }
    const { spilledJobs, spillLoads } = pair.disk.counts();
    expect(spilledJobs).toBeGreaterThan(7_000);
    // Ids that hash alike are compared.
    expect(spillLoads).toBeLessThan(5);
    pair.work(500);
    expect(pair.disk.counts().spillLoads).toBeLessThanOrEqual(spillLoads + 2);
    while (pair.bed.core.counts().waiting > 0) pair.work(500);
    // To be worked off, and once more when its last jobs are dropped behind their retention.
    expect(pair.disk.counts().spillLoads).toBeLessThanOrEqual(40 * 3);
    pair.finish();
  });

  it('gives up its disk for another state, and its memory', () => {
    const pair = new Pair(5, 0);
    for (let i = 0; i < 10; i++) pair.submit(400);
    expect(pair.spill.count).toBeGreaterThan(5);
    const pages = snapshot(pair.bed.core);
    const restorer = pair.disk.beginRestore();
    expect(pair.spill.count).toBe(0);
    expect(pair.payloads.count).toBe(0);
    for (const { key, bytes } of pages.slice(0, -1)) restorer.page(key, bytes!);
    expect(pair.spill.count).toBeGreaterThan(5);
    restorer.abandon();
    expect(pair.spill.count).toBe(0);
    expect(pair.payloads.count).toBe(0);
  });
});
