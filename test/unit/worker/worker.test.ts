/** A worker against scripted nodes: credit, outcomes, resumption, aborts, stopping. */
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { OutcomeKind } from '../../../proto/gen/gearmesh/v1/worker.js';
import type { JobAbortedError, JobContext, JobReport } from '../../../src/worker/index.js';
import { NonRetryableError, RetryAfter, Worker, type WorkerOptions } from '../../../src/worker/index.js';
import { FakeNode, noLeader, refusal } from '../client/fake-server.js';
import { assignment, Node, result, serve, welcome } from './fake-session.js';

let a: FakeNode;
let b: FakeNode;
let workers: Worker[];

beforeEach(async () => {
  [a, b] = await Promise.all([FakeNode.start(), FakeNode.start()]);
  workers = [];
});

afterEach(async () => {
  a.kill();
  b.kill();
  await Promise.all(workers.map((worker) => worker.stop({ timeoutMs: 0 })));
});

function make(options: Partial<WorkerOptions> = {}): Worker {
  const endpoints = [a.address, b.address];
  const worker = new Worker({ endpoints, order: 'listed', name: 'w', ...options });
  workers.push(worker);
  return worker;
}

/** A promise with its ends outside. */
function gate<T = void>(): { promise: Promise<T>; open: (value: T) => void; break: (e: Error) => void } {
  let open!: (value: T) => void;
  let fail!: (e: Error) => void;
  const promise = new Promise<T>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { promise, open, break: fail };
}

/** Attaches the worker to node `a`. */
async function attached(worker: Worker): Promise<Node> {
  const started = worker.start();
  const node = await Node.welcome(a);
  await started;
  return node;
}

function report(worker: Worker, type: JobReport['type']): Promise<JobReport> {
  return new Promise((resolve) => {
    worker.on('job', (said) => {
      if (said.type === type) resolve(said);
    });
  });
}

