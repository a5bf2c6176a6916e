import { describe, expect, it } from 'vitest';
import { MalformedBytesError } from '../../../src/base/bytes.js';
import { type Core, createCore, type JobView, type ScheduleView } from '../../../src/core/index.js';
import { Bed, blob, complete, MapPayloads, START_WALL } from './bed.js';

/** Goal: a schedule makes one job for each of its minutes, through limits and unique keys, on every replica alike. */
const MINUTE = 60_000;
/** The first whole minute of a bed's life. */
const FIRST = Math.ceil(START_WALL / MINUTE) * MINUTE;

function jobs(core: Core, namespace = 'default'): readonly JobView[] {
  const all = { function: '', states: [], uniqueKey: '', pageSize: 10_000, after: 0, budget: 1_000_000 };
  return core.listJobs({ namespace, ...all }).jobs;
}

function schedules(core: Core, namespace: string | null = 'default'): readonly ScheduleView[] {
  return core.listSchedules({ namespace, pageSize: 10_000, after: 0, budget: 100_000 }).schedules;
}

/** The time inside an id, wall ms. */
function timeOf(id: string): number {
  return [...id.slice(0, 10)].reduce(
    (time, letter) => time * 32 + '0123456789ABCDEFGHJKMNPQRSTVWXYZ'.indexOf(letter),
    0,
  );
}

function pagesOf(core: Core): { key: string; version: number; bytes: Uint8Array }[] {
  const cursor = core.beginSnapshot();
  const pages = [];
  for (let page = cursor.next(() => false); page !== null; page = cursor.next(() => false)) {
    pages.push({ key: page.key, version: page.version, bytes: page.bytes! });
  }
  return pages;
}

function restored(pages: readonly { key: string; bytes: Uint8Array }[]): {
  core: Core;
  payloads: MapPayloads;
} {
  const payloads = new MapPayloads();
  const core = createCore({ payloads, clusterName: 'test' });
  const restorer = core.beginRestore();
  for (const { key, bytes } of pages) restorer.page(key, bytes);
  restorer.finish();
  return { core, payloads };
}

/** Payload as text, which is compared fast. */
function plain(schedule: ScheduleView): unknown {
  return { ...schedule, payload: Buffer.from(schedule.payload).toString('latin1') };
}

