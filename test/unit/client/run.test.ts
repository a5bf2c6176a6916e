/** Following jobs: one story out of several streams, and exactly one result. */
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { JobState } from '../../../proto/gen/gearmesh/v1/common.js';
import { Disposition, JobEventKind as Kind } from '../../../proto/gen/gearmesh/v1/job.js';
import {
  Client,
  GearmeshError,
  JobCancelledError,
  JobExpiredError,
  JobFailedError,
  type Run,
  type RunEvent,
} from '../../../src/client/index.js';
import { accepted, FakeNode, noLeader, refusal } from './fake-server.js';

let a: FakeNode;
let b: FakeNode;
let client: Client;

beforeEach(async () => {
  [a, b] = await Promise.all([FakeNode.start(), FakeNode.start()]);
  client = new Client({ endpoints: [a.address, b.address], order: 'listed' });
});

afterEach(async () => {
  a.kill();
  b.kill();
  await client.close();
});

async function all(run: Run): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const event of run) events.push(event);
  return events;
}

/** Short names, so that a story reads as one. */
function told(events: readonly RunEvent[]): string[] {
  return events.map((e) => {
    if (e.type === 'data') return `data ${e.attempt}/${e.number} ${Buffer.from(e.chunk)}`;
    if (e.type === 'gap') return `gap ${e.attempt}/${e.from}-${e.to}`;
    if (e.type === 'progress') return `progress ${e.numerator}/${e.denominator}`;
    if (e.type === 'accepted' || e.type === 'ended') return `${e.type} ${e.state}`;
    return `${e.type} ${e.attempt}`;
  });
}

const bytes = (text: string): Uint8Array => Buffer.from(text);
const ended = { kind: Kind.ENDED, attempt: 1, state: JobState.SUCCEEDED, result: bytes('r'), dataCount: 0 };

describe('one stream', () => {
  test('shows what happens and gives the result', async () => {
    const run = client.run('reverse', { text: 'abc' }, { priority: 'high' });
    const events = all(run);
    const { request, send } = await a.runs.next();
    expect(request.job).toMatchObject({ function: 'reverse', contentType: 'application/json', priority: 1 });
    const jobId = request.job!.id;
    expect(jobId).toBe(run.jobId);
    send({ kind: Kind.ACCEPTED, jobId, state: JobState.QUEUED, disposition: Disposition.CREATED });
    send({ kind: Kind.STARTED, jobId, attempt: 1, worker: 'w' });
    send({ kind: Kind.PROGRESS, jobId, attempt: 1, progress: { numerator: 1, denominator: 2, message: '' } });
    send({ kind: Kind.DATA, jobId, attempt: 1, dataFirst: 0, data: [bytes('x'), bytes('y')] });
    send({ ...ended, jobId, dataCount: 2, resultContentType: 'text/plain' });
    expect(told(await events)).toEqual([
      'accepted queued',
      'started 1',
      'progress 1/2',
      'data 1/0 x',
      'data 1/1 y',
      'ended succeeded',
    ]);
    const result = await run.result;
    expect([result.text(), result.value(), result.contentType, result.attempt, result.dataCount]).toEqual([
      'r',
      'r',
      'text/plain',
      1,
      2,
    ]);
  });

  test('attempts that fail, and the error of the last', async () => {
    const run = client.run('f');
    const events = all(run);
    const { request, send } = await a.runs.next();
    const jobId = request.job!.id;
    const error = { code: 'E', message: 'why', details: bytes('d') };
    send({ kind: Kind.ACCEPTED, jobId, state: JobState.QUEUED });
    send({ kind: Kind.STARTED, jobId, attempt: 1, worker: 'w' });
    send({ kind: Kind.ATTEMPT_FAILED, jobId, attempt: 1, error, retryAt: { seconds: 5, nanos: 0 } });
    send({ kind: Kind.QUEUED, jobId, attempt: 1 });
    send({ kind: Kind.STARTED, jobId, attempt: 2, worker: 'w' });
    send({ kind: Kind.ENDED, jobId, attempt: 2, state: JobState.FAILED, error });
    expect(told(await events)).toEqual([
      'accepted queued',
      'started 1',
      'attempt-failed 1',
      'queued 1',
      'started 2',
      'ended failed',
    ]);
    const failed = await run.result.catch((e: unknown) => e);
    expect(failed).toBeInstanceOf(JobFailedError);
    expect(failed).toMatchObject({
      jobId,
      attempt: 2,
      errorCode: 'E',
      errorMessage: 'why',
      reason: 'JOB_FAILED',
    });
  });

  test.each([
    [JobState.CANCELLED, JobCancelledError],
    [JobState.EXPIRED, JobExpiredError],
  ])('state %i has an error of its own', async (state, type) => {
    const run = client.run('f');
    const { request, send } = await a.runs.next();
    send({ kind: Kind.ENDED, jobId: request.job!.id, state });
    await expect(run.result).rejects.toBeInstanceOf(type);
  });

  test('a refusal rejects the result and throws from the iteration', async () => {
    const run = client.run('f');
    const events = all(run);
    const { fail } = await a.runs.next();
    fail(refusal(status.RESOURCE_EXHAUSTED, 'LIMIT_REACHED', { metadata: { limit: 'limits.jobs-max' } }));
    await expect(run.result).rejects.toMatchObject({ reason: 'LIMIT_REACHED', outcome: 'NOT_APPLIED' });
    await expect(events).rejects.toBeInstanceOf(GearmeshError);
  });

  test('the attempt that was released comes again with its number and chunks', async () => {
    const run = client.watch('j');
    const events = all(run);
    const { send } = await a.watches.next();
    send({ kind: Kind.ACCEPTED, jobId: 'j', state: JobState.RUNNING, attempt: 1, worker: 'w1' });
    send({ kind: Kind.DATA, jobId: 'j', attempt: 1, dataFirst: 0, data: [bytes('x')] });
    send({ kind: Kind.QUEUED, jobId: 'j', attempt: 0, state: JobState.QUEUED });
    send({ kind: Kind.STARTED, jobId: 'j', attempt: 1, worker: 'w2' });
    send({ kind: Kind.DATA, jobId: 'j', attempt: 1, dataFirst: 0, data: [bytes('x')] });
    send({ ...ended, jobId: 'j', dataCount: 1 });
    expect(told(await events)).toEqual([
      'accepted running',
      'started 1',
      'data 1/0 x',
      'queued 0',
      'started 1',
      'data 1/0 x',
      'ended succeeded',
    ]);
  });
});

