/**
 * The log against a model, with power lost at any operation of the disk: what a resolved call promised is there
 * after the next start, what was under way is there whole, in part from its beginning, or not at all, and nothing
 * else is. And what is there can be read at any time.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HardState, LogEntry } from '../../../src/consensus/types.js';
import { MemoryDisk, StorageError, type Wal, type WalRecovery } from '../../../src/storage/index.js';
import { entry, openLog, plain, readAll, seeded } from './support.js';

type Opened = Awaited<ReturnType<typeof openLog>>;

interface Model {
  hardState: HardState | null;
  mark: { index: number; term: number };
  /** Those behind the mark. */
  entries: LogEntry[];
}

type Step =
  | {
      readonly kind: 'write';
      readonly back: number;
      readonly uncommitted: number;
      readonly count: number;
      readonly bytes: number;
    }
  | { readonly kind: 'state' }
  | { readonly kind: 'release'; readonly keep: number; readonly below: number }
  | { readonly kind: 'reset'; readonly ahead: number }
  | { readonly kind: 'reopen' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      back: fc.integer({ min: 0, max: 3 }),
      uncommitted: fc.integer({ min: 0, max: 6 }),
      count: fc.integer({ min: 1, max: 12 }),
      bytes: fc.constantFrom(0, 10, 500, 4_000, 9_000),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'state' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('release' as const),
      keep: fc.integer({ min: 0, max: 6 }),
      below: fc.integer({ min: 0, max: 20 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('reset' as const), ahead: fc.integer({ min: 0, max: 5 }) }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'reopen' as const }) },
);

function lastIndex(model: Model): number {
  return model.entries.at(-1)?.index ?? model.mark.index;
}

function written(model: Model, hardState: HardState | null, list: readonly LogEntry[]): Model {
  const from = list[0]?.index ?? Number.POSITIVE_INFINITY;
  const before = model.entries.filter(({ index }) => index < from);
  return { ...model, hardState: hardState ?? model.hardState, entries: [...before, ...list] };
}

/** What is handed over is the end of what can be read, with all that may still be replaced. */
function found({ hardState, mark, outline, entries }: WalRecovery, wal: Wal, keepBytes?: number): string {
  const { first, last } = outline;
  if (first <= last) expect(first).toBeLessThanOrEqual(mark.index + 1);
  const from = keepBytes === undefined ? first : Math.max(first, mark.index + 1);
  const all = readAll(wal, from, last);
  expect(all.map(({ index }) => outline.termAt(index))).toEqual(all.map(({ term }) => term));
  const held = entries[0]?.index ?? last + 1;
  if (keepBytes === undefined) expect(held).toBe(first);
  if (from <= last) expect(held).toBeLessThanOrEqual(Math.max(from, (hardState?.commit ?? 0) + 1));
  expect(plain(entries)).toEqual(plain(all.filter(({ index }) => index >= held)));
  return shown({ hardState, mark, entries: all.filter(({ index }) => index > mark.index) });
}

/** The commit index may lag in a batch that was cut in pieces; it has its own test. */
function shown({ hardState, mark, entries }: Model): string {
  return JSON.stringify([hardState?.term ?? 0, mark, plain(entries)]);
}

/** Runs the steps; whatever may be found is in `allowed` at every moment. */
class Run {
  model: Model = { hardState: null, mark: { index: 0, term: 0 }, entries: [] };
  allowed: Model[] = [this.model];
  /** Entries that can be read, also some that the mark covers. */
  #readable: LogEntry[] = [];
  #term = 0;
  /** Entries that were not handed over at a start. */
  left = 0;