describe('jobs', () => {
  test('the hello names the functions and carries the credit', async () => {
    const worker = make({ concurrency: 8, namespace: 'team' });
    worker.handle('f', () => undefined).handle('g', () => undefined, { concurrency: 2, runTimeoutMs: 1_500 });
    const started = worker.start();
    const stream = await a.works.next();
    const first = await stream.frames.next();
    expect(first.hello).toMatchObject({ namespace: 'team', workerName: 'w', ephemeral: false });
    expect(first.hello?.functions).toEqual([
      { name: 'f', concurrency: 0, runTimeout: undefined },
      { name: 'g', concurrency: 2, runTimeout: { seconds: 1, nanos: 500_000_000 } },
    ]);
    expect(first.hello?.resume).toBeUndefined();
    expect(first.credit).toBe(8);
    stream.send(welcome());
    await started;
  });

  test('outcomes of one turn and the credit that they free are one frame', async () => {
    const worker = make({ concurrency: 3 });
    const doors = new Map([1, 2, 3].map((token) => [token, gate<string>()]));
    worker.handle('f', (_job, ctx) => doors.get(ctx.leaseToken)!.promise);
    const node = await attached(worker);
    node.send({ assignments: [1, 2, 3].map((token) => assignment(token)) });
    expect((await node.next()).acks).toEqual([1, 2, 3]);
    doors.get(1)!.open('one');
    doors.get(3)!.open('three');
    const frame = await node.next();
    expect(frame.credit).toBe(5);
    expect(frame.outcomes.map((o) => [o.leaseToken, o.kind, Buffer.from(o.result).toString()])).toEqual([
      [1, OutcomeKind.COMPLETE, 'one'],
      [3, OutcomeKind.COMPLETE, 'three'],
    ]);
    expect(frame.outcomes[0]).toMatchObject({
      jobId: 'job-1',
      resultContentType: 'text/plain; charset=utf-8',
      dataCount: 0,
    });
    expect(worker.active).toBe(1);
  });

  test('credit never lets more jobs run than the concurrency', async () => {
    const worker = make({ concurrency: 2 });
    let running = 0;
    let most = 0;
    worker.handle('f', async () => {
      most = Math.max(most, ++running);
      await Promise.resolve();
      running--;
    });
    const node = await attached(worker);
    let sent = 0;
    let credit = 2;
    let done = 0;
    while (done < 50) {
      const assignments = [];
      while (sent < credit && sent < 50) assignments.push(assignment(++sent));
      if (assignments.length > 0) node.send({ assignments });
      const frame = await node.next();
      done += frame.outcomes.length;
      credit = Math.max(credit, frame.credit);
      node.send({ outcomeResults: frame.outcomes.map((o) => result(o.leaseToken)) });
    }
    expect(most).toBe(2);
    expect(credit).toBe(52);
  });

  test('the job and its context', async () => {
    const seen = gate<[unknown, JobContext]>();
    const hold = gate();
    const worker = make();
    worker.handle('f', async (job, ctx) => {
      seen.open([{ ...job, json: job.json(), value: job.value() }, ctx]);
      await hold.promise;
    });
    const node = await attached(worker);
    node.send({
      assignments: [
        assignment(7, {
          payload: Buffer.from('{"a":1}'),
          contentType: 'application/json',
          metadata: { k: 'v' },
          attempt: 2,
          maxAttempts: 5,
        }),
      ],
    });
    const [job, ctx] = await seen.promise;
    expect(job).toMatchObject({
      id: 'job-7',
      function: 'f',
      metadata: { k: 'v' },
      json: { a: 1 },
      value: { a: 1 },
    });
    expect([ctx.leaseToken, ctx.attempt, ctx.maxAttempts, ctx.deadline]).toEqual([7, 2, 5, undefined]);
    hold.open();
  });

  test('progress is gathered per turn, data is numbered, and the outcome counts it', async () => {
    const worker = make();
    worker.handle('f', async (_job, ctx) => {
      ctx.progress(1, 3);
      ctx.progress(2, 3, 'almost');
      await ctx.data('a');
      await ctx.data(new Uint8Array([98]));
      ctx.resultContentType = 'x/y';
      return { ok: true };
    });
    const node = await attached(worker);
    node.send({ assignments: [assignment(1)] });
    const frame = await node.next();
    expect(frame.progress).toEqual([
      { leaseToken: 1, progress: { numerator: 2, denominator: 3, message: 'almost' } },
    ]);
    expect(frame.data.map((d) => [d.leaseToken, d.first, Buffer.concat(d.chunks).toString()])).toEqual([
      [1, 0, 'ab'],
    ]);
    expect(frame.outcomes[0]).toMatchObject({ dataCount: 2, resultContentType: 'x/y' });
  });

  test('what a handler throws fails the attempt, as it says', async () => {
    const worker = make({ concurrency: 3 });
    const errors = [
      Object.assign(new TypeError('bad'), { code: 'E_BAD' }),
      new NonRetryableError('never', { code: 'GONE', details: new Uint8Array([1]) }),
      new RetryAfter(2_500, 'later'),
    ];
    worker.handle('f', (_job, ctx) => {
      throw errors[ctx.leaseToken - 1]!;
    });
    const node = await attached(worker);
    node.send({ assignments: [1, 2, 3].map((token) => assignment(token)) });
    const { outcomes } = await node.next();
    expect(outcomes.map((o) => o.kind)).toEqual(Array(3).fill(OutcomeKind.FAIL));
    expect(outcomes.map((o) => [o.error?.code, o.error?.message, o.retryable])).toEqual([
      ['E_BAD', 'bad', true],
      ['GONE', 'never', false],
      ['RETRY_AFTER', 'later', true],
    ]);
    expect([...outcomes[1]!.error!.details]).toEqual([1]);
    expect(outcomes[2]!.retryAfter).toEqual({ seconds: 2, nanos: 500_000_000 });
  });

  test('a result that the cluster refuses fails the job for that reason', async () => {
    const worker = make();
    worker.handle('f', () => 'much');
    const failed = report(worker, 'failed');
    const node = await attached(worker);
    node.send({ assignments: [assignment(1)] });
    await node.next();
    const error = refusal(status.INVALID_ARGUMENT, 'PAYLOAD_TOO_LARGE');
    node.send({ outcomeResults: [{ leaseToken: 1, revision: '', error }] });
    const frame = await node.next();
    expect(frame.outcomes[0]).toMatchObject({ kind: OutcomeKind.FAIL, retryable: false });
    expect(frame.outcomes[0]!.error?.code).toBe('PAYLOAD_TOO_LARGE');
    node.send({ outcomeResults: [result(1)] });
    expect((await failed).jobId).toBe('job-1');
  });

  test('a result over the limit is not sent: the job fails', async () => {
    const worker = make().handle('f', () => new Uint8Array((64 << 20) + 1));
    const node = await attached(worker);
    node.send({ assignments: [assignment(1)] });
    const { outcomes } = await node.next();
    expect(outcomes[0]).toMatchObject({ kind: OutcomeKind.FAIL, retryable: false });
    expect(outcomes[0]!.error?.code).toBe('PAYLOAD_TOO_LARGE');
  });

  test('a function that it does not do goes back', async () => {
    const worker = make().handle('f', () => undefined);
    const node = await attached(worker);
    node.send({ assignments: [assignment(1, { function: 'other' })] });
    const frame = await node.next();
    expect(frame.outcomes[0]?.kind).toBe(OutcomeKind.RELEASE);
    expect(frame.credit).toBe(2);
  });

  test('functions may change while it runs', async () => {
    const worker = make().handle('f', () => undefined);
    const node = await attached(worker);
    worker.handle('g', () => undefined);
    expect((await node.next()).functionsChanged?.functions.map((fn) => fn.name)).toEqual(['f', 'g']);
  });
});