describe('a schedule', () => {
  it('is kept with all that was said about it', () => {
    const bed = new Bed();
    const before = bed.submit();
    const spec = {
      payload: Buffer.from('report'),
      contentType: 'text/plain',
      metadata: [['k', 'v']] as [string, string][],
      priority: 2 as const,
      uniqueKey: 'u',
      retry: {
        maxAttempts: 7,
        initialBackoffMs: 1,
        maxBackoffMs: 2,
        multiplierPermille: 3_000,
        jitterPermille: 4,
      },
      runTimeoutMs: 5_000,
      retentionMs: 6_000,
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    };
    const seq = bed.schedule({ minute: '15' }, spec);
    expect(seq).toBe(before + 1);
    expect(bed.submit()).toBe(seq + 1);
    const view = bed.core.schedule(seq)!;
    expect(view).toMatchObject({
      ...spec,
      function: 'f',
      namespace: 'default',
      createdWall: START_WALL,
      lastWall: 0,
      fired: 0,
      coalesced: 0,
      skipped: 0,
      skippedBy: '',
    });
    expect(view.nextWall).toBe(Date.UTC(2023, 10, 14, 22, 15));
    expect(bed.core.findSchedule('default', view.id)).toEqual(view);
    expect(bed.core.findSchedule('other', view.id)).toBeNull();
    expect(bed.core.job(seq)).toBeNull();
    expect(bed.core.counts().schedules).toBe(1);
    expect(bed.core.nextDue().wall).toBeLessThanOrEqual(view.nextWall);
  });

  it('submits an ordinary job when it is due, under an id that is made of the minute and its own', () => {
    const bed = new Bed();
    const worker = bed.open(1);
    const seq = bed.schedule({}, { payload: Buffer.from('x'), contentType: 'text/plain', priority: 0 });
    const { id } = bed.core.schedule(seq)!;
    bed.pass(FIRST - START_WALL - 1);
    expect(jobs(bed.core)).toHaveLength(0);
    const notes = bed.pass(1);
    const [job] = jobs(bed.core);
    expect(notes.of(`assigned ${worker}`)).toHaveLength(1);
    expect(notes.of('submitted')).toEqual([]);
    expect(job).toMatchObject({
      function: 'f',
      state: 'running',
      priority: 0,
      contentType: 'text/plain',
      foreground: false,
      createdWall: FIRST,
      retentionMs: -1,
    });
    expect(Buffer.from(job!.payload).toString()).toBe('x');
    expect(timeOf(job!.id)).toBe(FIRST);
    expect(job!.id.slice(10)).toBe(id.slice(10));
    expect(bed.core.schedule(seq)).toMatchObject({ lastWall: FIRST, nextWall: FIRST + MINUTE, fired: 1 });
    expect(bed.core.counts().firings).toEqual({ created: 1, coalesced: 0, skipped: 0 });
  });

  it('without a payload submits jobs without one', () => {
    const bed = new Bed();
    bed.schedule({}, { payload: Buffer.alloc(0) });
    bed.pass(MINUTE);
    expect(jobs(bed.core)[0]!.payload).toHaveLength(0);
  });

  it('fires for every due minute exactly once, however time passes', () => {
    const bed = new Bed({ retentionMs: 86_400_000 });
    bed.schedule();
    bed.schedule({ minute: '20' }, { function: 'g' });
    for (let i = 0; i < 600; i++) bed.pass(7_001);
    const minutes = Math.floor((bed.wall - FIRST) / MINUTE) + 1;
    const times = (fn: string): number[] =>
      jobs(bed.core)
        .filter((job) => job.function === fn)
        .map((job) => timeOf(job.id));
    expect(times('f')).toEqual(Array.from({ length: minutes }, (_, i) => FIRST + i * MINUTE));
    expect(times('g')).toEqual([Date.UTC(2023, 10, 14, 22, 20), Date.UTC(2023, 10, 14, 23, 20)]);
  });

  it('of several minutes that passed at once has a job for the last alone', () => {
    const bed = new Bed();
    const seq = bed.schedule({ minute: '30' });
    bed.pass(5 * 3_600_000);
    expect(jobs(bed.core).map((job) => timeOf(job.id))).toEqual([Date.UTC(2023, 10, 15, 2, 30)]);
    expect(bed.core.schedule(seq)).toMatchObject({
      fired: 1,
      lastWall: Date.UTC(2023, 10, 15, 2, 30),
      nextWall: Date.UTC(2023, 10, 15, 3, 30),
    });
  });

  it('fires by the wall clock alone', () => {
    const bed = new Bed();
    bed.schedule();
    bed.passElapsed(3_600_000);
    expect(jobs(bed.core)).toHaveLength(0);
  });

  it('joins the job of the minute before when that has its unique key and has not ended', () => {
    const bed = new Bed();
    const seq = bed.schedule({}, { uniqueKey: 'one' });
    bed.pass(MINUTE);
    bed.pass(MINUTE);
    expect(bed.core.schedule(seq)).toMatchObject({ fired: 1, coalesced: 1 });
    const worker = bed.open(1);
    const [job] = jobs(bed.core);
    bed.outcome(worker, complete(job!.seq, bed.token(job!.seq)));
    bed.pass(MINUTE);
    expect(bed.core.schedule(seq)).toMatchObject({ fired: 2, coalesced: 1 });
    expect(bed.core.queue('default', 'f')!.totals).toMatchObject({ submitted: 2, coalesced: 1 });
    expect(bed.core.counts().firings).toEqual({ created: 2, coalesced: 1, skipped: 0 });
  });

  it('counts what a limit refuses as skipped, and does not say it again', () => {
    const bed = new Bed({ jobsPerFunctionMax: 1, functionsMax: 2 });
    bed.submit({ function: 'full' });
    const full = bed.schedule({}, { function: 'full' });
    const fine = bed.schedule({}, { function: 'new' });
    const none = bed.schedule({}, { function: 'one too many' });
    bed.pass(FIRST - START_WALL);
    expect(bed.core.schedule(full)).toMatchObject({ fired: 0, skipped: 1, skippedBy: 'jobsPerFunctionMax' });
    expect(bed.core.schedule(fine)).toMatchObject({ fired: 1, skipped: 0 });
    expect(bed.core.schedule(none)).toMatchObject({ fired: 0, skipped: 1, skippedBy: 'functionsMax' });
    expect(bed.core.schedule(full)!.lastWall).toBe(FIRST);
    bed.do((b) => b.purge('default', 'full', ['queued']));
    bed.pass(MINUTE - 1);
    expect(jobs(bed.core).filter((job) => job.function === 'full')).toHaveLength(0);
    bed.pass(1);
    expect(bed.core.schedule(full)).toMatchObject({ fired: 1, skipped: 1, skippedBy: 'jobsPerFunctionMax' });
    expect(bed.core.counts().firings).toEqual({ created: 2, coalesced: 0, skipped: 4 });
  });

  it('never takes the job of somebody else for its own', () => {
    const bed = new Bed();
    const seq = bed.schedule();
    const { id } = bed.core.schedule(seq)!;
    const taken = bed.id(FIRST).slice(0, 10) + id.slice(10);
    bed.submit({ id: taken });
    bed.pass(MINUTE);
    expect(bed.core.schedule(seq)).toMatchObject({ fired: 0, skipped: 1, skippedBy: 'ID_REUSED' });
    expect(jobs(bed.core)).toHaveLength(1);
  });

  it('makes at most one job per minute also when its job was forgotten long ago', () => {
    const bed = new Bed({ retentionMs: 0, dedupeWindowMs: 1_000, dedupeWindowMinMs: 1_000 });
    const worker = bed.open(100);
    const seq = bed.schedule({ minute: '0' });
    bed.pass(3_600_000);
    const [job] = jobs(bed.core);
    bed.outcome(worker, complete(job!.seq, bed.token(job!.seq)));
    bed.pass(MINUTE);
    bed.pass(MINUTE);
    expect(bed.core.counts()).toMatchObject({ jobs: 0, dedupeEntries: 0 });
    expect(bed.core.schedule(seq)!.fired).toBe(1);
  });
});

