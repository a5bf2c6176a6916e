import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseCalendar } from '../../../src/base/calendar.js';
import {
  BLOB_COUNT_MS,
  type BlobRef,
  type Core,
  createCore,
  ENDLESS_RETRY,
  encodeEntry,
  encodeNodeUp,
  type JobSpec,
  type Outcome,
  type SnapshotCursor,
} from '../../../src/core/index.js';
import { JOBS_PER_PAGE, M_FIELDS } from '../../../src/core/jobs/fields.js';
import { NO_MORE } from '../../../src/core/jobs/page.js';
import {
  asFunction,
  Bed,
  blob,
  complete,
  fail,
  MapPayloads,
  MapSpill,
  Notes,
  release,
  SECRET,
} from './bed.js';
import { Judge } from './judge.js';
import { WaitingModel } from './waiting-model.js';

/*
 * Random lives: a cluster's core takes random commands; a second one follows it through snapshots whose cursor runs
 * while entries go on being applied. Both must say the same and hash to the same; a judge looks at what is promised.
 */

const SETTINGS = {
  sweepSteps: 3,
  sessionGraceMs: 300,
  ackTimeoutMs: 200,
  cancelGraceMs: 150,
  retentionMs: 400,
  failedRetentionMs: 900,
  dedupeWindowMs: 2_000,
  dedupeWindowMinMs: 500,
  dedupeEntriesMax: 60,
  retainedJobsMax: 12,
  maxAttempts: 3,
  initialBackoffMs: 50,
  maxBackoffMs: 200,
  jobsMax: 60,
  jobsPerFunctionMax: 40,
  sessionsMax: 8,
  functionsMax: 6,
  schedulesMax: 5,
  blobBytesMax: 1_000,
  blobsTotalBytesMax: 4_000,
};

/** More lives: `CORE_RUNS=1000`; the same ones again: `CORE_SEED=…` as printed by a failure. */
const RUNS = Number(process.env.CORE_RUNS ?? 15);
const SEED = process.env.CORE_SEED;

const FUNCTIONS = ['f', 'g', 'h'];
const STATES = ['scheduled', 'queued', 'succeeded', 'failed', 'cancelled', 'expired'] as const;

/** A command is a kind and a few numbers that choose among what there is. */
interface Step {
  readonly kind: number;
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.nat(47),
  a: fc.nat(1000),
  b: fc.nat(1000),
  c: fc.nat(1000),
});

class Life {
  readonly bed = new Bed(SETTINGS);
  readonly judge = new Judge(this.bed.core);
  readonly followerPayloads = new MapPayloads();
  readonly followerSpill = new MapSpill();
  /** Keeps as many jobs on disk as it can. */
  follower = createCore({
    payloads: this.followerPayloads,
    spill: { store: this.followerSpill, memoryBytes: 0 },
    settings: SETTINGS,
    clusterName: 'test',
  });
  cursor: SnapshotCursor | null = null;
  pages: { key: string; bytes: Uint8Array }[] = [];
  /** Entries that came behind the begin of the snapshot under way. */
  behind: { index: number; entry: Uint8Array; lines: readonly string[] }[] = [];
  restores = 0;
  /** Entries after which some jobs of the follower were on disk. */
  spills = 0;
  readonly ids: string[] = [];
  readonly scheduleIds: string[] = [];
  readonly outcomes: { session: number; outcome: Outcome }[] = [];
  readonly incarnations: number[] = [];
  nonce = 100;
  readonly waiting = new WaitingModel(this.bed.core, SETTINGS.sessionGraceMs);
  /** Of the next entry: which submissions wait, and what changes otherwise. */
  waits: boolean[] = [];
  changes = new Map<number, number>();
  blobs = 0;