describe('the end of a lease', () => {
  /** A worker whose handler waits for its signal, with job 1 running. */
  async function waiting(options: { swallow?: boolean; deadlineMs?: number } = {}) {
    const worker = make();
    const started = gate<JobContext>();
    worker.handle('f', async (_job, ctx) => {
      started.open(ctx);
      await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve));
      if (options.swallow) return 'done anyway';
      throw ctx.signal.reason as Error;
    });
    const node = await attached(worker);
    const ms = options.deadlineMs;
    const deadline =
      ms === undefined ? undefined : { seconds: Math.floor(ms / 1_000), nanos: (ms % 1_000) * 1e6 };
    node.send({ assignments: [assignment(1, { deadline })] });
    const ctx = await started.promise;
    expect((await node.next()).acks).toEqual([1]);
    return { worker, node, ctx };
  }

  test('a cancel aborts the signal; the handler that gives up fails as cancelled, for good', async () => {
    const { node, ctx } = await waiting();
    node.send({ cancels: [{ leaseToken: 1, reason: 'not needed', grace: undefined }] });
    const frame = await node.next();
    const reason = ctx.signal.reason as JobAbortedError;
    expect([reason.kind, reason.message]).toEqual(['cancelled', 'not needed']);
    expect(frame.outcomes[0]).toMatchObject({ kind: OutcomeKind.FAIL, retryable: false });
    expect(frame.outcomes[0]!.error?.code).toBe('CANCELLED');
  });

  test('a handler may finish in spite of a cancel', async () => {
    const { node } = await waiting({ swallow: true });
    node.send({ cancels: [{ leaseToken: 1, reason: '', grace: undefined }] });
    expect((await node.next()).outcomes[0]?.kind).toBe(OutcomeKind.COMPLETE);
  });

  test('a lost lease aborts the signal; nothing is said of the job, and its place is free again', async () => {
    const { worker, node, ctx } = await waiting({ swallow: true });
    const lost = report(worker, 'lost');
    node.send({ leasesLost: [{ leaseToken: 1, reason: 1 }] });
    const frame = await node.next();
    expect((ctx.signal.reason as JobAbortedError).kind).toBe('lease-lost');
    expect((await lost).leaseToken).toBe(1);
    expect(frame.outcomes).toEqual([]);
    expect(frame.credit).toBe(2);
    ctx.progress(1, 2); // counts for nothing
    await ctx.data('x');
    expect(worker.active).toBe(0);
  });

  test('the run timeout aborts the signal, by the time of the cluster', async () => {
    // The node's clock says 1,000 s after the epoch; the deadline is 20 ms later.
    const { node, ctx } = await waiting({ deadlineMs: 1_000_020 });
    const frame = await node.next();
    expect((ctx.signal.reason as JobAbortedError).kind).toBe('timeout');
    expect(frame.outcomes[0]).toMatchObject({ kind: OutcomeKind.FAIL, retryable: true });
    expect(frame.outcomes[0]!.error?.code).toBe('TIMEOUT');
  });

  test('a session that the cluster forgot: jobs are lost, a new session begins', async () => {
    const { node, ctx } = await waiting();
    const aborted = new Promise((resolve) => ctx.signal.addEventListener('abort', resolve));
    a.kill();
    const refusing = await b.works.next();
    expect((await refusing.frames.next()).hello?.resume?.heldTokens).toEqual([1]);
    refusing.fail(refusal(status.FAILED_PRECONDITION, 'SESSION_UNKNOWN'));
    await aborted;
    expect((ctx.signal.reason as JobAbortedError).kind).toBe('lease-lost');
    const fresh = await (await b.works.next()).frames.next();
    expect(fresh.hello?.resume).toBeUndefined();
    expect(node).toBeDefined();
  });

  test('rule: attach and detach - a worker aborts its jobs after a grace without contact', async () => {
    const worker = make();
    const started = gate<JobContext>();
    worker.handle('f', (_job, ctx) => {
      started.open(ctx);
      return new Promise(() => {});
    });
    const begun = worker.start();
    const node = await Node.welcome(a, { sessionGrace: { seconds: 0, nanos: 50e6 } });
    await begun;
    node.send({ assignments: [assignment(1)] });
    const ctx = await started.promise;
    const aborted = new Promise((resolve) => ctx.signal.addEventListener('abort', resolve));
    b.kill();
    a.kill();
    await aborted;
    expect((ctx.signal.reason as JobAbortedError).kind).toBe('lease-lost');
  });
});

