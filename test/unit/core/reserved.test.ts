import { describe, expect, it } from 'vitest';
import type { JobSpec, PriorityRank } from '../../../src/core/index.js';
import { asFunction, Bed, complete, fail, release, SECRET } from './bed.js';

/** Jobs that a session has and did not begin yet (section 11 of the design, rule 15). */

function reserving(
  bed: Bed,
  credit: number,
  functions: readonly string[] = ['f'],
  resumable = false,
): number {
  const notes = bed.do((b) =>
    b.sessionOpen({
      namespace: 'default',
      name: 'worker',
      secretDigest: SECRET,
      functions: functions.map(asFunction),
      resumable,
      reserves: true,
      credit,
    }),
  );
  return notes.results.get(0)!.value;
}

function start(bed: Bed, ...tokens: number[]) {
  return bed.do((b) => b.start(tokens));
}

const shown = (bed: Bed): number[] => {
  const { waiting, running } = bed.core.queue('default', 'f')!;
  return [...waiting, running];
};

/** What a worker with so much credit is given, in this order. */
function order(bed: Bed, count: number): number[] {
  const notes = bed.do((b) =>
    b.sessionOpen({
      namespace: 'default',
      name: 'all',
      secretDigest: SECRET,
      functions: [asFunction('f')],
      resumable: true,
      credit: count,
    }),
  );
  return notes.of('assigned').map((line) => Number(line.split(' ')[3]));
}

