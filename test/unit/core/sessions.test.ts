import { describe, expect, it } from 'vitest';
import { asFunction, Bed, complete, SECRET } from './bed.js';

describe('sessions', () => {
  it('show what they are', () => {
    const bed = new Bed();
    const id = bed.open(3, ['f', 'g']);
    bed.submit();
    expect(bed.core.session(id)).toMatchObject({
      id,
      epoch: 1,
      namespace: 'default',
      name: 'worker',
      node: 'n1',
      state: 'attached',
      credit: 2,
      held: 1,
    });
    expect(bed.core.queue('default', 'g')).toMatchObject({ workers: 1, credits: 2 });
  });

  it('get jobs of their namespace and functions only', () => {
    const bed = new Bed();
    bed.open(5, ['f']);
    const other = bed.do((b) => b.submit('other', bed.spec())).submissions.get(0)!.seq;
    const g = bed.submit({ function: 'g' });
    expect([bed.state(other), bed.state(g)]).toEqual(['queued', 'queued']);
  });

  it('serve the highest priority first, then the oldest, over all their functions', () => {
    const bed = new Bed();
    const low = bed.submit({ priority: 2 });
    const g = bed.submit({ function: 'g' });
    const f = bed.submit();
    const high = bed.submit({ function: 'g', priority: 0 });
    const session = bed.open(4, ['f', 'g']);
    expect(bed.core.heldTokens(session).map((token) => bed.core.seqOfToken(token))).toEqual([
      high,
      g,
      f,
      low,
    ]);
  });

  it('take turns', () => {
    const bed = new Bed();
    const sessions = [bed.open(2), bed.open(2), bed.open(2)];
    const order = Array.from({ length: 6 }, () => bed.core.job(bed.submit())!.session);
    expect(order).toEqual([...sessions, ...sessions]);
  });

  it('run no more of a function at once than they said', () => {
    const bed = new Bed();
    const session = bed.open(10, [{ name: 'f', concurrency: 1, runTimeoutMs: 0 }, 'g']);
    const [a, b] = [bed.submit(), bed.submit()];
    const g = bed.submit({ function: 'g' });
    expect([a, b, g].map((seq) => bed.state(seq))).toEqual(['running', 'queued', 'running']);
    bed.outcome(session, complete(a, bed.token(a)), 11);
    expect(bed.state(b)).toBe('running');
  });

  it('change their functions, and what they run goes on', () => {
    const bed = new Bed();
    const session = bed.open(10, ['f']);
    const f = bed.submit();
    const g = bed.submit({ function: 'g' });
    const notes = bed.do((b) => b.sessionFunctions(session, 1, [asFunction('g')]));
    expect(notes.results.get(0)!.refusal).toBeNull();
    expect([bed.state(f), bed.state(g)]).toEqual(['running', 'running']);
    expect(bed.state(bed.submit())).toBe('queued');
    expect(bed.do((b) => b.sessionFunctions(99, 1, [])).results.get(0)!.refusal).toBe('SESSION_UNKNOWN');
  });

  it('say goodbye: their jobs go back at once and the attempts do not count', () => {
    const bed = new Bed();
    const session = bed.open(2);
    const seq = bed.submit();
    const notes = bed.do((b) => b.sessionClose(session, 1));
    expect(notes.of('closed')).toEqual([`closed ${session} at 1`]);
    expect(bed.core.job(seq)).toMatchObject({ state: 'queued', attempt: 0 });
    expect(bed.core.session(session)).toBeNull();
  });

  it('that cannot resume lose their jobs with the connection', () => {
    const bed = new Bed();
    const session = bed.open(2, ['f'], false);
    const seq = bed.submit();
    const notes = bed.do((b) => b.sessionDetach(session, 1));
    expect(notes.of('closed')).toEqual([`closed ${session} at 1`]);
    expect(bed.core.job(seq)).toMatchObject({ state: 'queued', attempt: 1, error: { code: 'WORKER_LOST' } });
  });

  it('that can resume keep them for the grace', () => {
    const bed = new Bed({ sessionGraceMs: 1_000, maxAttempts: 1 });
    const session = bed.open(2);
    const seq = bed.submit();
    bed.do((b) => b.acks(session, 1, [bed.token(seq)]));
    bed.do((b) => b.sessionDetach(session, 1));
    expect(bed.core.session(session)!.state).toBe('detached');
    bed.passElapsed(999);
    expect(bed.state(seq)).toBe('running');
    bed.passElapsed(1);
    expect(bed.core.job(seq)).toMatchObject({ state: 'failed', error: { code: 'WORKER_LOST' } });
    expect(bed.core.session(session)).toBeNull();
  });

  it('resume with their secret alone', () => {
    const bed = new Bed();
    const session = bed.open(1);
    const attach = (id: number, secret: Uint8Array) =>
      bed.do((b) => b.sessionAttach(id, secret, [])).results.get(0)!;
    expect(attach(session, Buffer.alloc(16)).refusal).toBe('SESSION_UNKNOWN');
    expect(attach(77, SECRET).refusal).toBe('SESSION_UNKNOWN');
    expect(attach(session, SECRET)).toMatchObject({ refusal: null, value: session, epoch: 2 });
  });

  it('have limits with names', () => {
    const bed = new Bed({
      sessionsMax: 1,
      functionsPerSessionMax: 2,
      functionsMax: 2,
      creditsPerSessionMax: 3,
    });
    const open = (functions: string[]) =>
      bed
        .do((b) =>
          b.sessionOpen({
            namespace: 'default',
            name: '',
            secretDigest: SECRET,
            functions: functions.map(asFunction),
            resumable: true,
            credit: 100,
          }),
        )
        .results.get(0)!;
    expect(open(['a', 'b', 'c']).limit).toBe('functionsPerSessionMax');
    bed.submit({ function: 'x' });
    expect(open(['a', 'b']).limit).toBe('functionsMax');
    const { value } = open(['x']);
    expect(bed.core.session(value)!.credit).toBe(2);
    expect(open(['x'])).toMatchObject({ refusal: 'LIMIT_REACHED', limit: 'sessionsMax', limitValue: 1 });
  });
});
