import { createHash, randomBytes } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { JobView } from '../../../proto/gen/gearmesh/v1/common.js';
import { JobServiceService, JobSpec } from '../../../proto/gen/gearmesh/v1/job.js';
import {
  DownloadPayloadRequest,
  type DownloadPayloadResponse,
  PayloadPart,
  type UploadPayloadResponse,
} from '../../../proto/gen/gearmesh/v1/payloads.js';
import { CompleteJobRequest, WorkerServiceService } from '../../../proto/gen/gearmesh/v1/worker.js';
import { GearmeshError } from '../../../src/core/errors.js';
import type { JobView as View } from '../../../src/core/types.js';
import { JOB_ID, jobView } from './fake-node.js';
import { HandClock } from './hand-clock.js';
import { Answers, type Bundle, refusal, startBundle, told, unary } from './harness.js';

/**
 * Goal: what is too large for messages goes in and out in pieces, at the pace of the slower side; it is refused as soon
 * as it shows that it is too large, and what breaks off leaves nothing behind.
 */
const LARGEST = 8 << 20;
const PIECE = 128 << 10;
let b: Bundle;
let clock: HandClock;

beforeEach(async () => {
  clock = new HandClock();
  b = await startBundle({ clock });
  b.node.settingsNow.blobBytesMax = LARGEST;
});
afterEach(() => b.stop());

/** An upload as its client sees it. */
function begin() {
  let answered!: (answer: UploadPayloadResponse) => void;
  let refused!: (error: unknown) => void;
  const answer = new Promise<UploadPayloadResponse>((resolve, reject) => {
    answered = resolve;
    refused = reject;
  });
  answer.catch(() => {});
  const stream = b.payload.uploadPayload((error, value) =>
    error === null ? answered(value!) : refused(error),
  );
  // What was refused is not sent any more.
  stream.on('error', () => {});
  return { stream, answer };
}

function upload(bytes: Buffer, size = bytes.length): Promise<UploadPayloadResponse> {
  const { stream, answer } = begin();
  for (let at = 0; at < Math.max(1, bytes.length); at += PIECE) {
    stream.write({ size: at === 0 ? size : 0, data: bytes.subarray(at, at + PIECE) });
  }
  stream.end();
  return answer;
}

function download(
  request: Parameters<typeof DownloadPayloadRequest.create>[0],
): Answers<DownloadPayloadResponse> {
  return new Answers(b.payload.downloadPayload(DownloadPayloadRequest.create({ jobId: JOB_ID, ...request })));
}