describe('a reserved job', () => {
  it('rule: reserved jobs - is queued for all who look, without attempt or run timeout, until it is begun', () => {
    const bed = new Bed();
    const session = reserving(bed, 1);
    const notes = bed.do((b) => b.submit('default', bed.spec({ runTimeoutMs: 100, priority: 2 })));
    const { seq } = notes.submissions.get(0)!;
    const token = bed.token(seq);
    expect(notes.of('assigned')).toEqual([`assigned ${session}/1 job ${seq} token ${token}`]);
    expect(notes.of('job')).toEqual([`job ${seq} accepted`]);
    expect(bed.core.job(seq)).toMatchObject({ state: 'queued', attempt: 0, attempts: [], session });
    expect(bed.core.session(session)).toMatchObject({ held: 1, credit: 0 });
    expect(shown(bed)).toEqual([0, 0, 1, 0]);
    expect(bed.core.queue('default', 'f')!.oldestWaitingWall).toBe(bed.wall);
    expect(bed.core.counts()).toMatchObject({ waiting: 1, running: 0 });
    expect(bed.core.queue('default', 'f')!.totals.started).toBe(0);
    bed.passElapsed(500);
    expect(start(bed, token).of('job')).toEqual([`job ${seq} started`]);
    expect(bed.core.job(seq)).toMatchObject({ state: 'running', attempt: 1, token, startedWall: bed.wall });
    expect(shown(bed)).toEqual([0, 0, 0, 1]);
    expect(bed.core.queue('default', 'f')!.totals.started).toBe(1);
    // Said again it means nothing. From the start on the timeout runs; acknowledged it is as well.
    start(bed, token, 4711);
    expect(bed.core.job(seq)!.attempt).toBe(1);
    bed.passElapsed(99);
    expect(bed.state(seq)).toBe('running');
    expect(bed.passElapsed(1).of('lease lost')).toEqual([
      `lease lost ${session}/1 job ${seq} token ${token} timeout`,
    ]);
  });

  it('rule: reserved jobs - one that waits begins what its command gives it at once; what comes later is reserved', () => {
    const bed = new Bed();
    const session = reserving(bed, 1);
    const first = bed.submit();
    const [second, third] = [bed.submit(), bed.submit()] as [number, number];
    const notes = bed.do((b) => b.outcomes(session, 1, 2, [complete(first, bed.token(first))], true));
    expect(notes.of('job').at(-1)).toBe(`job ${second} started`);
    expect(bed.core.job(second)).toMatchObject({ state: 'running', attempt: 1, session });
    // The credit alone does it as well, for as much as there is now.
    bed.do((b) => b.outcomes(session, 1, 4, [], true));
    expect(bed.core.job(third)).toMatchObject({ state: 'running', attempt: 1, session });
    const fourth = bed.submit();
    expect(bed.core.job(fourth)).toMatchObject({ state: 'queued', attempt: 0, session });
    // Whoever does not wait has it reserved.
    bed.do((b) => b.outcomes(session, 1, 5, [complete(second, bed.token(second))]));
    expect(bed.core.job(bed.submit())).toMatchObject({ state: 'queued', attempt: 0, session });
  });

  it('rule: reserved jobs - an outcome implies that it was begun', () => {
    const bed = new Bed({ initialBackoffMs: 0 });
    const session = reserving(bed, 2);
    const [done, failed] = [bed.submit(), bed.submit()] as [number, number];
    const notes = bed.outcome(session, complete(done, bed.token(done)));
    expect(notes.of('job')).toEqual([`job ${done} started`, `job ${done} ended`]);
    expect(bed.core.job(done)).toMatchObject({
      state: 'succeeded',
      attempt: 1,
      attempts: [{ worker: 'worker' }],
    });
    bed.outcome(session, fail(failed, bed.token(failed), { retryable: false }));
    expect(bed.core.job(failed)).toMatchObject({ state: 'failed', attempt: 1 });
    expect(bed.core.queue('default', 'f')!.totals).toMatchObject({
      started: 2,
      failedAttempts: 1,
      leasesLost: 0,
    });
  });

  it('rule: reserved jobs - comes back before all that wait, in its order, at no cost, however it comes back', () => {
    const ways: Record<string, (bed: Bed, session: number, seqs: readonly number[]) => void> = {
      released: (bed, session, seqs) => {
        for (const seq of [...seqs].reverse()) bed.outcome(session, release(seq, bed.token(seq)));
      },
      unacknowledged: (bed) => bed.passElapsed(5_000),
      detached: (bed, session) => bed.do((b) => b.sessionDetach(session, 1)),
      closed: (bed, session) => bed.do((b) => b.sessionClose(session, 1)),
      'node lost': (bed) => {
        const node = bed.incarnation;
        bed.up('n2', 2);
        bed.do((b) => b.nodeDown(node));
        bed.ticks();
      },
    };
    for (const [name, way] of Object.entries(ways)) {
      const bed = new Bed();
      const session = reserving(bed, 3);
      const seqs = [bed.submit(), bed.submit(), bed.submit()];
      const later = [bed.submit(), bed.submit()];
      way(bed, session, seqs);
      const twin = bed.twin();
      for (const one of [bed, twin]) {
        for (const seq of seqs)
          expect(one.core.job(seq), name).toMatchObject({ state: 'queued', attempt: 0, token: 0 });
        expect(one.core.queue('default', 'f')!.totals.leasesLost).toBe(0);
        expect(shown(one)).toEqual([0, 5, 0, 0]);
        expect(order(one, 5), name).toEqual([...seqs, ...later]);
      }
      expect(twin.core.stateHash()).toBe(bed.core.stateHash());
    }
  });

  it('rule: reserved jobs - a restore between two that come back changes nothing', () => {
    const bed = new Bed();
    const sessions = [1, 2, 3].map(() => reserving(bed, 1));
    const seqs = sessions.map(() => bed.submit());
    const later = bed.submit();
    const beds = [bed];
    for (const [i, at] of [1, 0, 2].entries()) {
      for (const one of beds) one.outcome(sessions[at]!, release(seqs[at]!, one.token(seqs[at]!)));
      if (i < 2) beds.push(bed.twin());
    }
    for (const one of beds) {
      expect(one.core.stateHash()).toBe(bed.core.stateHash());
      expect(one.core.queues(null)).toEqual(bed.core.queues(null));
    }
    for (const one of beds) expect(order(one, 4)).toEqual([...seqs, later]);
  });

  it('rule: reserved jobs - one that comes back goes at once to another session with credit', () => {
    const bed = new Bed();
    const first = reserving(bed, 1);
    const seq = bed.submit();
    const second = reserving(bed, 1);
    const plain = bed.open(1);
    const notes = bed.outcome(first, release(seq, bed.token(seq)));
    expect(notes.of('assigned')).toEqual([`assigned ${second}/1 job ${seq} token ${bed.token(seq)}`]);
    expect(bed.state(seq)).toBe('queued');
    bed.outcome(second, release(seq, bed.token(seq)));
    expect(bed.core.job(seq)).toMatchObject({ state: 'running', session: plain, attempt: 1 });
  });

  it('rule: reserved jobs - among functions and priorities it stands where it stood', () => {
    const bed = new Bed();
    const session = reserving(bed, 4, ['f', 'g']);
    const submit = (fn: string, priority: PriorityRank) => bed.submit({ function: fn, priority });
    const kept = [submit('g', 1), submit('f', 2), submit('f', 1), submit('g', 0)];
    const waiting = [submit('f', 1), submit('g', 0), submit('g', 2)];
    for (const seq of [kept[1]!, kept[3]!, kept[0]!, kept[2]!])
      bed.outcome(session, release(seq, bed.token(seq)));
    const high = submit('f', 0);
    const next = bed.do((b) => b.credit(session, 1, 20)).of('assigned');
    expect(next.map((line) => Number(line.split(' ')[3]))).toEqual([
      kept[3],
      waiting[1],
      high,
      kept[0],
      kept[2],
      waiting[0],
      kept[1],
      waiting[2],
    ]);
  });

  it('rule: reserved jobs - coming back costs no walk over the backlog or over others that came back', () => {
    const bed = new Bed({ sweepSteps: 100, ackTimeoutMs: 50 });
    const session = reserving(bed, 1_000);
    const seqs = Array.from({ length: 1_000 }, () => bed.submit());
    const later = Array.from({ length: 500 }, () => bed.submit());
    expect(bed.core.session(session)!.held).toBe(1_000);
    bed.elapsedUs += 50_000;
    let entries = 0;
    for (; entries === 0 || bed.core.nextDue().sweeping; entries++) {
      expect(bed.apply([]).of('lease lost').length).toBeLessThanOrEqual(100);
    }
    expect(entries).toBeLessThanOrEqual(11);
    expect(
      order(bed, 1_500).concat(
        bed
          .ticks()
          .of('assigned')
          .map((line) => Number(line.split(' ')[3])),
      ),
    ).toEqual([...seqs, ...later]);
  });
});

