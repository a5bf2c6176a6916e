import { describe, expect, it } from 'vitest';
import { BLOB_COUNT_MS, createCore, type Outcome } from '../../../src/core/index.js';
import { Bed, blob, complete, fail, MapPayloads, START_WALL } from './bed.js';

const NOTHING = Buffer.alloc(0);

function withResult(seq: number, token: number, n: number): Outcome {
  return { ...complete(seq, token, ''), resultBlob: blob(n) } as Outcome;
}

describe('a payload outside the log', () => {
  it('is taken with its job and released with its record', () => {
    const bed = new Bed();
    const notes = bed.do((b) => b.submit('default', bed.spec({ payload: NOTHING, payloadBlob: blob(1) })));
    expect(notes.of('blob')).toEqual([`blob taken ${blob(1).id} 1000000`]);
    const { seq } = notes.submissions.get(0)!;
    expect(bed.core.job(seq)!.payloadBlob).toEqual(blob(1));
    expect(bed.core.job(seq)!.resultBlob).toBeNull();
    expect(Array.from(bed.core.blobs())).toEqual([blob(1)]);
    expect(bed.core.blob(blob(1).id)).toEqual(blob(1));
    expect(bed.core.counts()).toMatchObject({ blobs: 1, blobBytes: 1_000_000 });

    const session = bed.open(1);
    const ended = bed.outcome(session, withResult(seq, bed.token(seq), 2));
    expect(ended.of('blob')).toEqual([`blob taken ${blob(2).id} 1000000`]);
    expect(bed.core.job(seq)).toMatchObject({
      state: 'succeeded',
      payloadBlob: blob(1),
      resultBlob: blob(2),
    });
    expect(bed.core.counts()).toMatchObject({ blobs: 2, blobBytes: 2_000_000 });

    const { lines } = bed.pass(bed.core.settings.retentionMs);
    expect(lines.filter((line) => line.startsWith('blob'))).toEqual([
      `blob released ${blob(1).id}`,
      `blob released ${blob(2).id}`,
    ]);
    expect(bed.core.counts()).toMatchObject({ blobs: 0, blobBytes: 0 });
    expect(bed.core.blob(blob(1).id)).toBeNull();
  });

  it('goes with a job that is kept for no time, and stays through attempts and a retry', () => {
    const bed = new Bed({ maxAttempts: 1 });
    const session = bed.open(1);
    const seq = bed.submit({ payload: NOTHING, payloadBlob: blob(1) });
    bed.outcome(session, fail(seq, bed.token(seq)));
    expect(bed.state(seq)).toBe('failed');
    const { id } = bed.core.job(seq)!;
    bed.do((b) => b.retry('default', id));
    expect(bed.core.job(seq)).toMatchObject({ state: 'queued', payloadBlob: blob(1) });

    const notes = bed.do((b) =>
      b.submit('default', bed.spec({ retentionMs: 0, startDeadlineWall: 1, payloadBlob: blob(2) })),
    );
    expect(notes.of('blob')).toEqual([`blob taken ${blob(2).id} 1000000`, `blob released ${blob(2).id}`]);
  });

  it('is known by its content in a repeated submission, and by nothing else', () => {
    const bed = new Bed();
    const spec = bed.spec({ payload: NOTHING, payloadBlob: blob(1) });
    const { seq } = bed.do((b) => b.submit('default', spec)).submissions.get(0)!;
    const anew = { ...blob(1), id: blob(77).id };
    bed.countOf = () => null;
    const again = bed.do((b) => b.submit('default', { ...spec, payloadBlob: anew }));
    expect(again.submissions.get(0)).toMatchObject({ disposition: 'same-id', seq, refusal: null });
    expect(again.of('blob')).toEqual([]);
    for (const other of [{ ...anew, size: 5 }, { ...anew, digest: Buffer.alloc(32, 9) }, null]) {
      const notes = bed.do((b) => b.submit('default', { ...spec, payloadBlob: other }));
      expect(notes.submissions.get(0)).toMatchObject({ refusal: 'ID_REUSED', seq: 0 });
    }
  });

  it('is not taken by a submission that joins another job', () => {
    const bed = new Bed();
    bed.submit({ uniqueKey: 'k' });
    const notes = bed.do((b) => b.submit('default', bed.spec({ uniqueKey: 'k', payloadBlob: blob(1) })));
    expect(notes.submissions.get(0)).toMatchObject({ disposition: 'coalesced', refusal: null });
    expect(notes.of('blob')).toEqual([]);
  });

  it('is of one job: nobody else can name it', () => {
    const bed = new Bed();
    bed.submit({ payloadBlob: blob(1) });
    expect(bed.trySubmit({ payloadBlob: blob(1) })).toMatchObject({ refusal: 'INVALID_FIELD', seq: 0 });
    const notes = bed.do((b) =>
      b.submitAll('default', [bed.spec({ payloadBlob: blob(2) }), bed.spec({ payloadBlob: blob(2) })]),
    );
    expect(notes.submissions.get(1)).toMatchObject({ refusal: 'INVALID_FIELD' });
    expect(notes.of('blob')).toEqual([]);
  });

  it('rule: blobs - one of several that are accepted together or not at all has it, though the first ends at once', () => {
    const bed = new Bed();
    const late = { uniqueKey: 'k', startDeadlineWall: 1, retentionMs: 1_000 };
    const both = (second: number) => [
      bed.spec({ ...late, payloadBlob: blob(1) }),
      bed.spec({ uniqueKey: 'k', payloadBlob: blob(second) }),
    ];
    const refused = bed.do((b) => b.submitAll('default', both(1)));
    expect(refused.submissions.get(1)).toMatchObject({ refusal: 'INVALID_FIELD', seq: 0 });
    expect(refused.of('blob')).toEqual([]);
    bed.countOf = (id) =>
      id === blob(2).id ? null : { configuration: bed.core.configuration, wall: bed.wall };
    const uncounted = bed.do((b) => b.submitAll('default', both(2)));
    expect(uncounted.submissions.get(1)).toMatchObject({ refusal: 'BLOB_UNCOUNTED', seq: 0 });
    bed.do((b) => b.submitAll('default', both(3)));
    expect(Array.from(bed.core.blobs(), ({ id }) => id)).toEqual([blob(1).id, blob(3).id]);
    bed.pass(2_000);
    expect(Array.from(bed.core.blobs(), ({ id }) => id)).toEqual([blob(3).id]);
    bed.twin();
  });

  it('counts towards the limits of one and of all', () => {
    const bed = new Bed({ blobBytesMax: 1_000, blobsTotalBytesMax: 2_500 });
    const refused = (n: number, size: number) => bed.trySubmit({ payloadBlob: blob(n, size) });
    expect(refused(1, 1_001)).toMatchObject({ refusal: 'LIMIT_REACHED', limit: 'blobBytesMax' });
    bed.submit({ payloadBlob: blob(1, 1_000) });
    bed.submit({ payloadBlob: blob(2, 1_000) });
    expect(refused(3, 501)).toMatchObject({ refusal: 'LIMIT_REACHED', limit: 'blobsTotalBytesMax' });
    // All together, too.
    const specs = [3, 4].map((n) => bed.spec({ payloadBlob: blob(n, 300) }));
    const notes = bed.do((b) => b.submitAll('default', specs));
    expect(notes.submissions.get(1)).toMatchObject({ refusal: 'LIMIT_REACHED', limit: 'blobsTotalBytesMax' });
    expect(notes.of('blob')).toEqual([]);
    expect(refused(3, 500)).toMatchObject({ refusal: null });
    expect(bed.core.counts().blobBytes).toBe(2_500);
  });
});