test('the failures of a job that is older than its watch come before the attempt that runs', async () => {
  const events = all(client.watch('j'));
  const { send } = await a.watches.next();
  const [error, state] = [{ code: 'E', message: '', details: bytes('') }, JobState.QUEUED];
  send({ kind: Kind.ACCEPTED, jobId: 'j', state: JobState.RUNNING, attempt: 3, worker: 'w3' });
  send({ kind: Kind.ATTEMPT_FAILED, jobId: 'j', attempt: 1, worker: 'w1', error, state });
  send({ kind: Kind.ATTEMPT_FAILED, jobId: 'j', attempt: 2, worker: 'w2', error, state });
  send({ kind: Kind.STARTED, jobId: 'j', attempt: 3, worker: 'w3' });
  send({ ...ended, jobId: 'j', attempt: 3 });
  expect((await events).map(({ type }) => type)).toEqual([
    'accepted',
    'attempt-failed',
    'attempt-failed',
    'started',
    'ended',
  ]);
});

describe('through another node', () => {
  test('goes on by WatchJob: nothing twice, lost chunks as a gap, one result', async () => {
    const run = client.run('f');
    const iterator = run[Symbol.asyncIterator]();
    const first = await a.runs.next();
    const jobId = first.request.job!.id;
    first.send({ kind: Kind.ACCEPTED, jobId, state: JobState.QUEUED });
    first.send({ kind: Kind.STARTED, jobId, attempt: 1, worker: 'w' });
    first.send({ kind: Kind.DATA, jobId, attempt: 1, dataFirst: 0, data: [bytes('0'), bytes('1')] });
    const events: RunEvent[] = [];
    while (events.length < 4) events.push((await iterator.next()).value); // all that was sent has come
    a.kill();
    const second = await b.watches.next();
    expect(second.request.jobId).toBe(jobId);
    const progress = { numerator: 1, denominator: 1, message: '' };
    second.send({ kind: Kind.ACCEPTED, jobId, state: JobState.RUNNING, attempt: 1, worker: 'w', progress });
    second.send({ kind: Kind.DATA, jobId, attempt: 1, dataFirst: 1, data: [bytes('1'), bytes('2')] });
    second.send({ kind: Kind.DATA_GAP, jobId, attempt: 1, gapFrom: 3, gapTo: 4 });
    second.send({ kind: Kind.DATA, jobId, attempt: 1, dataFirst: 6, data: [bytes('6')] });
    second.send({ ...ended, jobId, dataCount: 9 });
    expect((await run.result).text()).toBe('r');
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) events.push(next.value);
    const story = told(events);
    expect(story.filter((line) => line.startsWith('data') || line.startsWith('gap'))).toEqual([
      'data 1/0 0',
      'data 1/1 1',
      'data 1/2 2',
      'gap 1/3-4',
      'gap 1/5-5',
      'data 1/6 6',
      'gap 1/7-8',
    ]);
    expect(story.filter((line) => /^(started|ended)/.test(line))).toEqual(['started 1', 'ended succeeded']);
  });

  test('not accepted yet: submits again with the same id', async () => {
    const run = client.run('f', 'x');
    const first = await a.runs.next();
    a.kill();
    const second = await b.runs.next();
    expect(second.request.job).toEqual(first.request.job);
    second.send({ ...ended, jobId: second.request.job!.id });
    await run.result;
  });

  test('a node without a leader is passed over', async () => {
    const run = client.run('f');
    (await a.runs.next()).fail(noLeader());
    const second = await b.runs.next();
    second.send({ ...ended, jobId: second.request.job!.id });
    await run.result;
  });

  test('a coalesced job is followed by its own id', async () => {
    const run = client.run('f', 'x', { uniqueKey: 'k' });
    const first = await a.runs.next();
    const disposition = Disposition.COALESCED;
    first.send({ kind: Kind.ACCEPTED, jobId: 'other', state: JobState.QUEUED, disposition });
    const [event] = await Promise.all([run[Symbol.asyncIterator]().next()]);
    expect(event.value).toMatchObject({ type: 'accepted', disposition: 'coalesced', jobId: 'other' });
    expect(run.jobId).toBe('other');
    first.fail(refusal(status.UNAVAILABLE, 'SHUTTING_DOWN'));
    const second = await b.watches.next();
    expect(second.request.jobId).toBe('other');
    second.send({ ...ended, jobId: 'other' });
    await run.result;
  });

  test('an id of the wrong time is corrected by a plain submission', async () => {
    const run = client.run('f');
    const first = await a.runs.next();
    first.fail(refusal(status.FAILED_PRECONDITION, 'ID_IN_FUTURE'));
    const stream = await a.submits.next();
    const frame = await stream.frames.next();
    expect(frame.jobs[0]!.id).not.toBe(first.request.job!.id);
    stream.send(accepted(frame));
    const watch = await a.watches.next();
    expect(watch.request.jobId).toBe(frame.jobs[0]!.id);
    watch.send({ ...ended, jobId: frame.jobs[0]!.id });
    await run.result;
  });
});

