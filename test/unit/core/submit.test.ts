import { describe, expect, it } from 'vitest';
import { Bed, complete, START_WALL } from './bed.js';

describe('submit', () => {
  it('queues a job with all that was said about it', () => {
    const bed = new Bed();
    const spec = bed.spec({
      payload: Buffer.from('hello'),
      contentType: 'text/plain',
      metadata: [
        ['a', '1'],
        ['b', '2'],
      ],
      traceparent: '00-1-2-3',
      priority: 0,
      uniqueKey: 'key',
      retry: {
        maxAttempts: 2,
        initialBackoffMs: 10,
        maxBackoffMs: 100,
        multiplierPermille: 3000,
        jitterPermille: 0,
      },
      runTimeoutMs: 77,
      startDeadlineWall: bed.wall + 1000,
      retentionMs: 55,
      foreground: true,
    });
    const notes = bed.do((b) => b.submit('ns', spec));
    const seq = notes.submissions.get(0)!.seq;
    const job = bed.core.findJob('ns', spec.id)!;
    expect(job.seq).toBe(seq);
    expect({ ...job, payload: Buffer.from(job.payload).toString() }).toMatchObject({
      id: spec.id,
      namespace: 'ns',
      function: 'f',
      state: 'queued',
      payload: 'hello',
      contentType: 'text/plain',
      metadata: spec.metadata,
      traceparent: '00-1-2-3',
      priority: 0,
      uniqueKey: 'key',
      retry: spec.retry,
      runTimeoutMs: 77,
      startDeadlineWall: spec.startDeadlineWall,
      retentionMs: 55,
      foreground: true,
      attempt: 0,
      createdWall: START_WALL,
      revision: bed.core.appliedIndex,
    });
    expect(bed.core.findJob('default', spec.id)).toBeNull();
  });

  it('gives a job to a waiting worker in the same apply', () => {
    const bed = new Bed();
    const session = bed.open(1);
    const notes = bed.do((b) => b.submit('default', bed.spec()));
    expect(notes.of('assigned')).toEqual([`assigned ${session}/1 job 1 token 1`]);
    expect(notes.of('job')).toEqual(['job 1 accepted', 'job 1 started']);
  });

  it('answers a repeated id with the same job, while its record is there and after', () => {
    const bed = new Bed({ retentionMs: 0 });
    const spec = bed.spec();
    const seq = bed.do((b) => b.submit('default', spec)).submissions.get(0)!.seq;
    expect(bed.do((b) => b.submit('default', spec)).submissions.get(0)).toMatchObject({
      disposition: 'same-id',
      seq,
      refusal: null,
    });
    const session = bed.open(1);
    bed.outcome(session, complete(seq, bed.token(seq)));
    expect(bed.core.job(seq)).toBeNull();
    expect(bed.core.ended(seq)).toMatchObject({ id: spec.id, state: 'succeeded' });
    expect(bed.do((b) => b.submit('default', spec)).submissions.get(0)).toMatchObject({
      disposition: 'same-id',
      seq,
      refusal: null,
    });
    const other = { ...spec, payload: Buffer.from('other') };
    expect(bed.do((b) => b.submit('default', other)).submissions.get(0)!.refusal).toBe('ID_REUSED');
    expect(bed.do((b) => b.submit('elsewhere', spec)).submissions.get(0)!.refusal).toBe('ID_REUSED');
  });

  it('refuses ids behind the horizon and far ahead', () => {
    const bed = new Bed();
    expect(bed.trySubmit({ id: bed.id(bed.wall - 300_001) }).refusal).toBe('ID_TOO_OLD');
    expect(bed.trySubmit({ id: bed.id(bed.wall - 300_000) }).refusal).toBeNull();
    expect(bed.trySubmit({ id: bed.id(bed.wall + 60_001) }).refusal).toBe('ID_IN_FUTURE');
    expect(bed.trySubmit({ id: bed.id(bed.wall + 60_000) }).refusal).toBeNull();
  });

  it('never runs an id twice, however long it is repeated', () => {
    const bed = new Bed({ retentionMs: 0, dedupeWindowMs: 80_000, dedupeWindowMinMs: 10_000 });
    const session = bed.open(1);
    const spec = bed.spec({ id: bed.id(bed.wall + 60_000) });
    const seq = bed.do((b) => b.submit('default', spec)).submissions.get(0)!.seq;
    bed.outcome(session, complete(seq, bed.token(seq)));
    let known = 0;
    let old = 0;
    for (let i = 0; i < 40; i++) {
      bed.pass(5_000);
      const { refusal, disposition } = bed.do((b) => b.submit('default', spec)).submissions.get(0)!;
      if (refusal === 'ID_TOO_OLD') old++;
      else {
        expect(disposition).toBe('same-id');
        expect(old).toBe(0);
        known++;
      }
    }
    expect(known).toBeGreaterThanOrEqual(28);
    expect(old).toBeGreaterThan(0);
    expect(bed.core.counts().dedupeEntries).toBe(0);
  });

  it('shortens the horizon at the limit of the table, but not below its least', () => {
    const bed = new Bed({ retentionMs: 0, dedupeEntriesMax: 16, dedupeWindowMinMs: 1_000 });
    const session = bed.open(1000);
    const first = bed.spec();
    const run = (spec = bed.spec()) => {
      const answer = bed.do((b) => b.submit('default', spec)).submissions.get(0)!;
      if (answer.refusal === null && bed.state(answer.seq) === 'running') {
        bed.outcome(session, complete(answer.seq, bed.token(answer.seq)));
      }
      return answer;
    };
    run(first);
    for (let i = 0; i < 15; i++) expect(run().refusal).toBeNull();
    expect(run()).toMatchObject({ refusal: 'LIMIT_REACHED', limit: 'dedupeEntriesMax' });
    expect(run(first)).toMatchObject({ disposition: 'same-id', refusal: null });
    bed.pass(1_001);
    expect(run().refusal).toBeNull();
    expect(run(first).refusal).toBe('ID_TOO_OLD');
    expect(bed.core.counts().dedupeEntries).toBeLessThanOrEqual(16);
  });

  it('joins a live job with the same unique key, and finds it again by the second id', () => {
    const bed = new Bed({ retentionMs: 0 });
    const seq = bed.submit({ uniqueKey: 'k' });
    const second = bed.spec({ uniqueKey: 'k', payload: Buffer.from('ignored') });
    const submit = () => bed.do((b) => b.submit('default', second)).submissions.get(0)!;
    expect(submit()).toMatchObject({ disposition: 'coalesced', seq });
    expect(bed.submit({ uniqueKey: 'k', function: 'g' })).not.toBe(seq);
    const session = bed.open(1);
    bed.outcome(session, complete(seq, bed.token(seq)));
    expect(submit()).toMatchObject({ disposition: 'coalesced', seq });
    expect(bed.submit({ uniqueKey: 'k' })).not.toBe(seq);
    expect(bed.core.queue('default', 'f')!.totals).toMatchObject({ submitted: 2, coalesced: 1 });
  });

  it('waits for run_at and delay by the wall clock', () => {
    const bed = new Bed();
    const a = bed.submit({ runAtWall: bed.wall + 500 });
    const b = bed.submit({ delayMs: 400 });
    expect([bed.state(a), bed.state(b)]).toEqual(['scheduled', 'scheduled']);
    expect(bed.core.nextDue().wall).toBe(bed.wall + 400);
    bed.passElapsed(10_000);
    expect(bed.state(b)).toBe('scheduled');
    expect(bed.pass(450).of('job')).toEqual([`job ${b} queued`]);
    bed.pass(50);
    expect(bed.state(a)).toBe('queued');
    const session = bed.open(2);
    expect(bed.core.heldTokens(session).map((token) => bed.core.seqOfToken(token))).toEqual([b, a]);
  });

  it('expires a job that is not started before its deadline', () => {
    const bed = new Bed();
    const waiting = bed.submit({ startDeadlineWall: bed.wall + 100 });
    const scheduled = bed.submit({ startDeadlineWall: bed.wall + 100, runAtWall: bed.wall + 200 });
    const late = bed.submit({ startDeadlineWall: bed.wall - 1 });
    expect(bed.state(late)).toBe('expired');
    bed.pass(100);
    expect([bed.state(waiting), bed.state(scheduled)]).toEqual(['expired', 'expired']);
    expect(bed.core.job(waiting)!.error!.code).toBe('EXPIRED');
    const started = bed.submit({ startDeadlineWall: bed.wall + 100 });
    bed.open(1);
    bed.pass(200);
    expect(bed.state(started)).toBe('running');
  });

  it('names the limit that is reached', () => {
    const bed = new Bed({ jobsMax: 3, jobsPerFunctionMax: 2, functionsMax: 2, payloadBytesMax: 10 });
    bed.submit();
    bed.submit();
    expect(bed.trySubmit()).toMatchObject({ refusal: 'LIMIT_REACHED', limit: 'jobsPerFunctionMax', seq: 0 });
    expect(bed.trySubmit({ function: 'g', payload: Buffer.alloc(11) }).limit).toBe('payloadBytesMax');
    bed.submit({ function: 'g', payload: Buffer.alloc(10) });
    expect(bed.trySubmit({ function: 'g' }).limit).toBe('jobsMax');
    expect(bed.trySubmit({ function: 'h' }).limit).toBe('functionsMax');
    expect(bed.core.counts()).toMatchObject({ jobs: 3, functions: 2 });
  });
});