describe('creating a schedule', () => {
  it('again under the same id answers with the one that there is', () => {
    const bed = new Bed();
    const id = bed.id();
    const first = bed.trySchedule({ minute: '1' }, { id });
    expect(first).toMatchObject({ refusal: null, value: 0 });
    expect(bed.trySchedule({ minute: '1' }, { id })).toMatchObject({ value: 1, seq: first.seq });
    for (const [calendar, changes] of [
      [{ minute: '2' }, { id }],
      [{ minute: '1' }, { id, function: 'g' }],
      [{ minute: '1' }, { id, payload: Buffer.from('other') }],
    ] as const) {
      expect(bed.trySchedule(calendar, changes).refusal).toBe('ID_REUSED');
    }
    // Another one with the same random part: the jobs of both would have the same ids.
    const twin = bed.id(START_WALL - 1).slice(0, 10) + id.slice(10);
    expect(bed.trySchedule({ minute: '2' }, { id: twin }).refusal).toBe('ID_REUSED');
    expect(schedules(bed.core)).toHaveLength(1);
  });

  it('with the unique key of another one of the function answers with that one, as it is', () => {
    const bed = new Bed();
    const first = bed.schedule({ minute: '1' }, { uniqueKey: 'k' });
    const id = bed.id();
    const again = () => bed.trySchedule({ minute: '2' }, { id, uniqueKey: 'k', payload: Buffer.from('new') });
    expect(again()).toMatchObject({ refusal: null, value: 2, seq: first });
    // Said again, because its answer was lost.
    expect(again()).toMatchObject({ refusal: null, value: 2, seq: first });
    expect(bed.trySchedule({ minute: '2' }, { id, uniqueKey: 'other' }).refusal).toBe('ID_REUSED');
    expect(Buffer.from(bed.core.schedule(first)!.payload).toString()).toBe('payload');
    expect(bed.trySchedule({}, { uniqueKey: 'k', function: 'g' }).value).toBe(0);
    expect(bed.trySchedule({}, { uniqueKey: 'k' }, 'other').value).toBe(0);
    expect(bed.trySchedule({}, { uniqueKey: '' }).value).toBe(0);
    expect(bed.trySchedule({}, { uniqueKey: '' }).value).toBe(0);
    expect(schedules(bed.core, null)).toHaveLength(5);
  });

  it('is refused by its limits, its id, and a calendar that never comes', () => {
    const bed = new Bed({ schedulesMax: 1, payloadBytesMax: 10 });
    expect(bed.trySchedule({}, { payload: Buffer.alloc(11) })).toMatchObject({
      refusal: 'LIMIT_REACHED',
      limit: 'payloadBytesMax',
    });
    expect(bed.trySchedule({}, { id: bed.id(START_WALL + 61_000) }).refusal).toBe('ID_IN_FUTURE');
    expect(bed.trySchedule({}, { id: bed.id(START_WALL - 301_000) }).refusal).toBe('ID_TOO_OLD');
    const never = {
      minutesLow: 1,
      minutesHigh: 0,
      hours: 1,
      daysOfMonth: 2 ** 31,
      months: 4,
      daysOfWeek: 127,
    };
    const refused = bed.do((b) => b.scheduleCreate('default', { job: bed.spec(), calendar: never }));
    expect(refused.results.get(0)!.refusal).toBe('INVALID_FIELD');
    // A blob belongs to one job.
    expect(bed.trySchedule({}, { payloadBlob: blob(1, 10) }).refusal).toBe('INVALID_FIELD');
    bed.schedule({}, { uniqueKey: 'k', payload: Buffer.alloc(10) });
    expect(bed.trySchedule({}, { payload: Buffer.alloc(1) })).toMatchObject({
      refusal: 'LIMIT_REACHED',
      limit: 'schedulesMax',
      limitValue: 1,
    });
    // One that joins takes no place.
    expect(bed.trySchedule({}, { uniqueKey: 'k', payload: Buffer.alloc(1) })).toMatchObject({ value: 2 });
    expect(bed.payloads.count).toBe(1);
  });
});