describe('what happens to queued jobs happens to reserved ones', () => {
  const setUp = (changes: Partial<JobSpec> = {}) => {
    const bed = new Bed();
    const session = reserving(bed, 1);
    const id = bed.id();
    const seq = bed.submit({ id, ...changes });
    const token = bed.token(seq);
    const lost = (why: string) => [`lease lost ${session}/1 job ${seq} token ${token} ${why}`];
    return { bed, session, seq, token, id, lost };
  };

  it('rule: reserved jobs - a cancel ends it at once, and what its worker says then is too late', () => {
    const { bed, session, seq, token, id, lost } = setUp();
    const notes = bed.do((b) => b.cancel('default', id, 'because', 30_000));
    expect(notes.of('lease lost')).toEqual(lost('cancelled'));
    expect(bed.core.job(seq)).toMatchObject({ state: 'cancelled', attempt: 0, cancelReason: 'because' });
    expect(start(bed, token).of('job')).toEqual([]);
    expect(bed.outcome(session, complete(seq, token)).outcomes.get(0)!.refusal).toBe('LEASE_LOST');
    expect(bed.core.session(session)!.held).toBe(0);
  });

  it('rule: reserved jobs - a purge takes those with it that were there, and no others', () => {
    const bed = new Bed({ sweepSteps: 3 });
    const session = reserving(bed, 4);
    const back = bed.submit();
    const held = [bed.submit(), bed.submit()];
    bed.outcome(session, release(back, bed.token(back)));
    const waiting = [bed.submit(), bed.submit(), bed.submit()];
    bed.do((b) => b.purge('default', 'f', ['queued']));
    const fresh = [bed.submit(), bed.submit()];
    bed.do((b) => b.credit(session, 1, 5));
    const twin = bed.twin();
    for (const one of [bed, twin]) {
      one.ticks();
      expect(
        [back, ...held, ...waiting].map((seq) => one.state(seq)).filter((state) => state !== 'gone'),
      ).toEqual([]);
      expect(fresh.map((seq) => one.state(seq))).toEqual(['queued', 'queued']);
    }
    expect(twin.core.stateHash()).toBe(bed.core.stateHash());
  });

  it('rule: reserved jobs - the start deadline goes on while it is reserved, and after it came back', () => {
    for (const back of [false, true]) {
      const bed = new Bed();
      const session = reserving(bed, 1);
      const seq = bed.submit({ startDeadlineWall: bed.wall + 100 });
      const token = bed.token(seq);
      if (back) bed.outcome(session, release(seq, token));
      bed.wall += 99;
      bed.ticks();
      expect(bed.state(seq)).toBe('queued');
      bed.wall += 1;
      expect(bed.twin().ticks().of('lease lost')).toHaveLength(back ? 0 : 1);
      expect(bed.ticks().of('lease lost')).toEqual(
        back ? [] : [`lease lost ${session}/1 job ${seq} token ${token} timeout`],
      );
      expect(bed.state(seq)).toBe('expired');
    }
    const { bed, seq, token } = setUp({ startDeadlineWall: 1_700_000_000_000 + 100 });
    start(bed, token);
    bed.wall += 200;
    bed.ticks();
    expect(bed.state(seq)).toBe('running');
  });

  it('rule: reserved jobs - nobody waits for it any more: it is dropped', () => {
    const { bed, seq, lost } = setUp({ waits: true });
    const notes = bed.do((b) => b.waiters(new Map([[seq, -1]])));
    expect(notes.of('lease lost')).toEqual(lost('cancelled'));
    expect(bed.state(seq)).toBe('cancelled');
  });

  it('rule: reserved jobs - a paused queue gives out what comes back only when it goes on', () => {
    const { bed, session, seq, token } = setUp();
    bed.do((b) => b.pause('default', 'f', true));
    const other = reserving(bed, 1);
    bed.outcome(session, release(seq, token));
    expect(bed.core.job(seq)).toMatchObject({ state: 'queued', token: 0 });
    bed.do((b) => b.pause('default', 'f', false));
    expect(bed.core.job(seq)).toMatchObject({ state: 'queued', session: other });
    expect(start(bed, bed.token(seq)).of('job')).toEqual([`job ${seq} started`]);
  });

  it('rule: reserved jobs - progress implies that it was begun, and a job that was retried can be reserved again', () => {
    const { bed, session, seq, token, id } = setUp();
    bed.do((b) => b.progress(session, 1, token, 1, 2, 'early'));
    expect(bed.core.job(seq)).toMatchObject({
      state: 'running',
      attempt: 1,
      progress: { numerator: 1, denominator: 2 },
    });
    bed.do((b) => b.cancel('default', id, '', 0));
    bed.do((b) => b.credit(session, 1, 1));
    bed.do((b) => b.retry('default', id));
    expect(bed.core.job(seq)).toMatchObject({ state: 'queued', token: 0 });
    bed.do((b) => b.credit(session, 1, 2));
    expect(bed.core.job(seq)!.session).toBe(session);
    bed.outcome(session, release(seq, bed.token(seq)));
    expect(order(bed, 1)).toEqual([seq]);
  });
});

