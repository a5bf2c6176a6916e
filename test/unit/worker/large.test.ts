import { createHash, randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PayloadPart } from '../../../proto/gen/gearmesh/v1/payloads.js';
import {
  type Assignment,
  type CompleteJobRequest,
  LeaseLostReason,
  OutcomeKind,
} from '../../../proto/gen/gearmesh/v1/worker.js';
import { NonRetryableError, Worker, type WorkerOptions } from '../../../src/worker/index.js';
import { FakeNode, noLeader } from '../client/fake-server.js';
import { assignment, Node } from './fake-session.js';

/**
 * Goal: a payload that is too large for a frame is there when its handler is called, or comes as a stream; a large result
 * is uploaded and ends the job, through another node when one is lost; a lease that is lost ends both.
 */
const LARGE = 300 << 10;
let a: FakeNode;
let b: FakeNode;
let worker: Worker;
let completed: CompleteJobRequest[];

beforeEach(async () => {
  [a, b] = [await FakeNode.start(), await FakeNode.start()];
  completed = [];
  for (const node of [a, b]) {
    node.unary.set('completeJob', (request: CompleteJobRequest) => {
      completed.push(request);
      return { revision: 'r1' };
    });
  }
});

afterEach(async () => {
  a.kill();
  b.kill();
  await worker.stop({ timeoutMs: 0 });
});

async function attached(
  options: Partial<WorkerOptions>,
  handler: Parameters<Worker['handle']>[1],
): Promise<Node> {
  worker = new Worker({ endpoints: [a.address, b.address], order: 'listed', name: 'w', ...options });
  worker.handle('f', handler);
  const started = worker.start();
  const node = await Node.welcome(a);
  await started;
  return node;
}

function given(payload: Buffer, token = 1): Assignment {
  const sha256 = createHash('sha256').update(payload).digest();
  return assignment(token, { payloadBlob: { id: 'a'.repeat(32), size: payload.length, sha256 } });
}

function ended(type: string): Promise<void> {
  return new Promise((resolve) => {
    worker.on('job', (said) => {
      if (said.type === type) resolve();
    });
  });
}

describe('a large payload', () => {
  const payload = randomBytes(LARGE);

  test('is there when the handler is called', async () => {
    let seen: Uint8Array | undefined;
    const node = await attached({}, (job) => {
      seen = job.payload;
    });
    node.send({ assignments: [given(payload)] });
    const download = await a.downloads.next();
    expect(download.request).toMatchObject({ jobId: 'job-1', part: PayloadPart.PAYLOAD, leaseToken: 1 });
    expect(seen).toBeUndefined();
    download.send({ size: LARGE, data: payload.subarray(0, 1_000) });
    download.fail(noLeader());
    const rest = await b.downloads.next();
    expect(rest.request.offset).toBe(1_000);
    rest.send({ size: LARGE, data: payload.subarray(1_000) });
    rest.end();
    let frame = await node.next();
    while (frame.outcomes.length === 0) frame = await node.next();
    expect(Buffer.from(seen!).equals(payload)).toBe(true);
    expect(frame.outcomes[0]!.kind).toBe(OutcomeKind.COMPLETE);
  });

  test('over the bound is a stream, and nothing else', async () => {
    let thrown: unknown;
    const node = await attached({ payloadBytesMax: 1_000 }, async (job) => {
      try {
        job.text();
      } catch (error) {
        thrown = error;
      }
      const parts: Uint8Array[] = [];
      for await (const part of job.stream()) parts.push(part);
      return Buffer.concat(parts).length;
    });
    node.send({ assignments: [given(payload)] });
    const download = await a.downloads.next();
    download.send({ size: LARGE, data: payload });
    download.end();
    let frame = await node.next();
    while (frame.outcomes.length === 0) frame = await node.next();
    expect(Buffer.from(frame.outcomes[0]!.result).toString()).toBe(String(LARGE));
    expect(thrown).toMatchObject({ reason: 'PAYLOAD_TOO_LARGE', metadata: { limit: 'payloadBytesMax' } });
  });

  test('that cannot be had fails the attempt', async () => {
    const node = await attached({}, () => 'never');
    node.send({ assignments: [given(payload)] });
    const download = await a.downloads.next();
    download.send({ size: 3, sha256: Buffer.alloc(32), data: Buffer.from('abc') });
    download.end();
    let frame = await node.next();
    while (frame.outcomes.length === 0) frame = await node.next();
    expect(frame.outcomes[0]).toMatchObject({ kind: OutcomeKind.FAIL, retryable: true });
    expect(frame.outcomes[0]!.error?.code).toBe('DATA_LOSS');
  });
});

