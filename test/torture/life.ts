/** A node's use of its disk, drawn from a seed: each step tells what it promises before it asks for it. */
import type { Random } from '../../src/base/random.js';
import type { HardState, LogEntry, SnapshotMark } from '../../src/consensus/types.js';
import type { Disk } from '../../src/storage/index.js';
import { closeAll, compare, openAll, type Setting } from './examine.js';
import {
  type Expected,
  type LogModel,
  lastIndex,
  type Models,
  NOTE_NAMES,
  NOTHING,
  type Opened,
  type PageModel,
  type PartName,
} from './models.js';

const ENTRY_BYTES = [0, 10, 10, 500, 4_000, 9_000, 20_000];
const PAGE_BYTES = [0, 40, 40, 700, 3_000, 9_000];
/** More than the writer of snapshots gathers. */
const LARGE_PAGE_BYTES = 270_000;
const NOBODY = { voters: [1], outgoing: [], learners: [], learnersNext: [], autoLeave: false };

export const STEPS = ['append', 'snapshot', 'both', 'release', 'install', 'note', 'join', 'reopen'] as const;
export type Step = (typeof STEPS)[number];
const WEIGHTS: Readonly<Record<Step, number>> = {
  append: 9,
  snapshot: 2,
  both: 2,
  release: 3,
  install: 1,
  note: 1,
  join: 1,
  reopen: 2,
};

export function drawSteps(random: Random, count: number): Step[] {
  const bag = STEPS.flatMap((step) => Array.from({ length: WEIGHTS[step] }, () => step));
  return Array.from({ length: count }, () => bag[random.below(bag.length)]!);
}

function pick<T>(random: Random, list: readonly T[]): T {
  return list[random.below(list.length)]!;
}

/** What `entries` and `hardState` make of a log: they replace whatever lies at and behind the first of them. */
function written(log: LogModel, entries: readonly LogEntry[], hardState: HardState | null): LogModel {
  const kept = [...log.entries];
  for (const entry of entries) {
    while (kept.length > 0 && kept.at(-1)!.index >= entry.index) kept.pop();
    kept.push(entry);
  }
  return { ...log, entries: kept, hardState: hardState ?? log.hardState, torn: false };
}

/** A batch that spans segments is written in pieces, and none says that more is committed than there is. */
function pieces(log: LogModel, entries: readonly LogEntry[], hardState: HardState | null): LogModel[] {
  return entries.map((entry, at) => {
    const state = hardState ?? log.hardState;
    const whole = at === entries.length - 1;
    const shown = whole || state === null ? state : { ...state, commit: Math.min(state.commit, entry.index) };
    return written(log, entries.slice(0, at + 1), shown);
  });
}

export class Life {
  readonly #disk: () => Disk;
  readonly #random: Random;
  readonly #setting: Setting;
  #opened: Opened | null = null;
  #said: string[] = [];
  /** Never changed in place: whoever looks at it keeps what it was. */
  expected: Expected;

  /** `disk` gives the disk as a new process sees it. */
  constructor(disk: () => Disk, random: Random, setting: Setting, expected: Expected = NOTHING) {
    this.#disk = disk;
    this.#random = random;
    this.#setting = setting;
    this.expected = expected;
  }

  get opened(): Opened {
    if (this.#opened === null) throw new Error('the directory is not open');
    return this.#opened;
  }

  /** Lines for the operator since the last start. */
  get said(): readonly string[] {
    return this.#said;
  }

  async start(): Promise<void> {
    this.#opened = null;
    this.#said = [];
    const opened = await openAll(this.#disk(), this.#setting, this.#said);
    this.expected = await compare(opened, this.expected);
    this.#opened = opened;
    await this.#finishInstall();
  }

  /** As `src/node/boot.ts` does where the node died between a snapshot's arrival and the log's reset. */
  async #finishInstall(): Promise<void> {
    const { index, term } = this.kept('snapshot');
    const log = this.kept('log');
    const atMark = log.entries.find((entry) => entry.index === index);
    const isVoid = atMark !== undefined && atMark.term !== term;
    if (log.mark.index >= index || (lastIndex(log) > index && !isVoid)) return;
    if (atMark !== undefined && !isVoid) return;
    const before = log.hardState ?? { term: 0, vote: 0, commit: 0 };
    const hardState = before.term < term ? { ...before, term, vote: 0 } : before;
    const mark = { index, term };
    await this.#promise('log', [], { hardState, mark, entries: [], torn: false }, () =>
      this.opened.wal.reset(mark, hardState),
    );
  }