describe('an upload', () => {
  test('becomes a blob, with or without a word of its size', async () => {
    const bytes = randomBytes(1_000_000);
    for (const size of [bytes.length, 0]) {
      const { blob } = await upload(bytes, size);
      expect(blob).toMatchObject({ size: bytes.length });
      expect(Buffer.from(blob!.sha256)).toEqual(createHash('sha256').update(bytes).digest());
      expect(b.node.blobs.stored.get(blob!.id)!.equals(bytes)).toBe(true);
      expect(b.node.calls.at(-1)).toEqual(['createBlob', size || -1]);
    }
  });

  test.each<[string, () => Promise<unknown>, string[], string]>([
    ['nothing', () => upload(Buffer.alloc(0)), ['data'], 'INVALID_FIELD'],
    ['fewer bytes than claimed', () => upload(Buffer.alloc(10), 11), ['size'], 'INVALID_FIELD'],
    ['more bytes than claimed', () => upload(Buffer.alloc(11), 10), ['size'], 'INVALID_FIELD'],
    ['a claim over the limit', () => upload(Buffer.alloc(1), LARGEST + 1), ['size'], 'PAYLOAD_TOO_LARGE'],
    [
      'a piece that is too large',
      () => {
        const { stream, answer } = begin();
        stream.end({ size: 0, data: Buffer.alloc(PIECE + 1) });
        return answer;
      },
      ['data'],
      'INVALID_FIELD',
    ],
    [
      'a second claim',
      () => {
        const { stream, answer } = begin();
        stream.write({ size: 2, data: Buffer.alloc(1) });
        stream.end({ size: 2, data: Buffer.alloc(1) });
        return answer;
      },
      ['size'],
      'INVALID_FIELD',
    ],
  ])('of %s is refused, and nothing stays', async (_, call, fields, reason) => {
    const error = await refusal(call());
    expect(error).toMatchObject({ reason, fields });
    expect(b.node.blobs.writers.every(({ state }) => state === 'aborted')).toBe(true);
  });

  test('over the limit is refused before it is read whole', async () => {
    const { stream, answer } = begin();
    let sent = 0;
    let over = false;
    const pump = (): void => {
      while (!over && stream.write({ size: 0, data: Buffer.alloc(PIECE) })) sent += PIECE;
    };
    stream.on('drain', pump);
    answer.catch(() => {
      over = true;
    });
    pump();
    const error = await refusal(answer);
    expect(error).toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
      reason: 'PAYLOAD_TOO_LARGE',
      metadata: { limit: 'limits.blob-bytes-max', value: String(LARGEST) },
    });
    expect(b.node.blobs.writers[0]).toMatchObject({ state: 'aborted', bytes: LARGEST });
    expect(sent).toBeLessThan(3 * LARGEST);
  });

  test('is read no faster than it is stored', async () => {
    let go = (): void => {};
    b.node.blobs.writeAnswer = () => new Promise((resolve) => (go = resolve));
    const answer = upload(randomBytes(4 << 20));
    await b.node.until(() => b.node.blobs.writers[0]?.writing === 1);
    for (let i = 0; i < 10; i++) await unary(b.job, JobServiceService.getJob, getJob());
    const [writer] = b.node.blobs.writers;
    expect(writer!.bytes).toBe(PIECE);
    b.node.blobs.writeAnswer = async () => {};
    go();
    await answer;
    expect(writer!.writingMax).toBe(1);
  });

  test('that is cancelled, or says nothing more, leaves nothing', async () => {
    const cancelled = begin();
    cancelled.stream.write({ size: 100, data: Buffer.alloc(10) });
    await b.node.until(() => b.node.blobs.writers[0]?.bytes === 10);
    cancelled.stream.cancel();
    await b.node.until(() => b.node.blobs.writers[0]!.state === 'aborted');
    const silent = begin();
    silent.stream.write({ size: 100, data: Buffer.alloc(10) });
    await b.node.until(() => b.node.blobs.writers[1]?.bytes === 10);
    await unary(b.job, JobServiceService.getJob, getJob());
    await clock.walk(60_000, 60_000);
    expect(await refusal(silent.answer)).toMatchObject({ code: status.CANCELLED, reason: 'CANCELLED' });
    expect(b.node.blobs.writers[1]!.state).toBe('aborted');
  });

  test('that has nothing yet but says so goes on', async () => {
    const { stream, answer } = begin();
    stream.write({ size: 0, data: Buffer.alloc(0) });
    await b.node.until(() => b.node.blobs.writers.length === 1);
    for (let i = 0; i < 4; i++) {
      await clock.walk(50_000, 50_000);
      stream.write({ size: 0, data: Buffer.alloc(0) });
      // The node has to hear of it as well.
      await b.node.until(() => b.node.blobs.writers[0]!.writes === i + 2);
    }
    stream.end({ size: 0, data: Buffer.from('at last') });
    expect((await answer).blob).toMatchObject({ size: 7 });
  });

  test('that the node cannot keep says why', async () => {
    b.node.blobs.finishAnswer = async () => {
      throw new GearmeshError('NO_LEADER');
    };
    expect(await refusal(upload(Buffer.alloc(10)))).toMatchObject({ reason: 'NO_LEADER' });
    expect(b.node.blobs.writers[0]!.state).toBe('aborted');
  });
});

const getJob = () => ({ namespace: '', jobId: JOB_ID, view: JobView.FULL, consistency: 0, minRevision: '' });