  constructor() {
    const { core } = this.bed;
    const notes = new Notes();
    // The bed began with its node; the follower does the same.
    this.follower.apply(
      1,
      encodeEntry(this.bed.elapsedUs, this.bed.wall, [
        encodeNodeUp({ name: 'n1', nonce: 1, grpc: 'n1:1', http: 'n1:2', version: '1' }),
      ]),
      notes,
    );
    expect(this.follower.stateHash()).toBe(core.stateHash());
    this.incarnations.push(this.bed.incarnation);
    // Some are named too late, or were counted by another membership.
    this.bed.countOf = (id) => ({
      configuration: core.configuration + (id.endsWith('7') ? 1 : 0),
      wall: id.endsWith('8') ? this.bed.wall - BLOB_COUNT_MS - 1 : this.bed.wall,
    });
    const apply = this.bed.apply.bind(this.bed);
    this.bed.apply = (batches) => {
      const entry = encodeEntry(this.bed.elapsedUs, this.bed.wall, batches);
      const said = apply(batches);
      const index = core.appliedIndex;
      const there = new Notes();
      this.follower.apply(index, entry, there);
      expect(there.lines).toEqual(said.lines);
      this.#spill();
      if (this.cursor !== null) this.behind.push({ index, entry, lines: said.lines });
      this.judge.look(said.lines);
      this.waiting.entry(said.lines, this.waits, this.bed.incarnation, this.changes);
      this.waits = [];
      this.changes = new Map();
      return said;
    };
    this.#fillPage();
  }