  async stop(): Promise<void> {
    const opened = this.#opened;
    this.#opened = null;
    // The log writes a last batch, which says nothing new.
    if (opened !== null) await this.#promise('log', [], this.kept('log'), () => closeAll(opened));
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const step of steps) await this.take(step);
  }

  async take(step: Step): Promise<void> {
    if (step === 'append') await this.append();
    else if (step === 'snapshot') await this.snapshot();
    else if (step === 'both') await this.both();
    else if (step === 'release') await this.release();
    else if (step === 'install') await this.install();
    else if (step === 'note') await this.note();
    else if (step === 'join') await this.join();
    else await this.reopen();
  }

  /** What is acknowledged of a part. */
  kept<K extends PartName>(part: K): Models[K] {
    return this.expected[part][0] as Models[K];
  }

  async #promise<K extends PartName>(
    part: K,
    between: Models[K][],
    after: Models[K],
    done: () => Promise<void>,
  ) {
    // What an earlier attempt that failed may have left is still possible.
    this.#allow(part, [...(this.expected[part] as readonly Models[K][]), ...between, after]);
    await done();
    this.#allow(part, [after]);
  }

  #allow<K extends PartName>(part: K, models: Models[K][]): void {
    this.expected = { ...this.expected, [part]: models };
  }

  /** One to three turns of a node, gathered for one sync: entries, a vote, a replaced tail, or only a state. */
  async append(): Promise<void> {
    const random = this.#random;
    const { wal } = this.opened;
    const before = this.kept('log');
    const all: LogEntry[] = [];
    let state: HardState | null = null;
    let log = before;
    const turns: [HardState | null, LogEntry[]][] = [];
    for (let turn = 1 + random.below(3); turn > 0; turn--) {
      const entries = random.below(6) === 0 ? [] : this.#entries(log);
      log = written(log, entries, null);
      const next: HardState | null = entries.length > 0 && random.below(3) === 0 ? null : this.#state(log);
      log = written(log, [], next);
      all.push(...entries);
      state = next ?? state;
      turns.push([next, entries]);
    }
    await this.#promise('log', pieces(before, all, state).slice(0, -1), log, () => {
      for (const [hardState, entries] of turns) wal.append(hardState, entries);
      return wal.sync();
    });
  }

  #entries(log: LogModel): LogEntry[] {
    const random = this.#random;
    const last = lastIndex(log);
    const committed = Math.max(log.mark.index, log.hardState?.commit ?? 0);
    const from = random.below(3) === 0 ? committed + 1 + random.below(last - committed + 1) : last + 1;
    const term = Math.max(1, (log.hardState?.term ?? 1) + (from <= last ? 1 : 0));
    const bytes = pick(random, ENTRY_BYTES);
    const count = bytes > 5_000 ? 1 + random.below(2) : 1 + random.below(4);
    return Array.from({ length: count }, (_, at) => ({
      index: from + at,
      term,
      kind: random.below(9) === 0 ? ('membership' as const) : ('command' as const),
      data: this.#bytes(bytes),
    }));
  }

  /** Unlike any others: the number of a draw. */
  #bytes(length: number): Buffer {
    const draw = this.#draw();
    const bytes = Buffer.alloc(length, draw & 0xff);
    if (length >= 8) bytes.writeDoubleLE(draw, 0);
    return bytes;
  }

  /** A number that no other life of the run has drawn. */
  #draw(): number {
    this.#setting.draws.count += 1;
    return this.#setting.draws.count;
  }

  #state(log: LogModel): HardState {
    const random = this.#random;
    const before = log.hardState ?? { term: 1, vote: 0, commit: 0 };
    const term = Math.max(before.term + (random.below(3) === 0 ? 1 : 0), log.entries.at(-1)?.term ?? 0);
    const vote = term === before.term ? before.vote : random.below(4);
    const from = Math.max(before.commit, log.mark.index);
    return { term, vote, commit: from + random.below(lastIndex(log) - from + 1) };
  }

  /** Of a committed place of the log; most pages are as they were and named again. */
  async snapshot(): Promise<void> {
    const { index: before } = this.kept('snapshot');
    const log = this.kept('log');
    const commit = log.hardState?.commit ?? 0;
    if (commit <= before) return;
    const index = commit - this.#random.below(Math.min(3, commit - before));
    const term = log.entries.find((entry) => entry.index === index)?.term ?? log.mark.term;
    await this.#write({ index, term, membership: NOBODY }, this.#changed(this.kept('snapshot').pages));
  }

  #changed(before: readonly PageModel[]): PageModel[] {
    const random = this.#random;
    const pages = new Map(before.map((page) => [page.key, page]));
    for (let changes = random.below(5); changes > 0; changes--) {
      const key = `page-${random.below(9)}`;
      const version = this.#draw();
      const bytes = this.#bytes(random.below(25) === 0 ? LARGE_PAGE_BYTES : pick(random, PAGE_BYTES));
      if (random.below(5) === 0) pages.delete(key);
      else pages.set(key, { key, version, bytes });
    }
    return [...pages.values()];
  }

  async #write(mark: SnapshotMark, pages: readonly PageModel[]): Promise<void> {
    const after = { index: mark.index, term: mark.term, pages };
    await this.#promise('snapshot', [], after, async () => {
      const writer = await this.opened.store.begin(mark);
      try {
        for (const page of pages) {
          if (writer.has(page.key, page.version)) writer.reuse(page.key, page.version);
          else await writer.write(page);
        }
        await writer.finish();
      } finally {
        await writer.abort();
      }
    });
  }

  /** A snapshot while the log goes on. Both are over when it returns, whatever becomes of them. */
  async both(): Promise<void> {
    const [first, second] = await Promise.allSettled([this.snapshot(), this.append()]);
    if (first.status === 'rejected') throw first.reason;
    if (second.status === 'rejected') throw second.reason;
  }

  async release(): Promise<void> {
    const { index, term } = this.kept('snapshot');
    const log = this.kept('log');
    if (index === 0) return;
    const after = index > log.mark.index ? { ...log, mark: { index, term }, torn: false } : log;
    await this.#promise('log', [], after, () => this.opened.wal.release({ index, term }));
  }

  /** The snapshot of another node takes the place of log and state: ahead of the log, or against its last entries. */
  async install(): Promise<void> {
    const log = this.kept('log');
    const { index: before, pages } = this.kept('snapshot');
    const from = Math.max(before, log.hardState?.commit ?? 0, log.mark.index);
    const index = from + 1 + this.#random.below(lastIndex(log) - from + 4);
    const term = Math.max(log.hardState?.term ?? 0, log.entries.at(-1)?.term ?? 0) + 1;
    await this.#write({ index, term, membership: NOBODY }, this.#changed(pages));
    const hardState = { term, vote: 0, commit: index };
    const mark = { index, term };
    await this.#promise('log', [], { hardState, mark, entries: [], torn: false }, () =>
      this.opened.wal.reset(mark, hardState),
    );
  }

  async note(): Promise<void> {
    const random = this.#random;
    const name = pick(random, NOTE_NAMES);
    const notes: Record<string, unknown> = { ...this.kept('notes') };
    const value = random.below(3) === 0 ? null : { of: name, number: this.#draw() };
    if (value === null) delete notes[name];
    else notes[name] = value;
    await this.#promise('notes', [], notes, () => this.opened.directory.writeNote(name, value));
  }

  async join(): Promise<void> {
    const identity = this.kept('identity');
    const clusterId = identity.clusterId ?? `cluster-${this.#draw()}`;
    await this.#promise('identity', [], { ...identity, clusterId }, () =>
      this.opened.directory.join({ id: clusterId, name: 'blue' }),
    );
  }

  /** In order, or as one that was killed while nothing was under way: the disk is mounted anew either way. */
  async reopen(): Promise<void> {
    if (this.#random.below(2) === 0) await this.stop();
    await this.start();
  }
}