describe('submitAll', () => {
  it('does all or nothing', () => {
    const bed = new Bed({ jobsPerFunctionMax: 2 });
    const three = [bed.spec(), bed.spec(), bed.spec()];
    const refused = bed.do((b) => b.submitAll('default', three)).submissions;
    expect(Array.from(refused.values(), ({ seq, limit }) => [seq, limit])).toEqual([
      [0, ''],
      [0, ''],
      [0, 'jobsPerFunctionMax'],
    ]);
    expect(bed.core.counts().jobs).toBe(0);
    expect(bed.core.counts().functions).toBe(0);
    const done = bed.do((b) => b.submitAll('default', three.slice(0, 2))).submissions;
    expect(Array.from(done.values(), ({ seq }) => seq)).toEqual([1, 2]);
    // The same again counts as done.
    const again = bed.do((b) => b.submitAll('default', three.slice(0, 2))).submissions;
    expect(Array.from(again.values(), ({ disposition }) => disposition)).toEqual(['same-id', 'same-id']);
  });

  it('treats a twin within the batch as a repetition, and unique keys as across batches', () => {
    const bed = new Bed();
    const spec = bed.spec();
    const keyed = [bed.spec({ uniqueKey: 'k' }), bed.spec({ uniqueKey: 'k' })];
    const notes = bed.do((b) => b.submitAll('default', [spec, spec, ...keyed]));
    expect(Array.from(notes.submissions.values(), ({ disposition, seq }) => [disposition, seq])).toEqual([
      ['created', 1],
      ['same-id', 1],
      ['created', 2],
      ['coalesced', 2],
    ]);
    const reused = bed.do((b) => b.submitAll('default', [bed.spec(), { ...spec, priority: 0 }]));
    expect(Array.from(reused.submissions.values(), ({ refusal }) => refusal)).toEqual([null, 'ID_REUSED']);
    expect(bed.core.counts().jobs).toBe(2);
  });

  it('counts what follows one that is too late, whose unique key is free again', () => {
    const bed = new Bed({ jobsMax: 2 });
    const batch = (late: number) =>
      [0, 1, 2].map((i) => bed.spec({ uniqueKey: 'k', startDeadlineWall: i < late ? 1 : 0 }));
    const refused = bed.do((b) => b.submitAll('default', batch(2))).submissions;
    expect(Array.from(refused.values(), ({ seq, limit }) => [seq, limit])).toEqual([
      [0, ''],
      [0, ''],
      [0, 'jobsMax'],
    ]);
    const done = bed.do((b) => b.submitAll('default', batch(1))).submissions;
    expect(Array.from(done.values(), ({ disposition, seq }) => [disposition, seq])).toEqual([
      ['created', 1],
      ['created', 2],
      ['coalesced', 2],
    ]);
    bed.twin();
  });
});