  async take(wal: Wal, one: Exclude<Step, { kind: 'reopen' }>): Promise<void> {
    const { model } = this;
    if (one.kind === 'write' || one.kind === 'state') {
      const committed = Math.max(model.mark.index, model.hardState?.commit ?? 0);
      const list: LogEntry[] = [];
      this.#term += 1;
      let commit = committed;
      if (one.kind === 'write') {
        const from = Math.max(committed + 1, lastIndex(model) + 1 - one.back);
        commit = Math.max(committed, from - 1 - one.uncommitted);
        for (let i = 0; i < one.count; i++) {
          list.push(entry(from + i, this.#term, Buffer.alloc(one.bytes, this.#term)));
        }
      }
      const hardState = { term: this.#term, vote: 1, commit };
      // A batch that spans segments is written in pieces.
      for (let count = 1; count <= list.length; count++) {
        this.allowed.push(written(model, hardState, list.slice(0, count)));
      }
      wal.append(hardState, list);
      await this.#promise(written(model, hardState, list), wal.sync());
      const from = list[0]?.index ?? Number.POSITIVE_INFINITY;
      this.#readable = [...this.#readable.filter(({ index }) => index < from), ...list];
    } else if (one.kind === 'release') {
      const index = Math.max(model.mark.index, lastIndex(model) - one.keep);
      const mark = { index, term: this.#term };
      const entries = model.entries.filter((e) => e.index > index);
      const after = index > model.mark.index ? { ...model, mark, entries } : model;
      const keepFrom = index + 1 - one.below;
      await this.#promise(after, wal.release(mark, keepFrom));
      this.#readable = this.#readable.filter((e) => e.index >= keepFrom);
    } else {
      const mark = { index: lastIndex(model) + one.ahead, term: ++this.#term };
      const hardState = { term: this.#term, vote: 0, commit: mark.index };
      await this.#promise({ hardState, mark, entries: [] }, wal.reset(mark, hardState));
      this.#readable = [];
    }
    this.read(wal, 1 + (this.#term % 3) * 4_000);
  }

  read(wal: Wal, bytes: number): void {
    const all: LogEntry[] = [];
    const first = this.#readable[0]?.index ?? 0;
    const last = this.#readable.at(-1)?.index ?? -1;
    for (let next = first; next <= last; next = first + all.length) {
      const piece = wal.read(next, last, bytes);
      expect(piece.length).toBeGreaterThan(0);
      all.push(...piece);
    }
    expect(plain(all)).toEqual(plain(this.#readable));
  }

  async #promise(after: Model, done: Promise<void>): Promise<void> {
    this.allowed.push(after);
    await done;
    this.settle(after);
  }

  settle(model: Model): void {
    this.model = model;
    this.allowed = [model];
  }

  check({ wal, recovery }: Opened, keepBytes?: number): void {
    expect(recovery.damage).toBeNull();
    this.left += recovery.outline.last - recovery.outline.first + 1 - recovery.entries.length;
    const is = found(recovery, wal, keepBytes);
    const one = this.allowed.find((model) => shown(model) === is);
    expect(one === undefined ? { found: is, allowed: this.allowed.map(shown) } : null).toBeNull();
    this.settle(one!);
    this.#readable = one!.entries;
  }
}

interface Life {
  readonly steps: readonly Step[];
  readonly keepBytes: number | undefined;
}

async function live(disk: MemoryDisk, run: Run, { steps, keepBytes }: Life, seed: number): Promise<void> {
  const kept = keepBytes === undefined ? {} : { keepBytes };
  let opened = await openLog(disk, { seed, ...kept });
  run.check(opened, keepBytes);
  for (const one of steps) {
    if (one.kind === 'reopen') {
      await opened.wal.close();
      opened = await openLog(disk, { seed: seed + 7, ...kept });
      run.check(opened, keepBytes);
      run.read(opened.wal, 3_000);
    } else {
      await run.take(opened.wal, one);
    }
  }
  await opened.wal.close();
}

describe('the log under power loss', () => {
  it('keeps what it promised and invents nothing', async () => {
    let crashes = 0;
    let left = 0;
    const life = fc.record({
      steps: fc.array(step, { minLength: 1, maxLength: 14 }),
      keepBytes: fc.constantFrom(undefined, 0, 20_000, 100_000),
      crashAt: fc.integer({ min: 0, max: 160 }),
      tear: fc.boolean(),
      powerLoss: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(life, { minLength: 1, maxLength: 5 }), fc.nat(), async (lives, seed) => {
        const disk = new MemoryDisk();
        const run = new Run();
        const random = seeded(seed + 1);
        for (const [number, life] of lives.entries()) {
          const { crashAt, tear, powerLoss } = life;
          let operations = 0;
          let crashed = false;
          disk.before = () => {
            if (operations++ !== crashAt || crashed) return;
            crashed = true;
            if (powerLoss) disk.crash({ random, tear });
            else disk.stop();
          };
          await live(disk, run, life, seed + number).catch((error) => {
            if (!crashed || !(error instanceof StorageError && error.code === 'FAILED')) throw error;
          });
          disk.before = null;
          if (crashed) crashes++;
        }
        disk.crash({ random, tear: true });
        run.check(await openLog(disk));
        left += run.left;
      }),
      { numRuns: 250 },
    );
    expect(crashes).toBeGreaterThan(100);
    expect(left).toBeGreaterThan(1_000);
  });
});