describe('another node', () => {
  test('rule: attach and detach - a worker attaches at the next endpoint with the tokens it holds; the outcome is accepted there', async () => {
    const worker = make({ concurrency: 4 });
    const hold = gate<string>();
    worker.handle('f', () => hold.promise);
    const succeeded = report(worker, 'succeeded');
    const node = await attached(worker);
    node.send({ assignments: [assignment(5)] });
    expect((await node.next()).acks).toEqual([5]);
    a.kill();
    const stream = await b.works.next();
    const first = await stream.frames.next();
    expect(first.hello?.resume?.sessionId).toBe(77);
    expect(Buffer.from(first.hello!.resume!.secret).toString()).toBe('secret-1');
    expect(first.hello?.resume?.heldTokens).toEqual([5]);
    expect(first.acks).toEqual([5]);
    expect(first.credit).toBe(3);
    expect(first.functionsChanged).toBeUndefined();
    const second = new Node(stream);
    second.send(welcome({ secret: Buffer.from('secret-2') }));
    hold.open('done');
    const frame = await second.next();
    expect(frame.outcomes[0]).toMatchObject({ leaseToken: 5, jobId: 'job-5', kind: OutcomeKind.COMPLETE });
    expect(frame.credit).toBe(4);
    second.send({ outcomeResults: [result(5)] });
    expect((await succeeded).leaseToken).toBe(5);
  });

  test('rule: outcome repeated - an outcome without an answer is said again after the resume, and its lease counts as held', async () => {
    const worker = make({ concurrency: 2 });
    worker.handle('f', () => 'r');
    const succeeded = report(worker, 'succeeded');
    const node = await attached(worker);
    node.send({ assignments: [assignment(5)] });
    expect((await node.next()).outcomes).toHaveLength(1);
    a.kill();
    const stream = await b.works.next();
    const first = await stream.frames.next();
    expect(first.hello?.resume?.heldTokens).toEqual([5]);
    expect(first.outcomes[0]).toMatchObject({ leaseToken: 5, jobId: 'job-5', kind: OutcomeKind.COMPLETE });
    expect(first.credit).toBe(2);
    stream.send(welcome());
    // The first saying had been applied, so the lease is over; the answer to the repeated one is what counts.
    stream.send(serve({ leasesLost: [{ leaseToken: 5, reason: 4 }] }));
    stream.send(serve({ outcomeResults: [result(5)] }));
    expect((await succeeded).leaseToken).toBe(5);
  });

  test('functions that changed without a connection are said when it is back', async () => {
    const worker = make().handle('f', () => undefined);
    const gone = new Promise((resolve) => {
      worker.on('session', (said) => {
        if (said.type === 'disconnected') resolve(said);
      });
    });
    await attached(worker);
    a.kill();
    b.kill();
    await gone;
    worker.handle('g', () => undefined);
    await b.restart();
    const first = await (await b.works.next()).frames.next();
    expect(first.functionsChanged?.functions.map((fn) => fn.name)).toEqual(['f', 'g']);
  });

  test('a refusal that may pass is told, and tried again', async () => {
    const worker = make().handle('f', () => undefined);
    const told = new Promise<Error>((resolve) => worker.once('error', resolve));
    const started = worker.start();
    (await a.works.next()).fail(refusal(status.RESOURCE_EXHAUSTED, 'LIMIT_REACHED'));
    expect(await told).toMatchObject({ reason: 'LIMIT_REACHED' });
    await Node.welcome(b);
    await started;
  });

  test('an outcome that found no leader is said again at another node', async () => {
    const worker = make();
    worker.handle('f', () => 'r');
    const node = await attached(worker);
    node.send({ assignments: [assignment(1)] });
    await node.next();
    node.send({ outcomeResults: [{ leaseToken: 1, revision: '', error: noLeader() }] });
    const first = await (await b.works.next()).frames.next();
    expect(first.outcomes.map((o) => o.leaseToken)).toEqual([1]);
  });

  test('rule: attach and detach - a worker drops its old stream first, and follows a redirect within its own list', async () => {
    const c = await FakeNode.start();
    const worker = make({ endpoints: [a.address, b.address, c.address] });
    worker.handle('f', () => undefined);
    const node = await attached(worker);
    node.send({ redirect: { endpoints: ['198.51.100.7:1', c.address], reason: 'no leader here' } });
    const first = await (await c.works.next()).frames.next();
    expect(first.hello?.resume?.sessionId).toBe(77);
    await node.ended;
    expect(b.works.size).toBe(0);
    c.kill();
  });

  test('a draining node is left with the jobs in hand', async () => {
    const worker = make();
    const hold = gate();
    worker.handle('f', () => hold.promise);
    const node = await attached(worker);
    node.send({ assignments: [assignment(3)] });
    await node.next();
    node.send({ drain: { reason: 'stopping' } });
    const first = await (await b.works.next()).frames.next();
    expect(first.hello?.resume?.heldTokens).toEqual([3]);
    hold.open();
  });

  test('a silent node is left after three heartbeats, and the worker sends its own', async () => {
    const worker = make();
    worker.handle('f', () => undefined);
    const started = worker.start();
    const node = await Node.welcome(a, { heartbeatInterval: { seconds: 0, nanos: 20e6 } });
    await started;
    expect(await node.next()).toMatchObject({ acks: [], credit: 0, outcomes: [] });
    const first = await (await b.works.next()).frames.next();
    expect(first.hello?.resume?.sessionId).toBe(77);
  });

  test('start rejects when the cluster refuses the worker for good', async () => {
    const worker = make();
    worker.handle('f', () => undefined);
    const started = worker.start();
    const stream = await a.works.next();
    stream.fail(refusal(status.PERMISSION_DENIED, 'PERMISSION_DENIED'));
    await expect(started).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
  });
});