describe('a job with an upload', () => {
  const good = { id: 'a'.repeat(32), size: 10, sha256: Buffer.alloc(32, 1) };
  const submit = (job: Parameters<typeof JobSpec.create>[0]) =>
    unary(b.job, JobServiceService.submitJob, {
      namespace: '',
      job: JobSpec.create({ function: 'f', ...job }),
    });

  test('names it as it was answered', async () => {
    await submit({ payloadBlob: good });
    expect(b.node.submitted[0]![0]).toMatchObject({
      payloadBlob: { id: good.id, size: 10, digest: Buffer.alloc(32, 1) },
    });
  });

  test.each<[string, Parameters<typeof JobSpec.create>[0], string[]]>([
    ['beside a payload', { payload: Buffer.from('x'), payloadBlob: good }, ['job.payload_blob']],
    ['without anything', { payloadBlob: {} }, ['id', 'size', 'sha256'].map((f) => `job.payload_blob.${f}`)],
    ['of another form', { payloadBlob: { ...good, id: 'A'.repeat(32) } }, ['job.payload_blob.id']],
  ])('%s is refused by its fields', async (_, job, fields) => {
    expect(await refusal(submit(job))).toMatchObject({ reason: 'INVALID_FIELD', fields });
  });

  test('is refused where it, or what stands in its place, is too large', async () => {
    const size = LARGEST + 1;
    expect(await refusal(submit({ payloadBlob: { ...good, size } }))).toMatchObject({
      reason: 'PAYLOAD_TOO_LARGE',
      fields: ['job.payload_blob'],
      metadata: { limit: 'limits.blob-bytes-max', value: String(LARGEST) },
    });
    const call = submit({ payload: Buffer.alloc((256 << 10) + 1) });
    await expect(call).rejects.toThrow(
      'job.payload has 262145 bytes, the limit is 262144: what is larger is uploaded by UploadPayload and named as payload_blob',
    );
    const mixed = await unary(b.job, JobServiceService.submitJobs, {
      namespace: '',
      allOrNothing: false,
      jobs: [
        JobSpec.create({ function: 'f', payloadBlob: good }),
        JobSpec.create({ function: 'f', payloadBlob: { ...good, size } }),
      ],
    });
    expect(mixed.results.map(({ error }) => error === undefined)).toEqual([true, false]);
  });

  test('and its result are shown by size and digest, in every view', async () => {
    const ref = { id: good.id, size: 10, digest: Buffer.alloc(32, 1) };
    b.node.job = () =>
      jobView({ payload: Buffer.alloc(0), payloadBlob: ref, resultBlob: { ...ref, size: 11 } });
    for (const view of [JobView.BASIC, JobView.FULL]) {
      const job = await unary(b.job, JobServiceService.getJob, { ...getJob(), view });
      expect(job).toMatchObject({ payloadSize: 10, resultSize: 11, payloadBlob: good });
      expect(job.resultBlob).toMatchObject({ size: 11 });
    }
  });

  test('may end with an upload', async () => {
    const lease = { namespace: '', jobId: JOB_ID, leaseToken: 11 };
    await unary(
      b.worker,
      WorkerServiceService.completeJob,
      CompleteJobRequest.create({ ...lease, resultBlob: good }),
    );
    expect(b.node.calls.at(-1)![3]).toMatchObject({ resultBlob: { id: good.id, size: 10 } });
    const both = CompleteJobRequest.create({ ...lease, resultBlob: good, result: Buffer.from('r') });
    expect(await refusal(unary(b.worker, WorkerServiceService.completeJob, both))).toMatchObject({
      fields: ['result_blob'],
    });
  });
});

