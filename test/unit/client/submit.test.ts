/** Submissions: one frame per turn, in order, and safe through a failover. */
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Client, GearmeshError } from '../../../src/client/index.js';
import { accepted, created, FakeNode, noLeader, refusal } from './fake-server.js';

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

async function refused(promise: Promise<unknown>): Promise<GearmeshError> {
  const error = await promise.then(
    () => null,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(GearmeshError);
  return error as GearmeshError;
}

describe('batching', () => {
  test('what one turn submits travels in one frame, and results come by position', async () => {
    const all = Promise.all(['x', 'y', 'z'].map((text) => client.submit('f', text)));
    const stream = await a.submits.next();
    const frame = await stream.frames.next();
    expect(frame.jobs.map((job) => Buffer.from(job.payload).toString())).toEqual(['x', 'y', 'z']);
    expect(frame.jobs[0]!.contentType).toBe('text/plain; charset=utf-8');
    const ids = frame.jobs.map((job) => job.id);
    expect(ids.every((id) => /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(id))).toBe(true);
    expect([...ids].sort()).toEqual(ids);
    stream.send(accepted(frame));
    expect((await all).map((r) => r.jobId)).toEqual(ids);
    expect((await all)[0]).toEqual({
      jobId: ids[0],
      disposition: 'created',
      state: 'queued',
      revision: 'r1',
    });
  });

  test('frames are pipelined: the second goes out before the first is answered', async () => {
    const first = client.submit('f', '1');
    const stream = await a.submits.next();
    const frame1 = await stream.frames.next();
    const second = client.submit('f', '2');
    const frame2 = await stream.frames.next();
    stream.send(accepted(frame1));
    stream.send(accepted(frame2));
    expect((await first).jobId).toBe(frame1.jobs[0]!.id);
    expect((await second).jobId).toBe(frame2.jobs[0]!.id);
    expect(a.submits.size).toBe(0);
  });

  test('submitMany is cut into frames of bounded size, with one answer by position', async () => {
    const jobs = Array.from({ length: 2_500 }, (_, i) => ({ function: 'f', payload: String(i) }));
    const all = client.submitMany(jobs);
    const stream = await a.submits.next();
    const sizes: number[] = [];
    const texts: string[] = [];
    while (texts.length < jobs.length) {
      const frame = await stream.frames.next();
      sizes.push(frame.jobs.length);
      texts.push(...frame.jobs.map((job) => Buffer.from(job.payload).toString()));
      stream.send(accepted(frame));
    }
    expect(sizes).toEqual([1_000, 1_000, 500]);
    expect(texts).toEqual(jobs.map((job) => job.payload));
    expect(await all).toHaveLength(2_500);
  });

  test('large payloads go in frames of their own', async () => {
    const payload = new Uint8Array(300 << 10);
    const all = client.submitMany([
      { function: 'f', payload },
      { function: 'f', payload },
    ]);
    const stream = await a.submits.next();
    for (let i = 0; i < 2; i++) {
      const frame = await stream.frames.next();
      expect(frame.jobs).toHaveLength(1);
      stream.send(accepted(frame));
    }
    await all;
  });

  test('an all-or-nothing group is one frame of its own and rejects as a whole', async () => {
    const single = client.submit('f');
    const group = client.submitMany([{ function: 'f' }, { function: 'g' }], { allOrNothing: true });
    const stream = await a.submits.next();
    const frame1 = await stream.frames.next();
    const frame2 = await stream.frames.next();
    expect([frame1.allOrNothing, frame1.jobs.length]).toEqual([false, 1]);
    expect([frame2.allOrNothing, frame2.jobs.length]).toEqual([true, 2]);
    stream.send(accepted(frame1));
    const error = refusal(status.RESOURCE_EXHAUSTED, 'LIMIT_REACHED');
    stream.send(accepted(frame2, { results: [], error }));
    await single;
    expect((await refused(group)).reason).toBe('LIMIT_REACHED');
  });

  test('several connections share the load by turns', async () => {
    const two = new Client({ endpoints: a.address, connections: 2 });
    const first = two.submit('f', '1');
    const stream1 = await a.submits.next();
    const frame1 = await stream1.frames.next();
    const second = two.submit('f', '2');
    const stream2 = await a.submits.next();
    stream2.send(accepted(await stream2.frames.next()));
    stream1.send(accepted(frame1));
    await Promise.all([first, second]);
    await two.close();
  });
});

describe('failover', () => {
  test('a connection cut in mid-flight: the same ids go to the next endpoint, in order', async () => {
    const all = Promise.all([client.submit('f', '1'), client.submit('f', '2')]);
    const first = await a.submits.next();
    const sent = await first.frames.next();
    const later = client.submit('f', '3');
    const sentLater = await first.frames.next();
    a.kill();
    const second = await b.submits.next();
    const ids: string[] = [];
    while (ids.length < 3) {
      const frame = await second.frames.next();
      ids.push(...frame.jobs.map((job) => job.id));
      second.send(accepted(frame));
    }
    expect(ids).toEqual([...sent.jobs, ...sentLater.jobs].map((job) => job.id));
    await Promise.all([all, later]);
  });

  test('an endpoint that refuses connections is passed over', async () => {
    a.kill();
    const result = client.submit('f');
    const stream = await b.submits.next();
    stream.send(accepted(await stream.frames.next()));
    await result;
  });

  test('an unknown outcome is sent again with the same id, elsewhere', async () => {
    const result = client.submit('f');
    const first = await a.submits.next();
    const frame = await first.frames.next();
    const error = refusal(status.ABORTED, 'OUTCOME_UNKNOWN', { metadata: { outcome: 'UNKNOWN' } });
    first.send(accepted(frame, { results: [created('', { error })] }));
    const second = await b.submits.next();
    const again = await second.frames.next();
    expect(again.jobs[0]!.id).toBe(frame.jobs[0]!.id);
    second.send(accepted(again));
    expect((await result).jobId).toBe(frame.jobs[0]!.id);
  });

  test('a frame that found no leader goes to the next endpoint', async () => {
    const result = client.submit('f');
    const first = await a.submits.next();
    const frame = await first.frames.next();
    first.send(accepted(frame, { results: [], error: noLeader() }));
    const second = await b.submits.next();
    second.send(accepted(await second.frames.next()));
    await result;
  });

  test('a server that ends the stream is left; only what it did not answer is sent again', async () => {
    const result = client.submit('f', '1');
    const first = await a.submits.next();
    first.send(accepted(await first.frames.next()));
    await result;
    const next = client.submit('f', '2');
    const frame = await first.frames.next();
    first.fail(refusal(status.UNAVAILABLE, 'SHUTTING_DOWN'));
    const second = await b.submits.next();
    const again = await second.frames.next();
    expect(again.jobs).toEqual(frame.jobs);
    second.send(accepted(again));
    await next;
  });

  test('a refusal after an unknown outcome says that the outcome is unknown', async () => {
    const result = client.submit('f');
    const first = await a.submits.next();
    await first.frames.next();
    a.kill();
    const second = await b.submits.next();
    const frame = await second.frames.next();
    const error = refusal(status.FAILED_PRECONDITION, 'ID_TOO_OLD');
    second.send(accepted(frame, { results: [created('', { error })] }));
    const said = await refused(result);
    expect([said.reason, said.outcome]).toEqual(['ID_TOO_OLD', 'UNKNOWN']);
  });
});

describe('errors', () => {
  test('each job of a frame has its own answer, with all that the server said', async () => {
    const good = client.submit('f');
    const bad = client.submit('');
    const full = client.submit('g');
    const stream = await a.submits.next();
    const frame = await stream.frames.next();
    const invalid = refusal(status.INVALID_ARGUMENT, 'INVALID_FIELD', {
      fields: { 'jobs[1].function': 'is empty' },
    });
    const limit = refusal(status.RESOURCE_EXHAUSTED, 'LIMIT_REACHED', {
      metadata: { limit: 'limits.jobs-max', value: '10' },
      retryAfterMs: 250,
    });
    stream.send(
      accepted(frame, {
        results: [created(frame.jobs[0]!.id), created('', { error: invalid }), created('', { error: limit })],
      }),
    );
    await good;
    const badError = await refused(bad);
    expect(badError.code).toBe('INVALID_ARGUMENT');
    expect(badError.violations).toEqual([{ field: 'jobs[1].function', description: 'is empty' }]);
    const fullError = await refused(full);
    expect(fullError.reason).toBe('LIMIT_REACHED');
    expect(fullError.outcome).toBe('NOT_APPLIED');
    expect(fullError.metadata).toEqual({ limit: 'limits.jobs-max', value: '10' });
    expect(fullError.retryAfterMs).toBe(250);
  });

  test('submitMany puts refusals by position', async () => {
    const all = client.submitMany([{ function: 'f' }, { function: 'g' }]);
    const stream = await a.submits.next();
    const frame = await stream.frames.next();
    const error = refusal(status.FAILED_PRECONDITION, 'ID_REUSED');
    stream.send(accepted(frame, { results: [created('', { error }), created(frame.jobs[1]!.id)] }));
    const [first, second] = await all;
    expect(first).toBeInstanceOf(GearmeshError);
    expect((first as GearmeshError).reason).toBe('ID_REUSED');
    expect(second).toMatchObject({ disposition: 'created' });
  });

  test('a stream refused for good rejects what it carried', async () => {
    const result = client.submit('f');
    const stream = await a.submits.next();
    await stream.frames.next();
    stream.fail(refusal(status.UNAUTHENTICATED, 'UNAUTHENTICATED'));
    expect((await refused(result)).code).toBe('UNAUTHENTICATED');
    expect(b.submits.size).toBe(0);
  });

  test('a message over the limit of the server costs only the job that made it so large', async () => {
    const small = client.submit('f', 'x');
    const stream = await a.submits.next();
    await stream.frames.next();
    const large = client.submit('f', new Uint8Array(600 << 10));
    await stream.frames.next();
    stream.fail({ code: status.RESOURCE_EXHAUSTED, message: 'larger than max', details: [] });
    expect((await refused(large)).code).toBe('RESOURCE_EXHAUSTED');
    const again = await b.submits.next();
    const frame = await again.frames.next();
    expect(frame.jobs).toHaveLength(1);
    again.send(accepted(frame));
    await small;
  });

  test('time over without an answer: the outcome is unknown; without a connection: not applied', async () => {
    const sent = client.submit('f', 'x', { timeoutMs: 60 });
    await (await a.submits.next()).frames.next();
    const said = await refused(sent);
    expect([said.reason, said.outcome]).toEqual(['TIMED_OUT', 'UNKNOWN']);
    a.kill();
    b.kill();
    const lost = new Client({ endpoints: [a.address, b.address] });
    const never = await refused(lost.submit('f', 'x', { timeoutMs: 60 }));
    expect([never.reason, never.outcome]).toEqual(['TIMED_OUT', 'NOT_APPLIED']);
    expect((never.cause as GearmeshError).reason).toBe('CONNECTION_FAILED');
    await lost.close();
  });

  test('what cannot be encoded costs only its own call', async () => {
    const good = client.submit('f');
    const circular: Record<string, never> = {};
    (circular as Record<string, unknown>).self = circular;
    expect((await refused(client.submit('f', circular))).reason).toBe('INVALID_FIELD');
    expect((await refused(client.submit('f', 'x', { delayMs: Number.NaN }))).reason).toBe('INVALID_FIELD');
    const stream = await a.submits.next();
    const frame = await stream.frames.next();
    expect(frame.jobs).toHaveLength(1);
    stream.send(accepted(frame));
    await good;
  });
});

describe('abort and close', () => {
  test('aborted before it was sent: not applied, and not sent', async () => {
    const abort = new AbortController();
    const result = client.submit('f', 'x', { signal: abort.signal });
    const other = client.submit('f', 'y');
    abort.abort(new Error('enough'));
    const error = await refused(result);
    expect([error.name, error.outcome, (error.cause as Error).message]).toEqual([
      'AbortError',
      'NOT_APPLIED',
      'enough',
    ]);
    const stream = await a.submits.next();
    const frame = await stream.frames.next();
    expect(frame.jobs).toHaveLength(1);
    stream.send(accepted(frame));
    await other;
  });

  test('aborted in flight: unknown', async () => {
    const abort = new AbortController();
    const result = client.submit('f', 'x', { signal: abort.signal });
    await (await a.submits.next()).frames.next();
    abort.abort();
    expect((await refused(result)).outcome).toBe('UNKNOWN');
  });

  test('close waits for what is under way and refuses what comes later', async () => {
    const result = client.submit('f');
    const stream = await a.submits.next();
    const frame = await stream.frames.next();
    const closed = client.close();
    expect((await refused(client.submit('f'))).reason).toBe('CLOSED');
    stream.send(accepted(frame));
    await result;
    await closed;
    await stream.ended;
  });
});

describe('a wrong clock', () => {
  test('an id of the wrong time is made anew from the time in the answer, once', async () => {
    const result = client.submit('f');
    const own = refused(client.submit('f', 'x', { id: '01ARZ3NDEKTSV4RRFFQ69G5FAV' }));
    const stream = await a.submits.next();
    const frame = await stream.frames.next();
    const error = refusal(status.FAILED_PRECONDITION, 'ID_TOO_OLD');
    const ahead = Math.floor(Date.now() / 1_000) + 86_400;
    stream.send({
      frameId: frame.frameId,
      results: frame.jobs.map(() => created('', { error })),
      serverTime: { seconds: ahead, nanos: 0 },
      error: undefined,
    });
    const again = await stream.frames.next();
    expect(again.jobs).toHaveLength(1);
    expect(again.jobs[0]!.id > frame.jobs[0]!.id).toBe(true);
    stream.send(accepted(again));
    expect((await result).jobId).toBe(again.jobs[0]!.id);
    expect((await own).reason).toBe('ID_TOO_OLD');
  });
});
