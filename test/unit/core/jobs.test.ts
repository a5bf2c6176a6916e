import { describe, expect, it } from 'vitest';
import { Bed, complete, fail, release } from './bed.js';

const NOWHERE = '7ZZZZZZZZZZZZZZZZZZZZZZZZZ';

describe('cancel', () => {
  it('ends a waiting job at once', () => {
    const bed = new Bed();
    const spec = bed.spec();
    const seq = bed.do((b) => b.submit('default', spec)).submissions.get(0)!.seq;
    const notes = bed.do((b) => b.cancel('default', spec.id, 'changed my mind', 0));
    expect(notes.results.get(0)).toMatchObject({ refusal: null, seq });
    expect(bed.core.job(seq)).toMatchObject({ state: 'cancelled', cancelReason: 'changed my mind' });
    expect(bed.do((b) => b.cancel('default', spec.id, '', 0)).results.get(0)!.refusal).toBeNull();
    bed.open(1);
    expect(bed.state(seq)).toBe('cancelled');
  });

  it('asks the worker of a running one, and takes the lease away after the grace', () => {
    const bed = new Bed();
    const session = bed.open(1);
    const spec = bed.spec();
    const seq = bed.do((b) => b.submit('default', spec)).submissions.get(0)!.seq;
    const token = bed.token(seq);
    bed.do((b) => b.acks(session, 1, [token]));
    const asked = bed.do((b) => b.cancel('default', spec.id, 'stop', 200));
    expect(asked.of('cancel')).toEqual([`cancel ${session}/1 job ${seq} token ${token} stop 200`]);
    expect(bed.core.job(seq)).toMatchObject({ state: 'running', cancelRequested: true });
    expect(bed.passElapsed(200).of('lease lost')).toEqual([
      `lease lost ${session}/1 job ${seq} token ${token} cancelled`,
    ]);
    expect(bed.core.job(seq)).toMatchObject({ state: 'cancelled', error: { code: 'CANCELLED' } });
    expect(bed.outcome(session, complete(seq, token)).outcomes.get(0)!.refusal).toBe('LEASE_LOST');
  });

  it('takes the lease away at once without a grace, also when it was asked for with one before', () => {
    const bed = new Bed();
    const session = bed.open(2);
    const specs = [bed.spec(), bed.spec()];
    const seqs = specs.map((spec) => bed.do((b) => b.submit('default', spec)).submissions.get(0)!.seq);
    const tokens = seqs.map((seq) => bed.token(seq));
    bed.do((b) => b.cancel('default', specs[1]!.id, 'first', 10_000));
    for (const [i, spec] of specs.entries()) {
      const notes = bed.do((b) => b.cancel('default', spec.id, 'now', 0));
      expect(notes.results.get(0)).toMatchObject({ refusal: null, seq: seqs[i] });
      expect(notes.of('lease lost')).toEqual([
        `lease lost ${session}/1 job ${seqs[i]} token ${tokens[i]} cancelled`,
      ]);
      expect(bed.state(seqs[i]!)).toBe('cancelled');
    }
    expect(bed.core.job(seqs[0]!)!.cancelReason).toBe('now');
    expect(bed.core.session(session)).toMatchObject({ held: 0 });
  });

  it('does not lead to another attempt when the worker gives up, and a completion still counts', () => {
    const bed = new Bed();
    const session = bed.open(2);
    const specs = [bed.spec(), bed.spec()];
    const seqs = specs.map((spec) => bed.do((b) => b.submit('default', spec)).submissions.get(0)!.seq);
    for (const { id } of specs) bed.do((b) => b.cancel('default', id, '', 1_000));
    bed.outcome(session, fail(seqs[0]!, bed.token(seqs[0]!)));
    bed.outcome(session, complete(seqs[1]!, bed.token(seqs[1]!)));
    expect(seqs.map((seq) => bed.state(seq))).toEqual(['cancelled', 'succeeded']);
    const late = bed.do((b) => b.cancel('default', specs[1]!.id, '', 0));
    expect(late.results.get(0)!.refusal).toBe('WRONG_STATE');
  });

  it('is refused for what is not there', () => {
    const bed = new Bed();
    const spec = bed.spec();
    bed.do((b) => b.submit('default', spec));
    for (const [namespace, id] of [
      ['default', NOWHERE],
      ['other', spec.id],
      ['default', 'no ulid'],
    ] as const) {
      expect(bed.do((b) => b.cancel(namespace, id, '', 0)).results.get(0)!.refusal).toBe('NOT_FOUND');
    }
  });
});