describe('deleting a schedule', () => {
  it('ends it, and leaves its jobs', () => {
    const bed = new Bed();
    const seq = bed.schedule();
    const { id } = bed.core.schedule(seq)!;
    bed.pass(MINUTE);
    const wrong = bed.do((b) => b.scheduleDelete('other', id)).results.get(0)!;
    expect(wrong.refusal).toBe('NOT_FOUND');
    expect(bed.do((b) => b.scheduleDelete('default', id)).results.get(0)).toMatchObject({
      refusal: null,
      seq,
    });
    bed.pass(10 * MINUTE);
    expect(jobs(bed.core)).toHaveLength(1);
    expect(bed.core.schedule(seq)).toBeNull();
    expect(bed.core.counts().schedules).toBe(0);
    expect(bed.do((b) => b.scheduleDelete('default', id)).results.get(0)!.refusal).toBe('NOT_FOUND');
    expect(bed.do((b) => b.scheduleDelete('default', 'no ulid')).results.get(0)!.refusal).toBe('NOT_FOUND');
  });

  it('is final: a late repetition of the creation does not bring it back', () => {
    const bed = new Bed();
    const id = bed.id();
    const create = () => bed.trySchedule({ minute: '1' }, { id, uniqueKey: 'k' });
    const { seq } = create();
    bed.do((b) => b.scheduleDelete('default', id));
    expect(create()).toMatchObject({ refusal: null, value: 1, seq });
    expect(bed.trySubmit({ id, uniqueKey: 'k' }).refusal).toBe('ID_REUSED');
    bed.pass(10 * MINUTE);
    bed.pass(10 * MINUTE);
    expect(create().refusal).toBe('ID_TOO_OLD');
    expect(bed.core.counts().schedules).toBe(0);
    // The key is free for another one.
    expect(bed.trySchedule({}, { uniqueKey: 'k' }).value).toBe(0);
  });

  it('leaves nothing: no page, no payload, no timer, no tombstone', () => {
    const bed = new Bed();
    for (let i = 0; i < 300; i++) {
      bed.schedule(
        { minute: String(i % 60), hour: '3' },
        { payload: Buffer.alloc(i * 10), uniqueKey: `k${i}` },
      );
    }
    expect(bed.payloads.count).toBe(299);
    for (const { id } of schedules(bed.core)) bed.do((b) => b.scheduleDelete('default', id));
    bed.pass(20 * MINUTE);
    bed.pass(20 * MINUTE);
    expect(bed.core.counts()).toMatchObject({ schedules: 0, payloadBytes: 0, dedupeEntries: 0 });
    expect([...bed.core.pageHashes().keys()].sort()).toEqual(['dedupe', 'meta', 'nodes']);
    expect(bed.core.nextDue()).toMatchObject({
      wall: Number.POSITIVE_INFINITY,
      tidyWall: Number.POSITIVE_INFINITY,
    });
  });
});