describe('a result outside the log', () => {
  it('is known again by its content when it is said again', () => {
    const bed = new Bed();
    const session = bed.open(1);
    const seq = bed.submit();
    const token = bed.token(seq);
    bed.outcome(session, withResult(seq, token, 1));
    const revision = bed.core.appliedIndex;
    const said = { ...withResult(seq, token, 1), resultBlob: { ...blob(1), id: blob(9).id } } as Outcome;
    expect(bed.outcome(session, said).outcomes.get(0)).toEqual({ refusal: null, revision });
    expect(bed.outcome(session, withResult(seq, token, 2)).outcomes.get(0)!.refusal).toBe('LEASE_LOST');
    expect(bed.outcome(session, complete(seq, token, '')).outcomes.get(0)!.refusal).toBe('LEASE_LOST');
    expect(Array.from(bed.core.blobs(), ({ id }) => id)).toEqual([blob(1).id]);
  });

  it('that is refused leaves the lease as it was', () => {
    const bed = new Bed({ blobBytesMax: 2_000_000, blobsTotalBytesMax: 1_500_000 });
    const session = bed.open(1);
    const seq = bed.submit({ payloadBlob: blob(1) });
    const token = bed.token(seq);
    const refusal = (outcome: Outcome) => bed.outcome(session, outcome).outcomes.get(0)!.refusal;
    expect(refusal(withResult(seq, token, 2))).toBe('LIMIT_REACHED');
    expect(refusal({ ...withResult(seq, token, 2), resultBlob: blob(2, 2_000_001) } as Outcome)).toBe(
      'LIMIT_REACHED',
    );
    expect(refusal({ ...withResult(seq, token, 2), resultBlob: blob(1, 10) } as Outcome)).toBe(
      'INVALID_FIELD',
    );
    bed.countOf = () => null;
    expect(refusal({ ...withResult(seq, token, 2), resultBlob: blob(2, 10) } as Outcome)).toBe(
      'BLOB_UNCOUNTED',
    );
    expect(bed.core.job(seq)).toMatchObject({ state: 'running', token, resultBlob: null });
    expect(refusal(complete(seq, token))).toBeNull();
  });
});

