import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { JobState } from '../../../proto/gen/gearmesh/v1/common.js';
import { JobEventKind as Kind, type SubmitJobsRequest } from '../../../proto/gen/gearmesh/v1/job.js';
import { PayloadPart } from '../../../proto/gen/gearmesh/v1/payloads.js';
import { Client, GearmeshError, PayloadLostError, PayloadStreamError } from '../../../src/client/index.js';
import { created, FakeNode, noLeader, refusal } from './fake-server.js';

/**
 * Goal: what is too large for a message is uploaded by itself, before it is submitted; again at another node when one is
 * lost, with the same job id; a stream that cannot be read again says so; results come when they are asked for.
 */
const LARGE = 300 << 10;
let a: FakeNode;
let b: FakeNode;
let client: Client;
let submitted: SubmitJobsRequest[];

beforeEach(async () => {
  [a, b] = [await FakeNode.start(), await FakeNode.start()];
  submitted = [];
  for (const node of [a, b]) node.unary.set('submitJobs', take);
  client = new Client({ endpoints: [a.address, b.address], order: 'listed', payloadBytesMax: 1 << 20 });
});

afterEach(async () => {
  await client.close();
  a.kill();
  b.kill();
});

function take(request: SubmitJobsRequest) {
  submitted.push(request);
  return { results: request.jobs.map(({ id }) => created(id)), serverTime: undefined };
}

async function failure(call: Promise<unknown>): Promise<GearmeshError> {
  const thrown = await call.then(
    () => null,
    (error: unknown) => error,
  );
  if (!(thrown instanceof GearmeshError)) throw new Error(`not refused: ${String(thrown)}`);
  return thrown;
}

async function* pieces(bytes: Buffer, each: number): AsyncGenerator<Buffer, void, undefined> {
  for (let at = 0; at < bytes.length; at += each) yield bytes.subarray(at, at + each);
}

describe('a large payload', () => {
  test('is uploaded, then named', async () => {
    const bytes = randomBytes(LARGE);
    const done = client.submit('f', bytes, { priority: 'high' });
    const upload = await a.uploads.next();
    const { blob, bytes: came } = await upload.take();
    const { jobId } = await done;
    expect([upload.size, came.equals(bytes)]).toEqual([LARGE, true]);
    expect(upload.parts.every((part) => part.length <= 128 << 10)).toBe(true);
    const [job] = submitted[0]!.jobs;
    expect(job).toMatchObject({ id: jobId, function: 'f', contentType: 'application/octet-stream' });
    expect(job!.payload).toHaveLength(0);
    expect(job!.payloadBlob).toEqual({ ...blob, sha256: Buffer.from(blob.sha256) });
  });

  test('goes to another node, all of it, with the same id, when one is lost in the middle', async () => {
    const bytes = randomBytes(4 << 20);
    const done = client.submit('f', bytes);
    await (await a.uploads.next()).has(1 << 20);
    a.kill();
    const { bytes: came } = await (await b.uploads.next()).take();
    await done;
    expect(came.equals(bytes)).toBe(true);
    expect(submitted).toHaveLength(1);
  });

  test('is uploaded again when its submission is not answered: the id is the same', async () => {
    a.unary.set('submitJobs', (request: SubmitJobsRequest) => {
      submitted.push(request);
      throw noLeader();
    });
    const done = client.submit('f', randomBytes(LARGE));
    await (await a.uploads.next()).take('a'.repeat(32));
    await (await b.uploads.next()).take('b'.repeat(32));
    const { jobId } = await done;
    expect(submitted.map(({ jobs }) => [jobs[0]!.id, jobs[0]!.payloadBlob!.id[0]])).toEqual([
      [jobId, 'a'],
      [jobId, 'b'],
    ]);
  });

  test('that the cluster does not take is refused as it says', async () => {
    const tooLarge = client.submit('f', randomBytes(LARGE));
    const metadata = { limit: 'limits.blob-bytes-max', value: '1000' };
    (await a.uploads.next()).fail(refusal(status.RESOURCE_EXHAUSTED, 'PAYLOAD_TOO_LARGE', { metadata }));
    expect(await failure(tooLarge)).toMatchObject({ reason: 'PAYLOAD_TOO_LARGE', outcome: 'NOT_APPLIED' });
    a.unary.set('submitJobs', () => ({
      results: [created('', { error: refusal(status.ALREADY_EXISTS, 'ID_REUSED') })],
      serverTime: undefined,
    }));
    const reused = client.submit('f', randomBytes(LARGE), { id: '01ARZ3NDEKTSV4RRFFQ69G5FAV' });
    await (await a.uploads.next()).take();
    expect((await failure(reused)).reason).toBe('ID_REUSED');
  });

  test('waits for a place where too many are under way', async () => {
    const done = client.submit('f', randomBytes(LARGE));
    const metadata = { limit: 'blob-uploads-max', value: '64' };
    (await a.uploads.next()).fail(refusal(status.RESOURCE_EXHAUSTED, 'LIMIT_REACHED', { metadata }));
    await (await b.uploads.next()).take();
    await done;
  });

  test('is what is over the limit that a refusal named', async () => {
    const done = client.submit('f', randomBytes(100 << 10));
    const stream = await a.submits.next();
    const frame = await stream.frames.next();
    const error = refusal(status.RESOURCE_EXHAUSTED, 'PAYLOAD_TOO_LARGE', {
      metadata: { limit: 'limits.payload-bytes-max', value: '50000' },
    });
    stream.send({
      frameId: frame.frameId,
      results: [created('', { error })],
      serverTime: undefined,
      error: undefined,
    });
    await (await a.uploads.next()).take();
    await done;
    // From now on without asking.
    const next = client.submit('f', randomBytes(60_000));
    await (await a.uploads.next()).take();
    await next;
  });

  test('stands among others in its place', async () => {
    const all = client.submitMany([
      { function: 'f', payload: randomBytes(LARGE) },
      { function: 'g', payload: 'small' },
    ]);
    const stream = await a.submits.next();
    const frame = await stream.frames.next();
    stream.send({
      frameId: frame.frameId,
      results: [created('small')],
      serverTime: undefined,
      error: undefined,
    });
    await (await a.uploads.next()).take();
    const results = await all;
    expect(results.map((one) => (one as { jobId: string }).jobId)).toEqual([
      submitted[0]!.jobs[0]!.id,
      'small',
    ]);
  });

  test('ends with its signal, and nothing was applied', async () => {
    const stop = new AbortController();
    const done = client.submit('f', randomBytes(4 << 20), { signal: stop.signal });
    const upload = await a.uploads.next();
    await upload.has(1 << 20);
    stop.abort();
    expect(await failure(done)).toMatchObject({ reason: 'ABORTED', outcome: 'NOT_APPLIED' });
    await upload.cancelled;
  });

  test('that gets no answer is given up after its time', async () => {
    const done = client.submit('f', randomBytes(LARGE), { timeoutMs: 80 });
    await (await a.uploads.next()).whole;
    expect(await failure(done)).toMatchObject({ reason: 'TIMED_OUT', outcome: 'NOT_APPLIED' });
  });
});

