import { describe, expect, it } from 'vitest';
import { Bed, complete, fail, release } from './bed.js';

describe('outcomes', () => {
  it('complete a job with its result', () => {
    const bed = new Bed();
    const session = bed.open(1);
    const seq = bed.submit();
    const notes = bed.outcome(session, {
      kind: 'complete',
      seq,
      token: bed.token(seq),
      result: Buffer.from('out'),
      resultBlob: null,
      resultContentType: 'text/plain',
      dataCount: 3,
    });
    expect(notes.outcomes.get(0)).toEqual({ refusal: null, revision: bed.core.appliedIndex });
    expect(notes.of('job')).toEqual([`job ${seq} ended`]);
    const job = bed.core.job(seq)!;
    expect(Buffer.from(job.result).toString()).toBe('out');
    expect(job).toMatchObject({
      state: 'succeeded',
      resultContentType: 'text/plain',
      dataCount: 3,
      token: 0,
    });
    expect(job.attempts).toMatchObject([{ number: 1, worker: 'worker', node: 'n1', error: null }]);
    expect(bed.core.queue('default', 'f')!.totals).toMatchObject({ started: 1, succeeded: 1 });
  });

  it('bring credit, and with it the next job in the same apply', () => {
    const bed = new Bed();
    const session = bed.open(1);
    const [first, second] = [bed.submit(), bed.submit()];
    expect([bed.state(first), bed.state(second)]).toEqual(['running', 'queued']);
    const notes = bed.outcome(session, complete(first, bed.token(first)), 2);
    expect(notes.of('assigned')).toEqual([`assigned ${session}/1 job ${second} token 2`]);
  });

  it('that hand a job back behind its start deadline end it, also where a worker waits', () => {
    const bed = new Bed();
    const session = bed.open(2);
    const seq = bed.submit({ startDeadlineWall: bed.wall + 100 });
    bed.wall += 99;
    bed.outcome(session, release(seq, bed.token(seq)));
    expect(bed.core.job(seq)).toMatchObject({ state: 'running', attempt: 1 });
    bed.wall += 1;
    bed.outcome(session, release(seq, bed.token(seq)), 1);
    expect(bed.core.job(seq)).toMatchObject({ state: 'expired', attempt: 0, error: { code: 'EXPIRED' } });
  });

  it('that fail are tried again after the backoff, then kept as failed', () => {
    const bed = new Bed({
      jitterPermille: 0,
      initialBackoffMs: 100,
      multiplierPermille: 3000,
      maxAttempts: 3,
    });
    const session = bed.open(10);
    const seq = bed.submit();
    for (const pause of [100, 300]) {
      const notes = bed.outcome(session, fail(seq, bed.token(seq)));
      expect(notes.of('job')).toEqual([`job ${seq} attempt-failed`]);
      expect(bed.state(seq)).toBe('scheduled');
      expect(bed.core.job(seq)!.dueWall).toBe(bed.wall + pause);
      bed.passElapsed(pause - 1);
      expect(bed.state(seq)).toBe('scheduled');
      bed.passElapsed(1);
      expect(bed.state(seq)).toBe('running');
    }
    bed.outcome(session, fail(seq, bed.token(seq)));
    const job = bed.core.job(seq)!;
    expect(job).toMatchObject({ state: 'failed', attempt: 3, error: { code: 'BROKEN' } });
    expect(job.attempts.map(({ number }) => number)).toEqual([1, 2, 3]);
    expect(bed.core.queue('default', 'f')!).toMatchObject({
      failed: 1,
      totals: { failedAttempts: 3, retried: 2, failed: 1 },
    });
  });

  it('spread their backoff by the seed, the same on every replica', () => {
    const due = (seed: number) => {
      const bed = new Bed({ jitterPermille: 500, initialBackoffMs: 1000 });
      const session = bed.open(1);
      const seq = bed.submit({ seed });
      bed.outcome(session, fail(seq, bed.token(seq)));
      return bed.core.job(seq)!.dueWall - bed.wall;
    };
    const dues = Array.from({ length: 30 }, (_, seed) => due(seed));
    expect(due(3)).toBe(dues[3]);
    expect(Math.min(...dues)).toBeGreaterThanOrEqual(500);
    expect(Math.max(...dues)).toBeLessThanOrEqual(1500);
    expect(new Set(dues).size).toBeGreaterThan(20);
  });

  it('that say so are not tried again, or after the pause that they name', () => {
    const bed = new Bed();
    const session = bed.open(5);
    const a = bed.submit();
    bed.outcome(session, fail(a, bed.token(a), { retryable: false }));
    expect(bed.state(a)).toBe('failed');
    const b = bed.submit();
    bed.outcome(session, fail(b, bed.token(b), { retryAfterMs: 77 }));
    expect(bed.core.job(b)!.dueWall).toBe(bed.wall + 77);
  });

  it('that release a job put it at the tail, and the attempt does not count', () => {
    const bed = new Bed();
    const session = bed.open(1);
    const [a, b] = [bed.submit(), bed.submit()];
    bed.outcome(session, release(a, bed.token(a)), 2);
    expect(bed.state(b)).toBe('running');
    expect(bed.core.job(a)).toMatchObject({ state: 'queued', attempt: 0 });
  });

  it('are refused when the result is larger than the limit, and the job runs on', () => {
    const bed = new Bed({ payloadBytesMax: 8 });
    const session = bed.open(1);
    const seq = bed.submit();
    const notes = bed.outcome(session, complete(seq, bed.token(seq), '123456789'));
    expect(notes.outcomes.get(0)!.refusal).toBe('LIMIT_REACHED');
    expect(bed.state(seq)).toBe('running');
  });
});

