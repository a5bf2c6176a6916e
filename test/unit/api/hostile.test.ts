import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { Client, credentials, Metadata, status } from '@grpc/grpc-js';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Consistency, JobView, Priority } from '../../../proto/gen/gearmesh/v1/common.js';
import {
  GetJobRequest,
  JobServiceService,
  JobSpec,
  RunJobRequest,
  SubmitFrame,
  type SubmitJobRequest,
} from '../../../proto/gen/gearmesh/v1/job.js';
import { GearmeshError } from '../../../src/core/errors.js';
import { misbehave } from '../../support/bad-frames.js';
import { JOB_ID } from './fake-node.js';
import { Answers, type Bundle, refusal, startBundle, told, unary } from './harness.js';

let b: Bundle;
beforeEach(async () => {
  b = await startBundle();
});
afterEach(() => b.stop());

const submit = (job: Parameters<typeof JobSpec.create>[0], namespace = '') =>
  unary(b.job, JobServiceService.submitJob, { namespace, job: JobSpec.create(job) });
const seconds = (s: number, nanos = 0) => ({ seconds: s, nanos });

test.each<[string, Parameters<typeof JobSpec.create>[0], string[]]>([
  ['no function', {}, ['job.function']],
  ['a long function', { function: 'ü'.repeat(128) }, ['job.function']],
  ['control characters', { function: 'a\u0000b' }, ['job.function']],
  ['no ULID', { function: 'f', id: 'x'.repeat(26) }, ['job.id']],
  ['a negative delay', { function: 'f', delay: seconds(-1) }, ['job.delay']],
  ['a delay of mixed signs', { function: 'f', delay: seconds(1, -1) }, ['job.delay']],
  ['two times', { function: 'f', delay: seconds(1), runAt: seconds(1) }, ['job.delay']],
  ['no real time', { function: 'f', runAt: seconds(1, -5) }, ['job.run_at']],
  ['a time after the year 9999', { function: 'f', startDeadline: seconds(2 ** 45) }, ['job.start_deadline']],
  ['an unknown priority', { function: 'f', priority: 9 as Priority }, ['job.priority']],
  ['a long key', { function: 'f', uniqueKey: 'k'.repeat(1_025) }, ['job.unique_key']],
  ['much metadata', { function: 'f', metadata: { k: 'v'.repeat(8_192) } }, ['job.metadata']],
  ['a trace that is none', { function: 'f', traceparent: 'abc' }, ['job.traceparent']],
  ['many attempts', { function: 'f', retry: { maxAttempts: 10_001 } }, ['job.retry.max_attempts']],
  ['no number', { function: 'f', retry: { multiplier: Number.NaN } }, ['job.retry.multiplier']],
  ['wild jitter', { function: 'f', retry: { jitter: 1.5 } }, ['job.retry.jitter']],
  [
    'backoffs that cross',
    { function: 'f', retry: { initialBackoff: seconds(9), maxBackoff: seconds(1) } },
    ['job.retry.max_backoff'],
  ],
  [
    'everything at once',
    { id: 'x', contentType: 'c'.repeat(256), runTimeout: seconds(4e7), resultRetention: seconds(-1) },
    ['job.id', 'job.function', 'job.content_type', 'job.run_timeout', 'job.result_retention'],
  ],
])('%s is INVALID_ARGUMENT and names the field', async (_, job, fields) => {
  const error = await refusal(submit(job));
  expect(error).toMatchObject({ code: status.INVALID_ARGUMENT, reason: 'INVALID_FIELD' });
  expect(error.fields).toEqual(fields);
  expect(b.node.submitted).toEqual([]);
});

test('a revision and a consistency that no server gave are refused', async () => {
  const request = GetJobRequest.create({
    jobId: JOB_ID,
    minRevision: '12',
    consistency: 7 as Consistency,
    view: 8 as JobView,
  });
  const error = await refusal(unary(b.job, JobServiceService.getJob, request));
  expect(error.fields).toEqual(['view', 'min_revision', 'consistency']);
});

test('a payload over the limit is refused, naming the limit', async () => {
  const error = await refusal(submit({ function: 'f', payload: Buffer.alloc(262_145) }));
  expect(error).toMatchObject({ code: status.RESOURCE_EXHAUSTED, reason: 'PAYLOAD_TOO_LARGE' });
  expect(error.metadata).toMatchObject({
    limit: 'limits.payload-bytes-max',
    value: '262144',
    outcome: 'NOT_APPLIED',
  });
  expect(error.fields).toEqual(['job.payload']);
  await submit({ function: 'f', payload: Buffer.alloc(262_144) });
});

test('a message over the limit is refused by its length, on calls and on streams', async () => {
  const error = await refusal(submit({ function: 'f', payload: Buffer.alloc(5 << 20) }));
  expect(error).toMatchObject({ code: status.RESOURCE_EXHAUSTED, reason: 'PAYLOAD_TOO_LARGE' });
  const metadata = { limit: 'message-bytes-max', value: String(4 << 20), outcome: 'NOT_APPLIED' };
  expect(error.metadata).toEqual(metadata);
  const stream = b.job.submitStream();
  const answers = new Answers(stream);
  stream.write(SubmitFrame.create({ jobs: [{ function: 'f', payload: Buffer.alloc(5 << 20) }] }));
  expect(told(await answers.end)).toMatchObject({ reason: 'PAYLOAD_TOO_LARGE', metadata });
  expect(b.node.submitted).toEqual([]);
  await submit({ function: 'f' });
});