describe('a session that reserves', () => {
  it('rule: reserved jobs - comes back with what it still has, reserved or begun; the rest goes to its place', () => {
    const bed = new Bed();
    const session = reserving(bed, 3, ['f'], true);
    const [a, b, c] = [bed.submit(), bed.submit(), bed.submit()] as [number, number, number];
    start(bed, bed.token(b));
    const tokens = [bed.token(a), bed.token(b)];
    bed.do((builder) => builder.sessionDetach(session, 1));
    bed.do((builder) => builder.sessionAttach(session, SECRET, tokens));
    expect([a, b, c].map((seq) => bed.core.job(seq)!.state)).toEqual(['queued', 'running', 'queued']);
    expect(bed.core.heldTokens(session)).toEqual(tokens);
    // Claimed is acknowledged.
    bed.passElapsed(60_000);
    expect(bed.core.heldTokens(session)).toEqual(tokens);
    const twin = bed.twin();
    for (const one of [bed, twin]) {
      expect(start(one, tokens[0]!).of('job')).toEqual([`job ${a} started`]);
      expect(order(one, 1)).toEqual([c]);
    }
    expect(twin.core.pageHashes()).toEqual(bed.core.pageHashes());
  });

  it('rule: reserved jobs - its limits count what is reserved for it', () => {
    const bed = new Bed();
    const notes = bed.do((b) =>
      b.sessionOpen({
        namespace: 'default',
        name: 'worker',
        secretDigest: SECRET,
        functions: [{ name: 'f', concurrency: 1, runTimeoutMs: 70 }],
        resumable: false,
        reserves: true,
        credit: 5,
      }),
    );
    const session = notes.results.get(0)!.value;
    const [first, second] = [bed.submit(), bed.submit()] as [number, number];
    expect(bed.core.heldTokens(session)).toEqual([bed.token(first)]);
    start(bed, bed.token(first));
    expect(bed.core.heldTokens(session)).toEqual([bed.token(first)]);
    bed.outcome(session, complete(first, bed.token(first)));
    expect(bed.core.heldTokens(session)).toEqual([bed.token(second)]);
    start(bed, bed.token(second));
    expect(bed.passElapsed(70).of('lease lost')).toHaveLength(1);
  });
});