describe('ending it', () => {
  test('a signal ends the following and the stream, not the job', async () => {
    const abort = new AbortController();
    const run = client.run('f', 'x', { signal: abort.signal });
    const { cancelled } = await a.runs.next();
    abort.abort(new Error('enough'));
    await expect(run.result).rejects.toMatchObject({ name: 'AbortError', outcome: 'UNKNOWN' });
    await cancelled;
  });

  test('breaking out of the loop leaves the result', async () => {
    const run = client.watch('j');
    const { send } = await a.watches.next();
    send({ kind: Kind.ACCEPTED, jobId: 'j', state: JobState.QUEUED });
    for await (const event of run) {
      expect(event.type).toBe('accepted');
      break;
    }
    send({ ...ended, jobId: 'j' });
    expect((await run.result).jobId).toBe('j');
  });

  test('closing the client closes what it follows', async () => {
    const run = client.watch('j');
    const { cancelled } = await a.watches.next();
    const closed = client.close();
    await expect(run.result).rejects.toMatchObject({ reason: 'CLOSED' });
    await Promise.all([closed, cancelled]);
  });

  test('a reader that falls behind slows the stream and misses nothing', async () => {
    const run = client.watch('j');
    const iterator = run[Symbol.asyncIterator]();
    const { send } = await a.watches.next();
    const count = 1_500;
    for (let i = 0; i < count; i++) {
      send({ kind: Kind.DATA, jobId: 'j', attempt: 1, dataFirst: i, data: [bytes('x')] });
    }
    send({ ...ended, jobId: 'j', dataCount: count });
    for (let i = 0; i < count; i++) {
      const { value } = await iterator.next();
      expect(value).toMatchObject({ type: 'data', number: i });
    }
    expect((await iterator.next()).value).toMatchObject({ type: 'ended' });
    await run.result;
  });
});