describe('running jobs', () => {
  it('time out by their own limit or by that of the worker', () => {
    const bed = new Bed({ initialBackoffMs: 0, maxAttempts: 2 });
    const session = bed.open(1, [{ name: 'f', concurrency: 0, runTimeoutMs: 50 }]);
    const seq = bed.submit({ runTimeoutMs: 500 });
    const token = bed.token(seq);
    bed.do((b) => b.acks(session, 1, [token]));
    expect(bed.core.job(seq)!.dueWall).toBe(bed.wall + 50);
    const notes = bed.passElapsed(50);
    expect(notes.of('lease lost')).toEqual([`lease lost ${session}/1 job ${seq} token ${token} timeout`]);
    expect(bed.core.job(seq)).toMatchObject({ state: 'queued', attempt: 1, error: { code: 'TIMEOUT' } });
    const other = bed.open(1);
    expect(bed.core.job(seq)!.session).toBe(other);
    bed.passElapsed(499);
    expect(bed.core.job(seq)).toMatchObject({ state: 'running', session: other });
    bed.passElapsed(1);
    expect(bed.core.job(seq)).toMatchObject({ state: 'failed', error: { code: 'TIMEOUT' } });
  });

  it('keep their progress', () => {
    const bed = new Bed();
    const session = bed.open(1);
    const seq = bed.submit();
    const notes = bed.do((b) => b.progress(session, 1, bed.token(seq), 1, 3, 'a third'));
    expect(notes.of('job')).toEqual([`job ${seq} progress`]);
    expect(bed.core.job(seq)!.progress).toEqual({ numerator: 1, denominator: 3, message: 'a third' });
    expect(bed.do((b) => b.progress(session, 1, 999, 1, 3, '')).of('job')).toEqual([]);
  });
});

describe('long polls', () => {
  it('take what is there, at most as much as they asked for, once', () => {
    const bed = new Bed();
    const [a, b, c] = [bed.submit(), bed.submit(), bed.submit()];
    const session = bed.lease('r1', 2);
    expect(bed.core.heldTokens(session).map((token) => bed.core.seqOfToken(token))).toEqual([a, b]);
    expect(bed.lease('r1', 2)).toBe(session);
    expect(bed.state(c)).toBe('queued');
    expect(bed.core.session(session)!.credit).toBe(0);
  });

  it('wait for the first job when there is none, unless they stop', () => {
    const bed = new Bed();
    const waits = bed.lease('r1', 5);
    const stops = bed.lease('r2', 5);
    expect(bed.do((b) => b.leaseStop(stops)).of('closed')).toEqual([`closed ${stops} at 1`]);
    const [a, b] = [bed.submit(), bed.submit()];
    expect(bed.core.job(a)!.session).toBe(waits);
    expect(bed.state(b)).toBe('queued');
  });

  it('hold their jobs for the duration, or longer when extended, and are gone with the last', () => {
    const bed = new Bed({ maxAttempts: 2 });
    const [a, b] = [bed.submit(), bed.submit()];
    const session = bed.lease('r1', 2, 1_000);
    const [first, second] = bed.core.heldTokens(session);
    bed.pass(900);
    const extended = bed.do((builder) => builder.leaseExtend([second!, 12345], 1_000));
    expect(extended.results.get(0)!.value).toBe(bed.elapsedUs + 1_000_000);
    expect(extended.results.get(1)!.refusal).toBe('LEASE_LOST');
    expect(bed.core.leaseEndWall(second!)).toBe(bed.wall + 1_000);
    const notes = bed.pass(100);
    expect(notes.of('lease lost')).toEqual([`lease lost ${session}/1 job ${a} token ${first} timeout`]);
    expect(bed.core.job(a)).toMatchObject({ state: 'queued', error: { code: 'LEASE_LOST' } });
    expect(bed.core.session(session)!.held).toBe(1);
    const settled = bed.do((builder) => builder.outcomes(0, 0, 0, [complete(b, second!)]));
    expect(settled.outcomes.get(0)!.refusal).toBeNull();
    expect(settled.of('closed')).toEqual([`closed ${session} at 1`]);
    expect(bed.core.session(session)).toBeNull();
  });

  it('outlive their node as far as their leases go', () => {
    const bed = new Bed();
    const node = bed.incarnation;
    bed.submit();
    const holds = bed.lease('r1', 1, 5_000);
    const waits = bed.lease('r2', 1, 5_000);
    bed.up('n2', 2);
    bed.do((b) => b.nodeDown(node));
    expect(bed.core.session(waits)).toBeNull();
    expect(bed.core.session(holds)!.held).toBe(1);
    // The same request at another node finds its lease.
    expect(bed.lease('r1', 1, 5_000)).toBe(holds);
    expect(bed.core.session(holds)!.node).toBe('n2');
  });

  it('are not extended with the leases of a session', () => {
    const bed = new Bed();
    bed.open(1);
    const seq = bed.submit();
    const notes = bed.do((b) => b.leaseExtend([bed.token(seq)], 1_000));
    expect(notes.results.get(0)!.refusal).toBe('WRONG_STATE');
  });
});