  #spill(): void {
    while (this.follower.relieve());
    if (this.follower.counts().spilledJobs > 0) this.spills++;
  }

  /** So many jobs come and go that those of the life lie on both sides of a page's end. */
  #fillPage(): void {
    const { bed } = this;
    for (let left = JOBS_PER_PAGE - 20; left > 0; left -= 40) {
      bed.do((b) => {
        for (let i = 0; i < Math.min(40, left); i++) b.submit('default', bed.spec());
      });
      bed.do((b) => b.purge('default', 'f', ['queued']));
      bed.pass(5_000);
    }
  }

  #spec(s: Step): Partial<JobSpec> {
    const { bed } = this;
    return {
      id:
        s.c % 10 === 0 && this.ids.length > 0
          ? this.ids[s.b % this.ids.length]!
          : bed.id(bed.wall - (s.c % 7)),
      function: FUNCTIONS[s.a % 3]!,
      payload: Buffer.alloc(s.b % 5 === 0 ? [600, 9000][s.a % 2]! : s.b % 40, s.b),
      payloadBlob: s.a % 5 === 3 ? this.#blob(s) : null,
      contentType: s.a % 2 === 0 ? '' : 'text/plain',
      priority: (s.b % 3) as 0 | 1 | 2,
      uniqueKey: s.a % 4 === 0 ? `k${s.b % 3}` : '',
      delayMs: s.c % 5 === 1 ? (s.b % 100) + 1 : 0,
      startDeadlineWall: s.c % 6 === 2 ? bed.wall + (s.b % 200) : 0,
      runTimeoutMs: s.c % 4 === 3 ? 120 : 0,
      waits: s.a % 3 === 2,
      retentionMs: s.c % 8 === 4 ? 0 : s.c % 8 === 5 ? 250 : -1,
      retry:
        s.a % 5 === 1
          ? {
              maxAttempts: 2,
              initialBackoffMs: s.b % 30,
              maxBackoffMs: 100,
              multiplierPermille: 1500,
              jitterPermille: 300,
            }
          : s.a % 5 === 2
            ? ENDLESS_RETRY
            : null,
      seed: s.b,
    };
  }

  /** A new one, or one that was named before. */
  #blob(s: Step): BlobRef {
    const n = s.c % 6 === 0 ? Math.max(1, this.blobs - (s.b % 3)) : ++this.blobs;
    return blob(n, 100 + ((n * 97) % 950));
  }

  #session(a: number): { id: number; epoch: number } | null {
    const ids = this.judge.sessions();
    if (ids.length === 0) return null;
    const id = ids[a % ids.length]!;
    return { id, epoch: this.bed.core.session(id)!.epoch };
  }

  #functions(s: Step) {
    const names = FUNCTIONS.filter((_, i) => ((s.a + 1) & (1 << i)) !== 0);
    return (names.length === 0 ? ['f'] : names).map((name) =>
      asFunction({
        name,
        concurrency: s.c % 3 === 0 ? (s.b % 2) + 1 : 0,
        runTimeoutMs: s.c % 5 === 0 ? 90 : 0,
      }),
    );
  }

  #settle(s: Step): void {
    const { bed } = this;
    const session = this.#session(s.a);
    if (session === null) return;
    const tokens = bed.core.heldTokens(session.id);
    if (tokens.length === 0) return;
    const token = tokens[s.b % tokens.length]!;
    const seq = bed.core.seqOfToken(token);
    const outcome =
      s.c % 4 === 0
        ? fail(seq, token, { retryable: s.b % 3 !== 0, retryAfterMs: s.b % 2 === 0 ? 0 : 20 })
        : s.c % 9 === 1
          ? release(seq, token)
          : {
              ...complete(seq, token, 'r'.repeat(s.c % 7 === 0 ? 700 : s.c % 5)),
              resultBlob: s.b % 4 === 0 ? this.#blob(s) : null,
            };
    this.outcomes.push({ session: session.id, outcome });
    bed.do((b) => b.outcomes(session.id, session.epoch, s.c % 12, [outcome], s.b % 2 === 0));
  }

  #job(a: number): string {
    return this.ids[a % Math.max(1, this.ids.length)] ?? this.bed.id();
  }

  run(s: Step): void {
    const { bed } = this;
    if (bed.core.lastBatch(bed.incarnation) < 0) this.#newNode(0);
    switch (s.kind) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
      case 5:
      case 6:
      case 7: {
        const specs = Array.from({ length: (s.a % 4) + 1 }, (_, i) =>
          bed.spec(this.#spec({ ...s, a: s.a + i, b: s.b + i, c: s.c + i })),
        );
        this.ids.push(...specs.map(({ id }) => id));
        this.waits = specs.map(({ waits }) => waits === true);
        if (s.kind === 7) bed.do((b) => b.submitAll('default', specs));
        else
          bed.do((b) => {
            for (const spec of specs) b.submit(s.b % 7 === 0 ? 'other' : 'default', spec);
          });
        return;
      }
      case 8:
      case 9: {
        bed.do((b) =>
          b.sessionOpen({
            namespace: 'default',
            name: `w${s.b % 2}`,
            secretDigest: SECRET,
            functions: this.#functions(s),
            resumable: s.b % 2 === 0,
            reserves: s.b % 3 !== 0,
            credit: s.c % 6,
          }),
        );
        return;
      }
      case 10:
      case 11:
      case 12:
      case 13:
      case 14:
      case 15:
      case 16:
      case 17:
        this.#settle(s);
        return;
      case 18: {
        const said = this.outcomes[s.a % Math.max(1, this.outcomes.length)];
        if (said !== undefined) bed.outcome(said.session, said.outcome);
        return;
      }
      case 19:
      case 20: {
        const session = this.#session(s.a);
        if (session !== null)
          bed.do((b) => b.credit(session.id, session.epoch - (s.b % 5 === 0 ? 1 : 0), s.c % 20));
        return;
      }
      case 21:
      case 22: {
        const session = this.#session(s.a);
        if (session !== null)
          bed.do((b) => b.acks(session.id, session.epoch, bed.core.heldTokens(session.id)));
        return;
      }
      case 23: {
        const session = this.#session(s.a);
        const token = session === null ? undefined : bed.core.heldTokens(session.id)[0];
        if (session !== null && token !== undefined) {
          bed.do((b) => b.progress(session.id, session.epoch, token, s.b, s.c, 'half'));
        }
        return;
      }
      case 24: {
        const session = this.#session(s.a);
        if (session !== null) bed.do((b) => b.sessionDetach(session.id, session.epoch));
        return;
      }
      case 25: {
        const session = this.#session(s.a);
        if (session === null) return;
        const held = bed.core.heldTokens(session.id).filter((_, i) => (s.b >> i) % 2 === 0);
        bed.do((b) => b.sessionAttach(session.id, SECRET, held));
        return;
      }
      case 26: {
        const session = this.#session(s.a);
        if (session !== null) bed.do((b) => b.sessionClose(session.id, session.epoch));
        return;
      }
      case 27: {
        const session = this.#session(s.a);
        if (session !== null) {
          bed.do((b) => b.sessionFunctions(session.id, session.epoch, this.#functions(s)));
        }
        return;
      }
      case 28:
        bed.do((b) =>
          b.leaseRequest({
            namespace: 'default',
            name: 'poller',
            requestId: `q${s.a % 4}`,
            functions: this.#functions(s),
            max: (s.b % 3) + 1,
            durationMs: 100 + (s.c % 100),
          }),
        );
        return;
      case 29: {
        const session = this.#session(s.a);
        if (session === null) return;
        if (s.b % 2 === 0) bed.do((b) => b.leaseStop(session.id));
        else bed.do((b) => b.leaseExtend(bed.core.heldTokens(session.id), 200));
        return;
      }
      case 30:
        bed.do((b) => b.cancel('default', this.#job(s.a), 'because', s.b % 200));
        return;
      case 31:
        bed.do((b) =>
          s.b % 2 === 0 ? b.retry('default', this.#job(s.a)) : b.delete('default', this.#job(s.a)),
        );
        return;
      case 32:
        bed.do((b) => b.pause('default', FUNCTIONS[s.a % 3]!, s.b % 2 === 0));
        return;
      case 33:
        bed.do((b) => b.purge('default', FUNCTIONS[s.a % 3]!, [STATES[s.b % 6]!, STATES[s.c % 6]!]));
        return;
      case 34:
        if (s.b % 4 === 0)
          bed.do((b) => b.settings({ sweepSteps: (s.a % 5) + 1, retainedJobsMax: s.c % 20 }));
        else this.#newNode(s.a % 3);
        return;
      case 35: {
        const other = this.incarnations[s.a % this.incarnations.length]!;
        if (s.b % 3 === 0) bed.do((b) => b.nodeDown(other));
        else bed.do((b) => b.nodeStalled(other, s.b % 3 === 1));
        return;
      }
      case 36:
      case 37:
      case 38:
        bed.elapsedUs += (s.a % 120) * 1000;
        bed.wall += s.b % 120;
        bed.apply([]);
        return;
      case 39:
      case 40: {
        const fields = { minute: '*', hour: '*', dayOfMonth: '*', month: '*', dayOfWeek: '*' };
        if (s.a % 3 === 0) fields.minute = String(s.b % 60);
        const calendar = parseCalendar(fields, () => {})!;
        const job = { ...bed.spec(this.#spec(s)), payloadBlob: null };
        this.scheduleIds.push(job.id);
        bed.do((b) => b.scheduleCreate(s.b % 7 === 0 ? 'other' : 'default', { job, calendar }));
        if (s.c % 4 === 0) {
          const id = this.scheduleIds[s.a % this.scheduleIds.length]!;
          bed.do((b) => b.scheduleDelete('default', id));
        }
        return;
      }
      case 41: {
        // To the minute of a schedule, or past some of them.
        const { schedules } = bed.core.listSchedules({ namespace: null, pageSize: 9, after: 0, budget: 99 });
        const [next] = schedules.map(({ nextWall }) => nextWall).sort((a, b) => a - b);
        if (next === undefined) return;
        bed.wall = Math.max(bed.wall, next + (s.b % 4 === 0 ? s.c * 200 : 0));
        bed.apply([]);
        return;
      }
      case 42: {
        const [fn, jobsMax] = [FUNCTIONS[s.a % 3]!, [s.a % 4, s.b % 12, s.c % 12] as const];
        bed.do((b) => {
          if (s.b % 4 === 0) b.queueDrop('default', fn);
          else if (s.b % 4 === 1) b.queueCreate(s.c % 2 === 0 ? 'other' : 'default', fn);
          else b.queueLimits('default', fn, s.b % 4 === 2 ? [0, 0, 0] : jobsMax);
        });
        return;
      }
      case 43:
      case 44: {
        const { seqs } = this.waiting;
        for (let i = 0; i < 4 && seqs.length > 0; i++) {
          this.changes.set(seqs[(s.a + i * s.b) % seqs.length]!, [-1, -2, -1, 1][(s.c + i) % 4]!);
        }
        const { changes } = this;
        bed.do((b) => b.waiters(changes));
        return;
      }
      case 45:
      case 46: {
        const session = this.#session(s.a);
        if (session === null) return;
        const tokens = bed.core.heldTokens(session.id).filter((_, i) => (s.b >> i) % 2 === 0);
        bed.do((b) => b.start([...tokens, s.c]));
        return;
      }
      default:
        this.#snapshot(s);
    }
  }

  #newNode(which: number): void {
    this.bed.up(`n${which + 1}`, ++this.nonce);
    this.incarnations.push(this.bed.incarnation);
  }

  /** Begins a snapshot, or takes some pages of the one under way; at its end the follower starts from it. */
  #snapshot(s: Step): void {
    const { core } = this.bed;
    if (this.cursor === null) {
      this.cursor = core.beginSnapshot();
      this.pages = [];
      this.behind = [];
    }
    // Also none: entries come between the begin and the first page.
    for (let i = 0; i < s.a % 7; i++) {
      const page = this.cursor.next(() => false);
      if (page !== null) {
        this.pages.push({ key: page.key, bytes: page.bytes! });
        continue;
      }
      this.#restore(s);
      return;
    }
  }

  #restore(s: Step): void {
    const { index } = this.cursor!;
    this.cursor = null;
    this.restores++;
    const restorer = this.follower.beginRestore();
    const pages = s.b % 2 === 0 ? this.pages : this.pages.reverse();
    for (const { key, bytes } of pages) restorer.page(key, bytes);
    restorer.finish();
    expect(this.follower.appliedIndex).toBe(index);
    for (const { index: at, entry, lines } of this.behind) {
      const notes = new Notes();
      this.follower.apply(at, entry, notes);
      expect(notes.lines).toEqual(lines);
      this.#spill();
    }
    this.compare();
  }

  compare(): void {
    expect(this.follower.pageHashes()).toEqual(this.bed.core.pageHashes());
    expect(this.follower.stateHash()).toBe(this.bed.core.stateHash());
    const ids = (core: Core): string[] => Array.from(core.blobs(), ({ id }) => id).sort();
    expect(ids(this.follower)).toEqual(ids(this.bed.core));
    expect(this.follower.counts().blobBytes).toBe(this.bed.core.counts().blobBytes);
  }

  /** All that can be finished is finished. */
  finish(): void {
    while (this.cursor !== null) this.#snapshot({ kind: 0, a: 5, b: 0, c: 0 });
    this.compare();
    // Looking at all jobs brings them back into memory.
    const all = { function: '', states: [], uniqueKey: '', pageSize: 1_000, after: 0, budget: 10_000 };
    for (const namespace of ['default', 'other']) {
      expect(this.follower.listJobs({ ...all, namespace })).toEqual(
        this.bed.core.listJobs({ ...all, namespace }),
      );
    }
    expect(this.follower.counts().spilledJobs).toBe(0);
    expect(this.followerPayloads.count).toBe(this.bed.payloads.count);
    this.bed.pass(60_000);
    this.bed.pass(60_000);
    expect(this.bed.core.nextDue().sweeping).toBe(false);
    this.compare();
  }
}

describe('random lives', () => {
  it('go the same way on a replica that is restored again and again, and keep every promise', () => {
    let restores = 0;
    let firings = 0;
    let dropped = 0;
    let spills = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 50, maxLength: 250, size: 'max' }), (steps) => {
        const life = new Life();
        for (const s of steps) life.run(s);
        life.finish();
        restores += life.restores;
        firings += life.bed.core.counts().firings.created;
        dropped += life.waiting.dropped;
        spills += life.spills;
      }),
      { numRuns: RUNS, endOnFailure: true, ...(SEED === undefined ? {} : { seed: Number(SEED) }) },
    );
    expect(restores).toBeGreaterThan(RUNS / 5);
    expect(firings).toBeGreaterThan(RUNS / 5);
    expect(dropped).toBeGreaterThan(RUNS / 5);
    expect(spills).toBeGreaterThan(RUNS);
    // What all pages without second parts share is as it was.
    for (let at = 0; at < JOBS_PER_PAGE * M_FIELDS; at++) expect(Object.is(NO_MORE[at], 0)).toBe(true);
  }, 600_000);
});