describe('a stream', () => {
  test('that is short goes in a message, a longer one is uploaded as it is read', async () => {
    const short = client.submit('f', Readable.from(['Hello ', Buffer.from('World!')]));
    const stream = await a.submits.next();
    const frame = await stream.frames.next();
    expect(Buffer.from(frame.jobs[0]!.payload).toString()).toBe('Hello World!');
    stream.send({ frameId: frame.frameId, results: [created('s')], serverTime: undefined, error: undefined });
    await short;
    const bytes = randomBytes(1_000_001);
    for (const each of [999, 128 << 10, 700_000]) {
      const long = client.submit('f', Readable.from(pieces(bytes, each)));
      const upload = await a.uploads.next();
      const { bytes: came } = await upload.take();
      await long;
      expect([upload.size, came.equals(bytes)]).toEqual([0, true]);
    }
  });

  test('is read no further than the node takes it', async () => {
    let given = 0;
    async function* endless(): AsyncGenerator<Buffer, void, undefined> {
      for (;;) {
        given += 128 << 10;
        yield Buffer.alloc(128 << 10);
      }
    }
    const stop = new AbortController();
    const done = client.submit('f', endless(), { signal: stop.signal });
    const upload = await a.uploads.next();
    upload.pause();
    for (let before = -1; before !== given; ) {
      before = given;
      for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
    }
    expect(given).toBeLessThan(8 << 20);
    stop.abort();
    await failure(done);
  });

  test('that was read cannot be sent again; one that can be opened anew is', async () => {
    const bytes = randomBytes(2 << 20);
    const once = client.submit('f', Readable.from(pieces(bytes, 10_000)));
    await (await a.uploads.next()).has(1 << 20);
    a.kill();
    const lost = await failure(once);
    expect(lost).toBeInstanceOf(PayloadLostError);
    expect([lost.reason, lost.outcome]).toEqual(['PAYLOAD_LOST', 'NOT_APPLIED']);
    await a.restart();
    const again = client.submit('f', () => pieces(bytes, 10_000));
    await (await b.uploads.next()).has(1 << 20);
    b.kill();
    expect((await (await a.uploads.next()).take()).bytes.equals(bytes)).toBe(true);
    await again;
  });

  test('that breaks says why, and nothing is submitted', async () => {
    async function* broken(): AsyncGenerator<Buffer, void, undefined> {
      yield Buffer.alloc(LARGE);
      throw new Error('the disk is gone');
    }
    const failed = failure(client.submit('f', broken()));
    const upload = await a.uploads.next();
    const error = await failed;
    expect(error).toBeInstanceOf(PayloadStreamError);
    expect(error.message).toContain('the disk is gone');
    expect((error.cause as Error).message).toBe('the disk is gone');
    await upload.cancelled;
    expect(submitted).toEqual([]);
  });
});