describe('a list of schedules', () => {
  it('goes on behind any number, of one namespace or of all, within its budget', () => {
    const bed = new Bed();
    const seqs: number[] = [];
    for (let i = 0; i < 400; i++) {
      seqs.push(bed.trySchedule({}, {}, i % 4 === 0 ? 'other' : 'default').seq);
      bed.submit();
    }
    const ids = new Map(schedules(bed.core, null).map(({ seq, id }) => [seq, id]));
    const gone = new Set(seqs.filter((_, i) => i % 3 === 0));
    for (const seq of gone) {
      bed.do((b) => b.scheduleDelete(seqs.indexOf(seq) % 4 === 0 ? 'other' : 'default', ids.get(seq)!));
    }
    const left = seqs.filter((seq) => !gone.has(seq));
    expect(schedules(bed.core, null).map(({ seq }) => seq)).toEqual(left);
    const others = left.filter((seq) => seqs.indexOf(seq) % 4 === 0);
    expect(schedules(bed.core, 'other').map(({ seq }) => seq)).toEqual(others);
    const paged: number[] = [];
    let after = 0;
    do {
      const page = bed.core.listSchedules({ namespace: 'other', pageSize: 5, after, budget: 7 });
      expect(page.schedules.length).toBeLessThanOrEqual(5);
      paged.push(...page.schedules.map(({ seq }) => seq));
      after = page.next;
    } while (after !== 0);
    expect(paged).toEqual(others);
  });
});

describe('many schedules that are due at once', () => {
  it('rule: bounded apply - go on through following entries, in the order of their numbers', () => {
    const bed = new Bed({ sweepSteps: 10 });
    const seqs = Array.from({ length: 95 }, () => bed.schedule());
    bed.elapsedUs += MINUTE * 1000;
    bed.wall += MINUTE;
    const firings: number[] = [];
    while (firings.length < 10) {
      bed.apply([]);
      firings.push(bed.core.counts().firings.created);
      if (!bed.core.nextDue().sweeping) break;
    }
    expect(firings).toEqual([10, 20, 30, 40, 50, 60, 70, 80, 90, 95]);
    const made = jobs(bed.core).map((job) => job.id.slice(10));
    expect(made).toEqual(seqs.map((seq) => bed.core.schedule(seq)!.id.slice(10)));
  });
});

