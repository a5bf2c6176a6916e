import { describe, expect, it } from 'vitest';
import { Bed, complete } from './bed.js';

/** Limits that a queue has of its own, and functions that are created and dropped by command. */

function limit(bed: Bed, fn: string, jobsMax: readonly [number, number, number]) {
  return bed.do((b) => b.queueLimits('default', fn, jobsMax)).results.get(0)!;
}

function drop(bed: Bed, fn: string) {
  return bed.do((b) => b.queueDrop('default', fn)).results.get(0)!;
}

describe('the limit of a queue', () => {
  it('counts all jobs of the function that have not ended, against the limit of the priority submitted', () => {
    const bed = new Bed();
    const session = bed.open(1);
    limit(bed, 'f', [4, 3, 1]);
    expect(bed.core.queue('default', 'f')!.jobsMax).toEqual([4, 3, 1]);
    const running = bed.submit({ priority: 1 });
    expect(bed.state(running)).toBe('running');
    const refused = { refusal: 'LIMIT_REACHED', limit: 'queueJobsMax', seq: 0 };
    expect(bed.trySubmit({ priority: 2 })).toMatchObject(refused);
    bed.submit({ priority: 1, delayMs: 1_000 });
    bed.submit({ priority: 0 });
    expect(bed.trySubmit({ priority: 1 })).toMatchObject(refused);
    expect(bed.trySubmit({ priority: 0 }).refusal).toBeNull();
    expect(bed.trySubmit({ priority: 0 })).toMatchObject(refused);
    expect(bed.trySubmit({ function: 'g' }).refusal).toBeNull();
    expect(bed.trySubmit({}, 'other').refusal).toBeNull();
    // The credit that comes with the outcome takes the next job: four less one are left.
    bed.outcome(session, complete(running, bed.token(running)), 2);
    expect(bed.trySubmit({ priority: 0 }).refusal).toBeNull();
    expect(bed.core.queue('default', 'f')).toMatchObject({ scheduled: 1, running: 1, waiting: [2, 0, 0] });
  });

  it('names itself and its value in the refusal, and does not concern what coalesces', () => {
    const bed = new Bed();
    const held = bed.submit({ uniqueKey: 'u' });
    limit(bed, 'f', [1, 1, 1]);
    const notes = bed.do((b) => {
      b.submit('default', bed.spec({ uniqueKey: 'u' }));
      b.submit('default', bed.spec());
    });
    expect(notes.of('submitted')).toEqual([
      `submitted 0 coalesced ${held} null  0`,
      'submitted 1 created 0 LIMIT_REACHED queueJobsMax 1',
    ]);
    limit(bed, 'f', [0, 0, 0]);
    expect(bed.trySubmit().refusal).toBeNull();
  });

  it('holds for all jobs of one command together, and for one that is queued again', () => {
    const bed = new Bed();
    limit(bed, 'f', [0, 2, 0]);
    const three = bed.do((b) => b.submitAll('default', [bed.spec(), bed.spec(), bed.spec()]));
    expect([0, 1, 2].map((at) => three.submissions.get(at)!.refusal)).toEqual([null, null, 'LIMIT_REACHED']);
    expect(bed.core.counts().jobs).toBe(0);
    const id = bed.id();
    bed.submit({ id });
    bed.do((b) => b.cancel('default', id, '', 0));
    bed.do((b) => b.submitAll('default', [bed.spec(), bed.spec()]));
    expect(bed.do((b) => b.retry('default', id)).results.get(0)).toMatchObject({
      refusal: 'LIMIT_REACHED',
      limit: 'queueJobsMax',
      limitValue: 2,
    });
  });

  it('leaves what is there, creates the function where it sets something, and comes with a snapshot', () => {
    const bed = new Bed({ functionsMax: 2 });
    for (let i = 0; i < 3; i++) bed.submit();
    expect(limit(bed, 'f', [1, 1, 1])).toMatchObject({ refusal: null, value: 3 });
    expect(limit(bed, 'g', [0, 0, 0]).refusal).toBeNull();
    expect(bed.core.queue('default', 'g')).toBeNull();
    expect(limit(bed, 'g', [0, 0, 7]).refusal).toBeNull();
    expect(limit(bed, 'h', [1, 0, 0])).toMatchObject({ refusal: 'LIMIT_REACHED', limit: 'functionsMax' });
    const twin = bed.twin();
    expect(twin.core.queues(null)).toEqual(bed.core.queues(null));
    expect(twin.trySubmit()).toMatchObject({ limit: 'queueJobsMax' });
  });
});