describe('stop', () => {
  async function stopping(timeoutMs: number) {
    const worker = make({ concurrency: 2 });
    const hold = gate<string>();
    const started = gate<JobContext>();
    worker.handle('f', (_job, ctx) => {
      started.open(ctx);
      return hold.promise;
    });
    const node = await attached(worker);
    node.send({ assignments: [assignment(1)] });
    const ctx = await started.promise;
    await node.next();
    return { stopped: worker.stop({ timeoutMs }), node, hold, ctx };
  }

  async function farewell(node: Node, stopped: Promise<void>): Promise<void> {
    expect((await node.next()).goodbye).toBeDefined();
    node.end();
    await stopped;
  }

  test('takes no more, finishes what runs, and says goodbye', async () => {
    const { stopped, node, hold } = await stopping(10_000);
    expect((await node.next()).functionsChanged?.functions).toEqual([]);
    node.send({ assignments: [assignment(2)] }); // was on its way
    expect((await node.next()).outcomes[0]).toMatchObject({ leaseToken: 2, kind: OutcomeKind.RELEASE });
    hold.open('done');
    const frame = await node.next();
    expect(frame.outcomes[0]).toMatchObject({ leaseToken: 1, kind: OutcomeKind.COMPLETE });
    expect(frame.credit).toBe(0);
    node.send({ outcomeResults: [result(1), result(2)] });
    await farewell(node, stopped);
  });

  test('hands back what takes longer than the timeout', async () => {
    const { stopped, node, ctx } = await stopping(0);
    const frame = await node.next();
    expect(frame.functionsChanged?.functions).toEqual([]);
    expect(frame.outcomes[0]).toMatchObject({ leaseToken: 1, kind: OutcomeKind.RELEASE });
    expect((ctx.signal.reason as JobAbortedError).kind).toBe('stopping');
    node.send({ outcomeResults: [result(1)] });
    await farewell(node, stopped);
  });
});