describe('a stream that says nothing more', () => {
  /** Gives so many bytes, then nothing until it is closed. */
  function silent(bytes: number) {
    let closed!: () => void;
    const over = new Promise<void>((resolve) => (closed = resolve));
    const stream: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]() {
        let given = false;
        return {
          next: () => {
            if (given || bytes === 0) return new Promise(() => {});
            given = true;
            return Promise.resolve({ done: false, value: Buffer.alloc(bytes) });
          },
          return: () => {
            closed();
            return Promise.resolve({ done: true, value: undefined });
          },
        };
      },
    };
    return { stream, over };
  }

  test.each([0, 1_000, 2 * LARGE])('after %i bytes is given up after its time, and closed', async (bytes) => {
    for (const submit of [
      (stream: AsyncIterable<Uint8Array>) => client.submit('f', stream, { timeoutMs: 80 }),
      (stream: AsyncIterable<Uint8Array>) => client.run('f', stream, { timeoutMs: 80 }).result,
    ]) {
      const { stream, over } = silent(bytes);
      expect(await failure(submit(stream))).toMatchObject({ reason: 'TIMED_OUT', outcome: 'NOT_APPLIED' });
      await over;
    }
    expect(submitted).toEqual([]);
  });

  test.each([0, 2 * LARGE])('after %i bytes ends with its signal, and with its run', async (bytes) => {
    const stop = new AbortController();
    const one = silent(bytes);
    const done = client.submit('f', one.stream, { signal: stop.signal });
    if (bytes > 0) await (await a.uploads.next()).has(256 << 10);
    stop.abort();
    expect(await failure(done)).toMatchObject({ reason: 'ABORTED', outcome: 'NOT_APPLIED' });
    await one.over;
    const other = silent(bytes);
    const run = client.run('f', other.stream);
    if (bytes > 0) await (await a.uploads.next()).has(256 << 10);
    run.close();
    expect((await failure(run.result)).reason).toBe('CLOSED');
    await other.over;
  });

  test('is lost with its node at once', async () => {
    const { stream, over } = silent(2 * LARGE);
    const done = client.submit('f', stream);
    await (await a.uploads.next()).has(256 << 10);
    a.kill();
    expect(await failure(done)).toBeInstanceOf(PayloadLostError);
    await over;
  });

  test('is closed where no node is reached, a Readable as well', async () => {
    a.kill();
    b.kill();
    const { stream, over } = silent(2 * LARGE);
    await failure(client.submit('f', stream, { timeoutMs: 80 }));
    await over;
    const readable = new Readable({ read() {} });
    await failure(client.submit('f', readable, { timeoutMs: 80 }));
    expect(readable.destroyed).toBe(true);
  });

  test('but trickles is heard', async () => {
    async function* trickle(): AsyncGenerator<string, void, undefined> {
      for (let i = 0; i < 10; i++) {
        await new Promise((resolve) => setTimeout(resolve, 40));
        yield 'x';
      }
    }
    const done = client.submit('f', trickle(), { timeoutMs: 200 });
    const stream = await a.submits.next();
    const frame = await stream.frames.next();
    expect(Buffer.from(frame.jobs[0]!.payload).toString()).toBe('x'.repeat(10));
    stream.send({ frameId: frame.frameId, results: [created('t')], serverTime: undefined, error: undefined });
    await done;
  });
});

