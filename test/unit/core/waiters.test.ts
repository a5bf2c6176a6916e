import { describe, expect, it } from 'vitest';
import type { JobSpec } from '../../../src/core/index.js';
import { NOBODY_WAITS } from '../../../src/core/jobs/waiters.js';
import { Bed, complete, fail, release } from './bed.js';

/** Clients that wait for jobs, and jobs that are dropped when nobody does (section 11 of the design, rule 12). */

const KEPT = { uniqueKey: 'u' };

function wait(bed: Bed, changes: Partial<JobSpec> = {}): number {
  return bed.submit({ ...KEPT, waits: true, ...changes });
}

function change(bed: Bed, seq: number, by: number) {
  return bed.do((b) => b.waiters(new Map([[seq, by]])));
}

describe('the last client that waited', () => {
  it('rule: waiters - leaves a job that was not begun: it is dropped, and counted as cancelled', () => {
    for (const delayMs of [0, 1_000]) {
      const bed = new Bed();
      const seq = wait(bed, { delayMs });
      expect(wait(bed)).toBe(seq);
      expect(bed.core.job(seq)!.waiters).toBe(2);
      expect(change(bed, seq, -1).of('job')).toEqual([]);
      expect(bed.core.job(seq)).toMatchObject({ waiters: 1, state: delayMs === 0 ? 'queued' : 'scheduled' });
      expect(change(bed, seq, -1).of('job')).toEqual([`job ${seq} ended`]);
      expect(bed.core.job(seq)).toMatchObject({
        state: 'cancelled',
        cancelReason: NOBODY_WAITS,
        error: { code: 'CANCELLED', message: NOBODY_WAITS },
        waiters: 0,
      });
      expect(bed.core.queue('default', 'f')!.totals.cancelled).toBe(1);
      // Its unique key is free, and late words about it do nothing.
      change(bed, seq, -1);
      expect(wait(bed)).not.toBe(seq);
    }
  });

  it('rule: waiters - leaves a job that runs: it finishes quietly, or is not begun again', () => {
    const ends = [
      { outcome: complete, state: 'succeeded' },
      { outcome: fail, state: 'failed' },
      { outcome: release, state: 'cancelled' },
    ];
    for (const { outcome, state } of ends) {
      const bed = new Bed({ initialBackoffMs: 0 });
      const session = bed.open(1);
      const seq = wait(bed);
      change(bed, seq, -1);
      expect(bed.state(seq)).toBe('running');
      bed.outcome(session, outcome(seq, bed.token(seq)), 5);
      expect(bed.state(seq)).toBe(state);
    }
    const bed = new Bed({ initialBackoffMs: 0 });
    const session = bed.open(1, ['f'], false);
    const seq = wait(bed);
    change(bed, seq, -1);
    bed.do((b) => b.sessionDetach(session, 1));
    expect(bed.state(seq)).toBe('failed');
    // With a client that came in time it is tried again.
    const other = bed.open(1, ['f'], false);
    const again = wait(bed);
    change(bed, again, -1);
    wait(bed);
    bed.do((b) => b.sessionDetach(other, 1));
    expect(bed.core.job(again)).toMatchObject({ state: 'queued', waiters: 1 });
  });

  it('rule: waiters - one submission that nobody waits for keeps the job for good', () => {
    const ways: ((bed: Bed, seq: number, id: string) => void)[] = [
      (bed) => bed.submit(KEPT),
      (bed, _seq, id) => bed.submit({ ...KEPT, id }),
      (bed, _seq, id) => bed.do((b) => b.submitAll('default', [bed.spec({ ...KEPT, id })])),
      (bed) => bed.do((b) => b.submitAll('default', [bed.spec(KEPT)])),
    ];
    for (const way of ways) {
      const bed = new Bed();
      const id = bed.id();
      const seq = wait(bed, { id });
      way(bed, seq, id);
      change(bed, seq, -1);
      wait(bed);
      change(bed, seq, -1);
      expect(bed.core.job(seq)).toMatchObject({ state: 'queued', waiters: 0 });
    }
  });

  it('rule: waiters - a job of somebody else, RunJob or background, is never dropped by clients that joined and left', () => {
    const bed = new Bed();
    for (const foreground of [true, false]) {
      const seq = bed.submit({ foreground, uniqueKey: `u${foreground}` });
      expect(wait(bed, { uniqueKey: `u${foreground}` })).toBe(seq);
      expect(bed.core.job(seq)!.waiters).toBe(1);
      change(bed, seq, -1);
      change(bed, seq, -1);
      expect(bed.core.job(seq)).toMatchObject({ state: 'queued', waiters: 0 });
    }
  });
});