describe('retry', () => {
  it('queues an ended job with fresh attempts', () => {
    const bed = new Bed({ maxAttempts: 1 });
    const session = bed.open(1);
    const spec = bed.spec({ uniqueKey: 'k' });
    const seq = bed.do((b) => b.submit('default', spec)).submissions.get(0)!.seq;
    expect(bed.do((b) => b.retry('default', spec.id)).results.get(0)!.refusal).toBe('WRONG_STATE');
    bed.outcome(session, fail(seq, bed.token(seq)));
    expect(bed.state(seq)).toBe('failed');
    expect(bed.do((b) => b.retry('default', spec.id)).results.get(0)!.refusal).toBeNull();
    expect(bed.core.job(seq)).toMatchObject({ state: 'queued', attempt: 0, attempts: [], error: null });
    expect(bed.trySubmit({ uniqueKey: 'k' })).toMatchObject({ disposition: 'coalesced', seq });
  });

  it('is refused while another job has its unique key', () => {
    const bed = new Bed();
    const spec = bed.spec({ uniqueKey: 'k' });
    bed.do((b) => b.submit('default', spec));
    bed.do((b) => b.cancel('default', spec.id, '', 0));
    bed.submit({ uniqueKey: 'k' });
    expect(bed.do((b) => b.retry('default', spec.id)).results.get(0)!.refusal).toBe('WRONG_STATE');
  });
});

describe('delete', () => {
  it('drops an ended job, whose id stays known', () => {
    const bed = new Bed();
    const session = bed.open(1);
    const spec = bed.spec();
    const seq = bed.do((b) => b.submit('default', spec)).submissions.get(0)!.seq;
    expect(bed.do((b) => b.delete('default', spec.id)).results.get(0)!.refusal).toBe('WRONG_STATE');
    bed.outcome(session, complete(seq, bed.token(seq)));
    expect(bed.do((b) => b.delete('default', spec.id)).of('job')).toEqual([`job ${seq} deleted`]);
    expect(bed.core.job(seq)).toBeNull();
    expect(bed.payloads.count).toBe(0);
    expect(bed.do((b) => b.submit('default', spec)).submissions.get(0)).toMatchObject({
      disposition: 'same-id',
    });
    expect(bed.do((b) => b.delete('default', spec.id)).results.get(0)!.refusal).toBe('NOT_FOUND');
  });
});

describe('retention', () => {
  it('keeps results, failed jobs and jobs with a time of their own for as long as each says', () => {
    const bed = new Bed({ retentionMs: 100, failedRetentionMs: 300, maxAttempts: 1 });
    const session = bed.open(10);
    const [done, broken, own, none] = [
      bed.submit(),
      bed.submit(),
      bed.submit({ retentionMs: 200 }),
      bed.submit({ retentionMs: 0 }),
    ];
    bed.outcome(session, complete(done, bed.token(done)));
    bed.outcome(session, fail(broken, bed.token(broken)));
    bed.outcome(session, complete(own, bed.token(own)));
    const at = bed.outcome(session, complete(none, bed.token(none)));
    expect(at.of('job')).toEqual([`job ${none} ended`]);
    const there = () => [done, broken, own, none].map((seq) => bed.core.job(seq) !== null);
    expect(there()).toEqual([true, true, true, false]);
    expect(bed.core.nextDue().tidyWall).toBe(bed.wall + 100);
    bed.pass(100);
    expect(there()).toEqual([false, true, true, false]);
    bed.pass(100);
    expect(there()).toEqual([false, true, false, false]);
    bed.pass(100);
    expect(there()).toEqual([false, false, false, false]);
    expect(bed.payloads.count).toBe(0);
  });

  it('drops those that ended first when there are too many', () => {
    const bed = new Bed({ retainedJobsMax: 2, maxAttempts: 1 });
    const session = bed.open(10);
    const seqs = [bed.submit(), bed.submit(), bed.submit({ retentionMs: 1_000_000 }), bed.submit()];
    bed.outcome(session, fail(seqs[1]!, bed.token(seqs[1]!)));
    for (const seq of [seqs[0]!, seqs[2]!, seqs[3]!]) bed.outcome(session, complete(seq, bed.token(seq)));
    expect(seqs.map((seq) => bed.core.job(seq) !== null)).toEqual([false, false, true, true]);
    bed.do((b) => b.settings({ retainedJobsMax: 0 }));
    bed.ticks();
    expect(bed.core.counts().jobs).toBe(0);
  });
});

describe('pause', () => {
  it('holds a queue back until it is resumed', () => {
    const bed = new Bed();
    const session = bed.open(2);
    bed.do((b) => b.pause('default', 'f', true));
    const seqs = [bed.submit(), bed.submit(), bed.submit()];
    expect(seqs.map((seq) => bed.state(seq))).toEqual(['queued', 'queued', 'queued']);
    expect(bed.core.queue('default', 'f')!.paused).toBe(true);
    const notes = bed.do((b) => b.pause('default', 'f', false));
    expect(notes.of('assigned').length).toBe(2);
    expect(bed.core.session(session)!.held).toBe(2);
    // A function may be paused before anybody used it.
    bed.do((b) => b.pause('default', 'later', true));
    expect(bed.core.queue('default', 'later')!.paused).toBe(true);
  });
});