describe('a large result', () => {
  const result = randomBytes(LARGE);

  test('is uploaded, and ends the job with what the lease sent', async () => {
    const node = await attached({}, async (_, ctx) => {
      await ctx.data('chunk');
      ctx.resultContentType = 'x/y';
      return result;
    });
    const done = ended('succeeded');
    node.send({ assignments: [assignment(1)] });
    const upload = await a.uploads.next();
    const { bytes, blob } = await upload.take();
    await done;
    expect(bytes.equals(result)).toBe(true);
    expect(completed[0]).toMatchObject({
      jobId: 'job-1',
      leaseToken: 1,
      resultContentType: 'x/y',
      dataCount: 1,
      resultBlob: { id: blob.id, size: LARGE },
    });
    // The worker can take another one, and says no outcome of its own.
    let frame = await node.next();
    while (frame.credit === 0) frame = await node.next();
    expect([frame.credit, frame.outcomes.length]).toEqual([2, 0]);
  });

  test('may be a stream; one that is short goes in a frame', async () => {
    async function* chunks(count: number): AsyncGenerator<Buffer, void, undefined> {
      for (let i = 0; i < count; i++) yield result;
    }
    const node = await attached({}, (job) => chunks(job.text() === 'long' ? 3 : 0));
    node.send({ assignments: [assignment(1, { payload: Buffer.from('short') })] });
    let frame = await node.next();
    while (frame.outcomes.length === 0) frame = await node.next();
    expect(frame.outcomes[0]).toMatchObject({ kind: OutcomeKind.COMPLETE, resultBlob: undefined });
    const done = ended('succeeded');
    node.send({ assignments: [assignment(2, { payload: Buffer.from('long') })] });
    expect((await (await a.uploads.next()).take()).bytes).toHaveLength(3 * LARGE);
    await done;
    expect(completed[0]).toMatchObject({ leaseToken: 2, resultContentType: 'application/octet-stream' });
  });

  test('goes to another node when one is lost in the middle', async () => {
    const node = await attached({}, () => randomBytes(4 << 20));
    const done = ended('succeeded');
    node.send({ assignments: [assignment(1)] });
    await (await a.uploads.next()).has(1 << 20);
    a.kill();
    await Node.welcome(b);
    await (await b.uploads.next()).take();
    await done;
    expect(completed).toHaveLength(1);
  });

  test('whose stream breaks fails the attempt as the handler would have', async () => {
    async function* broken(): AsyncGenerator<Buffer, void, undefined> {
      yield result;
      yield result;
      throw new NonRetryableError('no more', { code: 'BROKEN' });
    }
    const node = await attached({}, () => broken());
    node.send({ assignments: [assignment(1)] });
    const upload = await a.uploads.next();
    let frame = await node.next();
    while (frame.outcomes.length === 0) frame = await node.next();
    expect(frame.outcomes[0]).toMatchObject({ kind: OutcomeKind.FAIL, retryable: false });
    expect(frame.outcomes[0]!.error).toMatchObject({ code: 'BROKEN', message: 'no more' });
    await upload.cancelled;
    expect(completed).toEqual([]);
  });

  test('of a lease that is lost is not sent to its end', async () => {
    const node = await attached({}, () => randomBytes(8 << 20));
    const lost = ended('lost');
    node.send({ assignments: [assignment(1)] });
    const upload = await a.uploads.next();
    upload.pause();
    node.send({ leasesLost: [{ leaseToken: 1, reason: LeaseLostReason.CANCELLED }] });
    await lost;
    await upload.cancelled;
    expect(completed).toEqual([]);
  });
});