describe('a submission that is said again', () => {
  it('rule: waiters - counts for the life in which it is answered, also where it was coalesced', () => {
    const bed = new Bed({ sessionGraceMs: 500 });
    const [first, joining] = [bed.id(), bed.id()];
    const seq = wait(bed, { id: first });
    wait(bed, { id: joining });
    bed.up('n1', 2);
    expect(wait(bed, { id: first })).toBe(seq);
    expect(wait(bed, { id: joining })).toBe(seq);
    expect(bed.core.job(seq)!.waiters).toBe(4);
    bed.passElapsed(500);
    expect(bed.core.job(seq)).toMatchObject({ state: 'queued', waiters: 2 });
    change(bed, seq, -2);
    expect(bed.state(seq)).toBe('cancelled');
  });
});

describe('a node that is gone', () => {
  it('rule: waiters - its clients count for a grace, in which the next life may speak for them', () => {
    const bed = new Bed({ sessionGraceMs: 500 });
    const [dropped, kept, runs] = ['a', 'b', 'c'].map((uniqueKey) => wait(bed, { uniqueKey })) as [
      number,
      number,
      number,
    ];
    const other = bed.submit({ waits: false });
    const node = bed.incarnation;
    bed.up('n2', 5);
    wait(bed, { uniqueKey: 'c' });
    bed.do((b) => b.nodeDown(node));
    expect(bed.core.nextDue().elapsedUs).toBe(bed.elapsedUs + 500_000);
    bed.up('n1', 2);
    change(bed, kept, 1);
    expect(bed.passElapsed(499).of('job')).toEqual([]);
    expect(bed.passElapsed(1).of('job')).toEqual([`job ${dropped} ended`]);
    expect([kept, runs, other].map((seq) => bed.core.job(seq)!.waiters)).toEqual([1, 1, 0]);
    expect([kept, runs, other].map((seq) => bed.state(seq))).toEqual(['queued', 'queued', 'queued']);
    expect(bed.core.nextDue().elapsedUs).toBe(Number.POSITIVE_INFINITY);
  });

  it('rule: waiters - they are forgotten job by job in bounded entries, the same on a restored replica', () => {
    const bed = new Bed({ sessionGraceMs: 500, sweepSteps: 10, retentionMs: 0 });
    const seqs: number[] = [];
    for (let i = 0; i < 600; i++) {
      const seq = bed.submit({ waits: i % 3 !== 0 });
      if (i % 3 !== 0) seqs.push(seq);
    }
    bed.up('n1', 2);
    const early = bed.twin();
    bed.elapsedUs += 500_000;
    early.elapsedUs += 500_000;
    const ended: string[] = [];
    let twin: Bed | null = null;
    for (let entries = 0; entries === 0 || bed.core.nextDue().sweeping; entries++) {
      if (entries === 7) twin = bed.twin();
      const notes = bed.apply([]);
      expect(notes.of('job').filter((line) => line.endsWith('ended')).length).toBeLessThanOrEqual(10);
      ended.push(...notes.of('job').filter((line) => line.endsWith('ended')));
      expect(early.apply([]).lines).toEqual(notes.lines);
      if (entries >= 7) expect(twin!.apply([]).lines).toEqual(notes.lines);
    }
    expect(ended).toEqual(seqs.map((seq) => `job ${seq} ended`));
    for (const one of [early, twin!]) expect(one.core.stateHash()).toBe(bed.core.stateHash());
    expect(bed.core.counts().waiting).toBe(200);
  });

  it('rule: waiters - it may say so in the batch that ends its life', () => {
    for (const first of [true, false]) {
      const bed = new Bed({ sessionGraceMs: 500 });
      const notes = bed.do((b) => {
        if (first) b.submit('default', bed.spec({ waits: true }));
        b.nodeDown(bed.incarnation);
        if (!first) b.submit('default', bed.spec({ waits: true }));
      });
      const { seq } = notes.submissions.get(0)!;
      bed.passElapsed(499);
      expect(bed.core.job(seq)).toMatchObject({ state: 'queued', waiters: 1 });
      bed.passElapsed(1);
      expect(bed.state(seq)).toBe('cancelled');
    }
  });

  it('rule: waiters - where nobody waited there is nothing to look for', () => {
    const bed = new Bed();
    for (let i = 0; i < 10; i++) bed.submit();
    bed.up('n1', 2);
    bed.ticks();
    expect(bed.core.nextDue()).toMatchObject({ elapsedUs: Number.POSITIVE_INFINITY, sweeping: false });
  });
});