describe('a download', () => {
  const bytesOf = (all: readonly DownloadPayloadResponse[]): Buffer =>
    Buffer.concat(all.map(({ data }) => data));

  function jobIs(over: Partial<View>): void {
    b.node.job = () => jobView({ state: 'succeeded', ...over });
  }

  test('brings payload and result, small or large, from any byte on', async () => {
    const large = randomBytes(1_000_000);
    const ref = b.node.blobs.put(large);
    jobIs({ payload: Buffer.from('small'), resultBlob: ref });
    const small = download({ part: PayloadPart.PAYLOAD, offset: 1 });
    expect(await small.end).toBeNull();
    expect([bytesOf(small.all).toString(), small.all[0]!.size, small.all[0]!.sha256.length]).toEqual([
      'mall',
      5,
      0,
    ]);
    for (const offset of [0, 1, 999_999, 1_000_000]) {
      const part = download({ part: PayloadPart.RESULT, offset });
      expect(await part.end).toBeNull();
      expect(bytesOf(part.all).equals(large.subarray(offset))).toBe(true);
      expect(part.all[0]!.size).toBe(large.length);
      expect(Buffer.from(part.all[0]!.sha256)).toEqual(Buffer.from(ref.digest));
    }
    const beyond = download({ part: PayloadPart.RESULT, offset: 1_000_001 });
    expect(told(await beyond.end)).toMatchObject({ reason: 'INVALID_FIELD', fields: ['offset'] });
  });

  test('asks the cluster only where this node does not know enough', async () => {
    jobIs({ payload: Buffer.from('p') });
    await download({ part: PayloadPart.PAYLOAD }).end;
    expect(b.node.calls.map((call) => call[3])).toEqual(['eventual']);
    let asked = 0;
    b.node.job = () =>
      jobView(++asked === 1 ? { state: 'running' } : { state: 'succeeded', result: Buffer.from('r') });
    const late = download({ part: PayloadPart.RESULT });
    expect(await late.end).toBeNull();
    expect(bytesOf(late.all).toString()).toBe('r');
    expect(b.node.calls.slice(1).map((call) => call[3])).toEqual(['eventual', 'linearizable']);
  });

  test('is refused by a word that fits', async () => {
    jobIs({ state: 'running', token: 12, payload: Buffer.from('p') });
    expect(told(await download({ part: PayloadPart.RESULT }).end)).toMatchObject({ reason: 'NOT_FOUND' });
    expect(told(await download({ part: PayloadPart.PAYLOAD, leaseToken: 11 }).end)).toMatchObject({
      reason: 'LEASE_LOST',
    });
    expect(await download({ part: PayloadPart.PAYLOAD, leaseToken: 12 }).end).toBeNull();
    expect(told(await download({}).end)).toMatchObject({ fields: ['part'] });
    jobIs({ payloadBlob: { id: 'b'.repeat(32), size: 5, digest: Buffer.alloc(32) } });
    expect(told(await download({ part: PayloadPart.PAYLOAD }).end)).toMatchObject({ reason: 'NOT_FOUND' });
  });

  test('reads no faster than its caller, and ends with it', async () => {
    let read = 0;
    b.node.blobs.readAnswer = async (at) => {
      read = at;
    };
    jobIs({ resultBlob: b.node.blobs.put(randomBytes(LARGEST)) });
    const request = DownloadPayloadRequest.create({ jobId: JOB_ID, part: PayloadPart.RESULT });
    const start = () => {
      const stream = b.payload.downloadPayload(request);
      stream.once('data', () => stream.pause());
      return stream;
    };
    const stream = start();
    stream.on('error', () => {});
    const settle = async (): Promise<void> => {
      for (let before = -1; before !== read || read === 0; ) {
        before = read;
        for (let i = 0; i < 10; i++) await unary(b.job, JobServiceService.getJob, getJob());
      }
    };
    await settle();
    expect(read).toBeLessThan(LARGEST / 2);
    stream.cancel();
    await b.node.until(() => b.node.blobs.reading === 0);

    const silent = start();
    const end = new Promise((resolve) => silent.on('error', resolve));
    await settle();
    await clock.walk(30_000, 30_000);
    await b.node.until(() => b.node.blobs.reading === 0);
    silent.resume();
    expect(told(await end)).toMatchObject({ reason: 'LIMIT_REACHED', metadata: { limit: 'slow-reader-ms' } });
  });
});