describe('snapshots of schedules', () => {
  const busy = (): Bed => {
    const bed = new Bed();
    for (let i = 0; i < 300; i++) {
      bed.schedule(i % 2 === 0 ? {} : { minute: String(i % 60) }, {
        payload: Buffer.alloc([0, 10, 600, 9_000, 100_000][i % 5]!, i),
        uniqueKey: i % 3 === 0 ? `k${i}` : '',
      });
    }
    bed.pass(3 * MINUTE);
    return bed;
  };

  it('bring back everything at any moment, and go on alike', () => {
    const bed = busy();
    const { core, payloads } = restored(pagesOf(bed.core));
    expect(core.stateHash()).toBe(bed.core.stateHash());
    expect(payloads.count).toBe(bed.payloads.count);
    expect(core.counts()).toEqual(bed.core.counts());
    expect(core.nextDue()).toEqual(bed.core.nextDue());
    expect(schedules(core).map(plain)).toEqual(schedules(bed.core).map(plain));
    const other = new Bed();
    Object.assign(other, { core, payloads, wall: bed.wall, elapsedUs: bed.elapsedUs });
    other.speakFor(bed.incarnation);
    const id = bed.id(bed.wall + 10 * MINUTE);
    for (const one of [bed, other]) {
      for (let i = 0; i < 30; i++) one.pass(20_000);
      // Keys and ids are found again.
      expect(one.trySchedule({}, { id, uniqueKey: 'k0' }).value).toBe(2);
      one.do((b) => b.scheduleDelete('default', schedules(one.core)[7]!.id));
    }
    expect(core.stateHash()).toBe(bed.core.stateHash());
    expect(jobs(core).map(({ id }) => id)).toEqual(jobs(bed.core).map(({ id }) => id));
  });

  it('stand still while schedules fire and go', () => {
    const bed = busy();
    const hash = bed.core.stateHash();
    const cursor = bed.core.beginSnapshot();
    const pages: { key: string; bytes: Uint8Array }[] = [];
    for (let page = cursor.next(() => false); page !== null; page = cursor.next(() => false)) {
      pages.push({ key: page.key, bytes: page.bytes! });
      const [first] = schedules(bed.core);
      if (first !== undefined) bed.do((b) => b.scheduleDelete('default', first.id));
      bed.pass(10_000);
    }
    expect(bed.core.stateHash()).not.toBe(hash);
    expect(restored(pages).core.stateHash()).toBe(hash);
  });

  it('rule: snapshots - a firing writes no payload anew', () => {
    const bed = new Bed();
    bed.schedule({}, { payload: Buffer.alloc(100_000) });
    const before = new Map(pagesOf(bed.core).map(({ key, version }) => [key, version]));
    bed.pass(MINUTE);
    const changed = pagesOf(bed.core).filter(({ key, version }) => before.get(key) !== version);
    expect(changed.map(({ key }) => key)).toContain('schedules/0');
    expect(changed.map(({ key }) => key).filter((key) => key.startsWith('schedule-payload/'))).toEqual([]);
  });

  it('are refused when a payload is missing, too many, or twice there', () => {
    const bed = busy();
    const pages = pagesOf(bed.core);
    const payload = pages.find(({ key }) => key.startsWith('schedule-payload/'))!;
    expect(() => restored(pages.filter((page) => page !== payload))).toThrow(MalformedBytesError);
    expect(() => restored([...pages, payload])).toThrow(MalformedBytesError);
    expect(() => restored([...pages, { ...payload, key: 'schedule-payload/999999' }])).toThrow(
      MalformedBytesError,
    );
    const cut = pages.map((page) =>
      page.key === 'schedules/0' ? { ...page, bytes: page.bytes.subarray(0, page.bytes.length - 3) } : page,
    );
    expect(() => restored(cut)).toThrow(MalformedBytesError);
  });

  it('leave nothing in the payload store when another state takes their place', () => {
    const bed = busy();
    const pages = pagesOf(new Bed().core);
    const restorer = bed.core.beginRestore();
    for (const { key, bytes } of pages) restorer.page(key, bytes);
    restorer.finish();
    expect(bed.payloads.count).toBe(0);
    expect(bed.core.counts().schedules).toBe(0);
  });

  it('rule: replicated inputs - the hash differs when one field of one schedule does', () => {
    const hashes = new Map<string, string>();
    const note = (what: string, bed: Bed): void => {
      const hash = bed.core.stateHash();
      expect(hashes.get(hash), `${what} hashes as`).toBeUndefined();
      hashes.set(hash, what);
    };
    const id = new Bed().id();
    const of = (...args: Parameters<Bed['schedule']>): Bed => {
      const bed = new Bed();
      bed.schedule(args[0], { id, ...args[1] });
      return bed;
    };
    note('plain', of());
    for (const field of ['minute', 'hour', 'dayOfMonth', 'month', 'dayOfWeek'])
      note(field, of({ [field]: '1' }));
    note('another id', of({}, { id: new Bed().id(START_WALL - 1) }));
    note('function', of({}, { function: 'g' }));
    note('payload', of({}, { payload: Buffer.from('Payload') }));
    note('no payload', of({}, { payload: Buffer.alloc(0) }));
    note('content type', of({}, { contentType: 'text/plain' }));
    note('priority', of({}, { priority: 2 }));
    note('unique key', of({}, { uniqueKey: 'k' }));
    note('run timeout', of({}, { runTimeoutMs: 1 }));
    note('retention', of({}, { retentionMs: 1 }));
    note('seed', of({}, { seed: 2 }));
    const retry = {
      maxAttempts: 1,
      initialBackoffMs: 1,
      maxBackoffMs: 1,
      multiplierPermille: 1,
      jitterPermille: 1,
    };
    note('retry', of({}, { retry }));
    note('jitter', of({}, { retry: { ...retry, jitterPermille: 2 } }));
    const twin = new Bed();
    twin.trySchedule({}, { id }, 'other');
    note('namespace', twin);
    // What changes with firings: one bit of the page of one replica, which then is another state.
    const bed = of();
    bed.pass(MINUTE);
    const { lastWall, nextWall } = schedules(bed.core)[0]!;
    for (const value of [lastWall, nextWall, 1]) {
      const pages = pagesOf(bed.core).map((page) => {
        if (page.key !== 'schedules/0') return page;
        const bytes = Buffer.from(page.bytes);
        const old = Buffer.alloc(8);
        old.writeDoubleLE(value);
        const at = bytes.lastIndexOf(old);
        expect(at).toBeGreaterThan(0);
        bytes.writeDoubleLE(value === nextWall ? value + MINUTE : value - 1, at);
        return { ...page, bytes };
      });
      expect(restored(pages).core.stateHash()).not.toBe(bed.core.stateHash());
    }
  });
});