test('a call that is refused by the length of its message is counted once', async () => {
  await misbehave(b.server.address, 'grpc', 'huge-message');
  // The connection's end has reached the server before another call comes in.
  await submit({ function: 'f' });
  expect(b.counted).toEqual(['error PAYLOAD_TOO_LARGE', 'SubmitJob RESOURCE_EXHAUSTED', 'SubmitJob OK']);
});

/** A client that sends what it is given instead of messages. */
function raw() {
  const client = new Client(b.server.address, credentials.createInsecure());
  const same = (bytes: Buffer) => bytes;
  return {
    client,
    call: (path: string, bytes: Buffer) =>
      new Promise<Buffer>((resolve, reject) => {
        client.makeUnaryRequest(path, same, same, bytes, (error, answer) => {
          if (error === null) resolve(answer!);
          else reject(error);
        });
      }),
    stream: (path: string) => client.makeBidiStreamRequest(path, same, same),
  };
}

// Field 1 of SubmitJobRequest and field 2 of SubmitFrame are the namespace.
test.each([
  ['a broken length', Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f])],
  ['text that is not UTF-8', Buffer.from([0x02, 0xc3, 0x28])],
  ['an unending varint', Buffer.alloc(20, 0xff)],
])('%s is INVALID_ARGUMENT on calls and on streams', async (_, bytes) => {
  const { client, call, stream } = raw();
  const error = await refusal(
    call(JobServiceService.submitJob.path, Buffer.concat([Buffer.of(0x0a), bytes])),
  );
  expect(error).toMatchObject({ code: status.INVALID_ARGUMENT, reason: 'INVALID_FIELD', domain: 'gearmesh' });
  const duplex = stream(JobServiceService.submitStream.path);
  const answers = new Answers(duplex);
  duplex.write(Buffer.concat([Buffer.of(0x12), bytes]));
  expect(told(await answers.end)).toMatchObject({ code: status.INVALID_ARGUMENT });
  client.close();
});

test('a number of 2^53 or more is INVALID_ARGUMENT', async () => {
  const { client, stream } = raw();
  const duplex = stream(JobServiceService.submitStream.path);
  const answers = new Answers(duplex);
  duplex.write(Buffer.from([0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]));
  expect(told(await answers.end)).toMatchObject({ code: status.INVALID_ARGUMENT });
  client.close();
});

test('noise in place of messages is always answered, never a defect', async () => {
  const { client, call } = raw();
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (noise) => {
      const answered = await call(JobServiceService.submitJob.path, Buffer.from(noise)).then(
        () => status.OK,
        (error: unknown) => told(error).code,
      );
      expect([status.OK, status.INVALID_ARGUMENT]).toContain(answered);
    }),
    { numRuns: 200 },
  );
  client.close();
});

test('a metadata key named __proto__ is a key like any other', async () => {
  const metadata = JSON.parse('{"__proto__":"x","a":"b"}') as Record<string, string>;
  const request: SubmitJobRequest = {
    namespace: '',
    job: { ...JobSpec.create({ function: 'f' }), metadata },
  };
  await unary(b.job, JobServiceService.submitJob, request);
  expect(b.node.submitted[0]![0]!.metadata).toEqual([
    ['__proto__', 'x'],
    ['a', 'b'],
  ]);
});

test('garbage on the port disturbs nobody', async () => {
  const [host, port] = b.server.address.split(':') as [string, string];
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  const hugeFrame = Buffer.from([0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01]);
  const attacks = [
    () => randomBytes(5_000),
    () => Buffer.concat([preface, randomBytes(5_000)]),
    () => Buffer.concat([preface, hugeFrame]),
    () => preface.subarray(0, 10),
    () => Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
  ];
  const closed = Array.from(
    { length: 100 },
    (_, i) =>
      new Promise<void>((resolve) => {
        const socket = connect(Number(port), host, () => {
          socket.write(attacks[i % attacks.length]!());
          socket.end();
        });
        socket.on('error', () => {});
        socket.on('close', () => resolve());
        socket.resume();
      }),
  );
  for (let i = 0; i < 20; i++) await submit({ function: 'f' });
  await Promise.all(closed);
  await submit({ function: 'f' });
});

test('a node that waits is told shortly before the deadline, so that its answer arrives', async () => {
  b.node.cancelJob = async (...args: unknown[]) => {
    const { signal } = args[4] as { signal: AbortSignal };
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    throw new GearmeshError('NO_LEADER');
  };
  const error = await refusal(
    new Promise((resolve, reject) => {
      const deadline = Date.now() + 400;
      const request = { namespace: '', jobId: JOB_ID, reason: '', grace: undefined };
      b.job.cancelJob(request, new Metadata(), { deadline }, (failed, answer) =>
        failed === null ? resolve(answer) : reject(failed),
      );
    }),
  );
  expect(error).toMatchObject({ code: status.UNAVAILABLE, reason: 'NO_LEADER' });
  expect(error.metadata.outcome).toBe('NOT_APPLIED');
});

test('a draining node refuses calls as not applied, and close ends what is left', async () => {
  const events = new Answers(b.job.runJob(RunJobRequest.create({ job: { function: 'f' } })));
  await b.node.until(() => b.node.watchers.length === 1);
  b.server.drain('test');
  expect(told(await events.end)).toMatchObject({ code: status.UNAVAILABLE, reason: 'SHUTTING_DOWN' });
  const error = await refusal(submit({ function: 'f' }));
  expect(error).toMatchObject({ code: status.UNAVAILABLE, metadata: { outcome: 'NOT_APPLIED' } });
  const work = new Answers(b.worker.work());
  expect(told(await work.end).reason).toBe('SHUTTING_DOWN');
});