describe('purge', () => {
  it('drops the jobs in the states that it names, not those that come later', () => {
    const bed = new Bed({ maxAttempts: 1 });
    const session = bed.open(1);
    const broken = bed.submit();
    bed.outcome(session, fail(broken, bed.token(broken)));
    const queued = [bed.submit(), bed.submit({ priority: 0 })];
    const scheduled = bed.submit({ delayMs: 1_000 });
    const other = bed.submit({ function: 'g' });
    const notes = bed.do((b) => {
      b.purge('default', 'f', ['queued', 'failed']);
      b.submit('default', bed.spec());
    });
    expect(notes.results.get(0)!.value).toBe(3);
    expect([broken, ...queued, scheduled, other].map((seq) => bed.state(seq))).toEqual([
      'gone',
      'gone',
      'gone',
      'scheduled',
      'queued',
    ]);
    expect(bed.core.queue('default', 'f')!).toMatchObject({ waiting: [0, 1, 0], failed: 0, scheduled: 1 });
    expect(bed.do((b) => b.purge('default', 'f', ['running'])).results.get(0)!.refusal).toBe('INVALID_FIELD');
    expect(bed.do((b) => b.purge('default', 'nobody', ['queued'])).results.get(0)!.value).toBe(0);
  });
});

describe('listJobs', () => {
  it('goes on behind the last one, within its budget', () => {
    const bed = new Bed();
    const seqs = Array.from({ length: 700 }, (_, i) => bed.submit({ function: i % 3 === 0 ? 'f' : 'g' }));
    const query = {
      namespace: 'default',
      function: 'f',
      states: ['queued' as const],
      uniqueKey: '',
      pageSize: 40,
      budget: 90,
    };
    const found: number[] = [];
    let calls = 0;
    for (let after = 0; ; ) {
      const page = bed.core.listJobs({ ...query, after });
      calls++;
      found.push(...page.jobs.map(({ seq }) => seq));
      expect(page.jobs.length).toBeLessThanOrEqual(40);
      if (page.next === 0) break;
      after = page.next;
    }
    expect(found).toEqual(seqs.filter((_, i) => i % 3 === 0));
    expect(calls).toBeGreaterThan(7);
    const page = { ...query, after: 0, budget: 10_000 };
    expect(bed.core.listJobs({ ...page, states: ['failed'] })).toEqual({ jobs: [], next: 0 });
    expect(bed.core.listJobs({ ...page, namespace: 'other' })).toEqual({ jobs: [], next: 0 });
  });
});

describe('settings', () => {
  it('change all together or not at all', () => {
    const bed = new Bed();
    const change = (changes: Record<string, number>) =>
      bed.do((b) => b.settings(changes)).results.get(0)!.refusal;
    expect(change({ retentionMs: 5, maxAttempts: 7 })).toBeNull();
    expect(bed.core.settings).toMatchObject({ retentionMs: 5, maxAttempts: 7 });
    expect(change({ retentionMs: 6, maxAttempts: 0 })).toBe('INVALID_FIELD');
    expect(change({ retentionMs: 1.5 })).toBe('INVALID_FIELD');
    expect(change({ dedupeWindowMinMs: 10 ** 9 })).toBe('INVALID_FIELD');
    expect(bed.core.settings.retentionMs).toBe(5);
  });
});

describe('how long a job has been in its queue', () => {
  it('counts from its being due, not from its submission', () => {
    const bed = new Bed();
    const seq = bed.submit({ delayMs: 86_400_000 });
    bed.pass(86_400_000);
    expect(bed.state(seq)).toBe('queued');
    const due = bed.wall;
    expect(bed.core.queue('default', 'f')!.oldestWaitingWall).toBe(due);
    bed.pass(2_500);
    expect(bed.core.queue('default', 'f')!.oldestWaitingWall).toBe(due);
    bed.open(1);
    expect(bed.core.waitedUs(bed.token(seq))).toBe(2_500_000);
  });

  it('counts in microseconds for one that waited since its submission, and anew after each attempt', () => {
    const bed = new Bed();
    const seq = bed.submit();
    bed.elapsedUs += 1_234;
    const session = bed.open(1);
    expect(bed.core.waitedUs(bed.token(seq))).toBe(1_234);
    bed.pass(60_000);
    bed.outcome(session, release(seq, bed.token(seq)));
    expect(bed.state(seq)).toBe('queued');
    expect(bed.core.queue('default', 'f')!.oldestWaitingWall).toBe(bed.wall);
    bed.pass(70);
    bed.do((b) => b.credit(session, 1, 2));
    expect(bed.core.waitedUs(bed.token(seq))).toBe(70_000);
    expect(bed.core.waitedUs(4_711)).toBe(0);
  });
});