describe('the rule of blobs', () => {
  it('rule: blobs - apply refuses a majority of another membership, and one counted too long ago', () => {
    const bed = new Bed();
    const count = { configuration: bed.core.configuration, wall: bed.wall };
    bed.countOf = () => count;
    bed.core.setMembers(bed.core.appliedIndex + 1, null);
    expect(bed.core.configuration).toBe(bed.core.appliedIndex);
    expect(bed.trySubmit({ payloadBlob: blob(1) })).toMatchObject({ refusal: 'BLOB_UNCOUNTED', seq: 0 });
    bed.countOf = () => ({ ...count, configuration: bed.core.configuration });
    bed.pass(BLOB_COUNT_MS);
    expect(bed.trySubmit({ payloadBlob: blob(1) }).refusal).toBeNull();
    bed.pass(1);
    expect(bed.trySubmit({ payloadBlob: blob(2) })).toMatchObject({ refusal: 'BLOB_UNCOUNTED', seq: 0 });
    bed.countOf = () => null;
    expect(bed.trySubmit({ payloadBlob: blob(3) }).refusal).toBe('BLOB_UNCOUNTED');
  });

  it('of a snapshot that makes no state nothing is kept, wherever it ends', () => {
    const bed = new Bed();
    for (const size of [10, 600, 9_000]) bed.submit({ payload: Buffer.alloc(size, 1) });
    bed.schedule({}, { payload: Buffer.alloc(700, 2) });
    const pages: { key: string; bytes: Uint8Array }[] = [];
    const cursor = bed.core.beginSnapshot();
    for (let page = cursor.next(() => false); page !== null; page = cursor.next(() => false)) {
      pages.push({ key: page.key, bytes: Buffer.from(page.bytes!) });
    }
    const payloads = new MapPayloads();
    const core = createCore({ payloads, clusterName: 'test' });
    let kept = 0;
    for (let count = 0; count < pages.length; count++) {
      const restorer = core.beginRestore();
      for (const { key, bytes } of pages.slice(0, count)) restorer.page(key, bytes);
      const torn = pages[count]!;
      // What a schedule has may be of any length.
      const half = torn.bytes.subarray(
        0,
        torn.key.startsWith('schedule-payload') ? 4 : torn.bytes.length - 1,
      );
      expect(() => {
        restorer.page(torn.key, half);
        restorer.finish();
      }).toThrow();
      kept = Math.max(kept, payloads.count);
      restorer.abandon();
      restorer.abandon();
      expect(payloads.count).toBe(0);
    }
    expect(kept).toBeGreaterThan(2);
    const restorer = core.beginRestore();
    for (const { key, bytes } of pages) restorer.page(key, bytes);
    restorer.finish();
    restorer.abandon();
    expect(payloads.count).toBe(bed.payloads.count);
    expect(core.stateHash()).toBe(bed.core.stateHash());
  });

  it('rule: blobs - what jobs refer to, its sum and the membership are the same after a snapshot', () => {
    const bed = new Bed();
    bed.core.setMembers(bed.core.appliedIndex + 1, Buffer.from('members'));
    const session = bed.open(1);
    const seq = bed.submit({ payloadBlob: blob(1, 100) });
    bed.outcome(session, withResult(seq, bed.token(seq), 2));
    bed.submit({ payloadBlob: blob(3, 5) });
    const core = createCore({ payloads: new MapPayloads(), clusterName: 'test' });
    const restorer = core.beginRestore();
    const cursor = bed.core.beginSnapshot();
    for (let page = cursor.next(() => false); page !== null; page = cursor.next(() => false)) {
      restorer.page(page.key, page.bytes!);
    }
    restorer.finish();
    expect(core.stateHash()).toBe(bed.core.stateHash());
    expect(core.counts()).toMatchObject({ blobs: 3, blobBytes: 1_000_105 });
    expect(core.configuration).toBe(bed.core.configuration);
    expect(core.job(seq)).toMatchObject({ payloadBlob: blob(1, 100), resultBlob: blob(2) });
    expect(bed.wall).toBe(START_WALL);
  });
});