describe('a run', () => {
  const accepted = (jobId: string) => ({ kind: Kind.ACCEPTED, jobId, state: JobState.QUEUED });

  test('uploads before each try to submit, and not any more once it was accepted', async () => {
    const bytes = randomBytes(LARGE);
    const run = client.run('f', bytes);
    await (await a.uploads.next()).take('a'.repeat(32));
    const first = await a.runs.next();
    expect(first.request.job).toMatchObject({ id: run.jobId, payloadBlob: { id: 'a'.repeat(32) } });
    first.fail(noLeader());
    await (await b.uploads.next()).take('b'.repeat(32));
    const second = await b.runs.next();
    expect(second.request.job).toMatchObject({ id: run.jobId, payloadBlob: { id: 'b'.repeat(32) } });
    second.send(accepted(run.jobId));
    second.fail(noLeader());
    const watch = await a.watches.next();
    const event = { attempt: 1, state: JobState.SUCCEEDED, jobId: run.jobId };
    watch.send({ kind: Kind.ENDED, ...event, result: Buffer.from('r') });
    expect(await (await run.result).text()).toBe('r');
    expect(a.uploads.size + b.uploads.size).toBe(0);
  });

  test('fetches a large result when it is asked for, and goes on where it was', async () => {
    const result = randomBytes(LARGE);
    const sha256 = createHash('sha256').update(result).digest();
    const run = client.run('f', 'x');
    const stream = await a.runs.next();
    stream.send(accepted(run.jobId));
    const resultBlob = { id: 'c'.repeat(32), size: LARGE, sha256 };
    stream.send({ kind: Kind.ENDED, jobId: run.jobId, attempt: 1, state: JobState.SUCCEEDED, resultBlob });
    const told = await run.result;
    expect([told.size, a.downloads.size]).toEqual([LARGE, 0]);
    const asked = told.bytes();
    const first = await a.downloads.next();
    expect(first.request).toMatchObject({
      jobId: run.jobId,
      part: PayloadPart.RESULT,
      offset: 0,
      leaseToken: 0,
    });
    first.send({ size: LARGE, sha256, data: result.subarray(0, 1_000) });
    first.fail(noLeader());
    const second = await b.downloads.next();
    expect(second.request.offset).toBe(1_000);
    second.send({ size: LARGE, sha256, data: result.subarray(1_000) });
    second.end();
    expect(Buffer.from(await asked).equals(result)).toBe(true);
    // Once is enough.
    expect(await told.bytes()).toBe(await asked);
    const streamed = told.stream();
    const reading = streamed.next();
    const third = await b.downloads.next();
    third.send({ size: LARGE, sha256, data: result.subarray(0, 10) });
    expect(Buffer.from((await reading).value as Uint8Array)).toEqual(result.subarray(0, 10));
    await streamed.return();
    await third.cancelled;
  });

  test('goes on where it was when its reader paused for too long', async () => {
    const bytes = randomBytes(LARGE);
    const sha256 = createHash('sha256').update(bytes).digest();
    const streamed = client.download('j', 'result');
    const reading = streamed.next();
    const first = await a.downloads.next();
    first.send({ size: LARGE, sha256, data: bytes.subarray(0, 1_000) });
    await reading;
    const metadata = { limit: 'slow-reader-ms', value: '30000' };
    first.fail(refusal(status.RESOURCE_EXHAUSTED, 'LIMIT_REACHED', { metadata }));
    const rest = (async () => {
      const parts: Uint8Array[] = [];
      for await (const part of streamed) parts.push(part);
      return Buffer.concat(parts);
    })();
    const second = await a.downloads.next();
    expect(second.request.offset).toBe(1_000);
    second.send({ size: LARGE, sha256, data: bytes.subarray(1_000) });
    second.end();
    expect((await rest).equals(bytes.subarray(1_000))).toBe(true);
  });

  test('does not take into memory what is larger than was agreed, nor what is not as it was', async () => {
    const run = client.run('f', 'x');
    const stream = await a.runs.next();
    stream.send(accepted(run.jobId));
    const resultBlob = { id: 'c'.repeat(32), size: (1 << 20) + 1, sha256: Buffer.alloc(32) };
    stream.send({ kind: Kind.ENDED, jobId: run.jobId, attempt: 1, state: JobState.SUCCEEDED, resultBlob });
    expect(await failure((await run.result).bytes())).toMatchObject({
      reason: 'PAYLOAD_TOO_LARGE',
      metadata: { limit: 'payloadBytesMax', value: String(1 << 20) },
    });
    const reading = client.download(run.jobId, 'result').next();
    const download = await a.downloads.next();
    download.send({ size: 2, sha256: Buffer.alloc(32), data: Buffer.from('ab') });
    expect(Buffer.from((await reading).value as Uint8Array).toString()).toBe('ab');
    const all = (async () => {
      for await (const _ of client.download(run.jobId, 'result'));
    })();
    const other = await a.downloads.next();
    other.send({ size: 2, sha256: Buffer.alloc(32), data: Buffer.from('ab') });
    other.end();
    expect((await failure(all)).code).toBe('DATA_LOSS');
  });
});