describe('a function', () => {
  it('can be created before its first use, again and again, up to the limit', () => {
    const bed = new Bed({ functionsMax: 1 });
    const create = (fn: string) => bed.do((b) => b.queueCreate('default', fn)).results.get(0)!.refusal;
    expect([create('f'), create('f'), create('g')]).toEqual([null, null, 'LIMIT_REACHED']);
    expect(bed.core.queue('default', 'f')).toMatchObject({ workers: 0, paused: false });
  });

  it('is not dropped while it has jobs or sessions, attached or not', () => {
    const bed = new Bed();
    expect(drop(bed, 'f').refusal).toBe('NOT_FOUND');
    const seq = bed.submit({ delayMs: 100 });
    expect(drop(bed, 'f').refusal).toBe('WRONG_STATE');
    bed.pass(100);
    const session = bed.open(1);
    bed.outcome(session, complete(seq, bed.token(seq)));
    expect(drop(bed, 'f').refusal).toBe('WRONG_STATE');
    bed.do((b) => b.sessionDetach(session, 1));
    expect(drop(bed, 'f').refusal).toBe('WRONG_STATE');
    bed.do((b) => b.sessionClose(session, 1));
    expect(drop(bed, 'f')).toMatchObject({ refusal: null, value: 1 });
    expect(bed.core.queues(null)).toEqual([]);
  });

  it('takes its ended jobs with it little by little, unseen and not to be revived, and is free only then', () => {
    const bed = new Bed({ sweepSteps: 10, functionsMax: 2, retentionMs: 1_000_000 });
    const ids = Array.from({ length: 150 }, () => bed.id());
    for (const id of ids) bed.submit({ id });
    bed.submit({ function: 'keep' });
    for (const id of ids) bed.do((b) => b.cancel('default', id, '', 0));
    expect(drop(bed, 'f')).toMatchObject({ refusal: null, value: 150 });
    expect(bed.core.findJob('default', ids[0]!)).toBeNull();
    expect(bed.do((b) => b.retry('default', ids[149]!)).results.get(0)!.refusal).toBe('NOT_FOUND');
    expect(bed.core.queue('default', 'f')).toBeNull();
    // The same id is the same job, and counts as one that was done.
    expect(bed.trySubmit({ id: ids[149]! })).toMatchObject({ disposition: 'same-id' });
    expect(bed.trySubmit()).toMatchObject({ limit: 'functionsMax' });
    expect(bed.core.counts().functions).toBe(2);
    const twin = bed.twin();
    for (const one of [bed, twin]) {
      one.ticks();
      expect(one.core.counts()).toMatchObject({ functions: 1, jobs: 1 });
      const again = one.submit();
      expect(one.core.queue('default', 'f')!.totals.submitted).toBe(1);
      expect(one.core.job(again)!.function).toBe('f');
      expect(one.core.counts().functions).toBe(2);
    }
    expect(twin.core.stateHash()).toBe(bed.core.stateHash());
  });

  it('gives the smallest free place to the next, on a restored replica too', () => {
    const bed = new Bed();
    const create = (one: Bed, fn: string) => one.do((b) => b.queueCreate('default', fn));
    const names = Array.from({ length: 130 }, (_, i) => `f${i}`);
    for (const name of names) create(bed, name);
    for (const at of [0, 3, 70, 128, 129]) drop(bed, names[at]!);
    for (let i = 64; i < 128; i++) if (i !== 70) drop(bed, names[i]!);
    const twin = bed.twin();
    expect(twin.core.stateHash()).toBe(bed.core.stateHash());
    for (let i = 0; i < 75; i++) for (const one of [bed, twin]) create(one, `new${i}`);
    expect(twin.core.pageHashes()).toEqual(bed.core.pageHashes());
    expect(bed.core.counts().functions).toBe(62 + 75);
    expect(bed.twin().core.stateHash()).toBe(bed.core.stateHash());
  });

  it('that was dropped with a purge and a resumed queue still under way disturbs neither', () => {
    const bed = new Bed({ sweepSteps: 1 });
    const ids = [bed.id(), bed.id(), bed.id()];
    for (const id of ids) bed.submit({ id });
    bed.submit({ function: 'g' });
    bed.do((b) => b.purge('default', 'g', ['queued']));
    for (const id of ids) bed.do((b) => b.cancel('default', id, '', 0));
    bed.do((b) => b.purge('default', 'f', ['cancelled']));
    expect(drop(bed, 'f').refusal).toBeNull();
    bed.ticks();
    expect(bed.core.counts()).toMatchObject({ jobs: 0, functions: 1 });
  });
});
