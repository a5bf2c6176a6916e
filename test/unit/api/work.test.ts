import { type ClientDuplexStream, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  LeaseLostReason,
  OutcomeKind,
  ServeFrame,
  WorkFrame,
} from '../../../proto/gen/gearmesh/v1/worker.js';
import { toRevision } from '../../../src/api/revision.js';
import { SERVE_FRAME_TAGS, ServeFrames } from '../../../src/api/serve-frames.js';
import { GearmeshError } from '../../../src/core/errors.js';
import { assignment, JOB_ID } from './fake-node.js';
import { HandClock } from './hand-clock.js';
import { Answers, type Bundle, startBundle, told, toldBy } from './harness.js';

let b: Bundle;
let clock: HandClock;
beforeEach(async () => {
  clock = new HandClock();
  b = await startBundle({
    clock,
    limits: { assignmentsWaitingMax: 10, heartbeatMs: 5_000, slowReaderMs: 30_000, leaderlessMs: 1e9 },
  });
});
afterEach(async () => {
  const stopped = b.stop();
  clock.advance(1);
  await stopped;
});

type Stream = ClientDuplexStream<WorkFrame, ServeFrame>;
const HELLO = { workerName: 'w', functions: [{ name: 'f', concurrency: 2 }] };
const send = (stream: Stream, frame: Parameters<typeof WorkFrame.create>[0]) =>
  stream.write(WorkFrame.create(frame));

/** A worker whose session is open. */
async function attach(frame: Parameters<typeof WorkFrame.create>[0] = { hello: HELLO, credit: 4 }) {
  const stream: Stream = b.worker.work();
  const answers = new Answers<ServeFrame>(stream);
  send(stream, frame);
  await answers.count(1);
  return { stream, answers, session: b.node.sessions.at(-1)!, port: b.node.ports.at(-1)! };
}

const said = (session: { said: unknown[][] }, what: string) => session.said.filter(([verb]) => verb === what);
const outcome = (leaseToken: number) => ({ leaseToken, jobId: JOB_ID, kind: OutcomeKind.COMPLETE });

describe('the life of a session', () => {
  test('hello, welcome, jobs, answers, goodbye', async () => {
    const { stream, answers, session, port } = await attach();
    expect(b.node.calls.at(-1)).toEqual([
      'openSession',
      'default',
      'w',
      [{ name: 'f', concurrency: 2, runTimeoutMs: 0 }],
      true,
      4,
    ]);
    expect(answers.all[0]!.welcome).toMatchObject({
      sessionId: 7,
      node: 'n1',
      cluster: 'test',
      heartbeatInterval: { seconds: 5 },
      sessionGrace: { seconds: 10 },
      limits: { payloadBytesMax: 262_144, creditsMax: 10_000 },
    });
    expect(String(answers.all[0]!.welcome!.secret)).toBe('secret');

    // Jobs leave at once where nothing else is to leave in this turn; else all of it is one frame.
    port.assigned([assignment(10, 'zero')]);
    port.cancelRequested(11, 'why', 2_000);
    port.leasesLost([{ token: 12, reason: 'timeout' }]);
    port.assigned([assignment(11, 'one'), assignment(12, 'two')]);
    port.assigned([assignment(13, 'three')]);
    await answers.count(3);
    const given = answers.all
      .slice(1)
      .map(({ assignments }) => assignments.map(({ leaseToken, payload }) => [leaseToken, String(payload)]));
    expect(given).toEqual([
      [[10, 'zero']],
      [
        [11, 'one'],
        [12, 'two'],
        [13, 'three'],
      ],
    ]);
    const frame = answers.all[2]!;
    expect(frame.assignments[0]).toMatchObject({
      jobId: JOB_ID,
      attempt: 1,
      maxAttempts: 5,
      function: 'resize',
    });
    expect(frame.cancels).toMatchObject([{ leaseToken: 11, reason: 'why', grace: { seconds: 2 } }]);
    expect(frame.leasesLost).toEqual([{ leaseToken: 12, reason: LeaseLostReason.TIMEOUT }]);

    send(stream, {
      acks: [11, 13],
      progress: [{ leaseToken: 11, progress: { numerator: 1, denominator: 2, message: 'm' } }],
      data: [{ leaseToken: 13, first: 0, chunks: [Buffer.from('x')] }],
      outcomes: [outcome(11), { leaseToken: 13, jobId: JOB_ID, kind: OutcomeKind.RELEASE, reason: 'r' }],
      credit: 6,
    });
    await answers.count(4);
    expect(session.said).toEqual([
      ['ack', [11, 13]],
      ['progress', 11, 1, 2, 'm'],
      ['data', 13, 0, ['x']],
      ['settle', ['complete 11', 'release 13'], 6],
    ]);
    expect(answers.all[3]!.outcomeResults).toEqual([
      { leaseToken: 11, revision: toRevision(200), error: undefined },
      { leaseToken: 13, revision: toRevision(200), error: undefined },
    ]);

    send(stream, { functionsChanged: { functions: [{ name: 'g' }] } });
    send(stream, { outcomes: [outcome(14)], goodbye: {} });
    expect(await answers.end).toBeNull();
    expect(answers.all[4]!.outcomeResults[0]!.leaseToken).toBe(14);
    expect(session.said.slice(4)).toEqual([['functions', ['g']], ['settle', ['complete 14'], 6], ['close']]);
  });

  test('a session is resumed by its secret, and learns what it lost', async () => {
    const resume = { sessionId: 7, secret: Buffer.from('s3'), heldTokens: [8, 9] };
    const { answers, session } = await attach({ hello: { resume }, credit: 3, outcomes: [outcome(8)] });
    expect(b.node.calls.at(-1)).toEqual(['attachSession', 7, 's3', [8, 9]]);
    expect(answers.all[0]!.leasesLost).toEqual([{ leaseToken: 9, reason: LeaseLostReason.RELEASED }]);
    await answers.count(2);
    expect(session.said).toEqual([['settle', ['complete 8'], 3]]);
  });

  test('an unknown session is refused', async () => {
    b.node.openAnswer = () => Promise.reject(new GearmeshError('SESSION_UNKNOWN'));
    const stream: Stream = b.worker.work();
    const answers = new Answers<ServeFrame>(stream);
    send(stream, { hello: { resume: { sessionId: 7, secret: Buffer.from('x') } } });
    expect(told(await answers.end)).toMatchObject({
      code: status.FAILED_PRECONDITION,
      reason: 'SESSION_UNKNOWN',
    });
  });

  test('a stream that breaks detaches its session, once', async () => {
    const { stream, session } = await attach();
    stream.cancel();
    await b.node.until(() => said(session, 'detach').length > 0);
    expect(session.said).toEqual([['detach']]);
  });

  test('a half close without goodbye detaches as well', async () => {
    const { stream, answers, session } = await attach();
    stream.end();
    expect(await answers.end).toBeNull();
    await b.node.until(() => said(session, 'detach').length > 0);
  });

  test('a stream that breaks while its session is being opened detaches it', async () => {
    let go = () => {};
    b.node.openAnswer = () => new Promise((resolve) => (go = resolve));
    const stream: Stream = b.worker.work();
    const answers = new Answers<ServeFrame>(stream);
    send(stream, { hello: HELLO });
    await b.node.until(() => b.node.calls.length > 0);
    stream.cancel();
    await answers.end;
    while (!b.counted.includes('Work CANCELLED')) await new Promise(setImmediate);
    go();
    await b.node.until(() => b.node.sessions.length > 0 && said(b.node.sessions[0]!, 'detach').length > 0);
  });

  test('drain, redirect, and the end of the session', async () => {
    const { answers, port, session } = await attach();
    port.drain('stopping');
    port.redirect(['h:1', 'h:2'], 'stopping');
    await answers.count(2);
    expect(answers.all[1]).toMatchObject({
      drain: { reason: 'stopping' },
      redirect: { endpoints: ['h:1', 'h:2'], reason: 'stopping' },
    });
    port.closed(new GearmeshError('SESSION_UNKNOWN'));
    expect(told(await answers.end).reason).toBe('SESSION_UNKNOWN');
    expect(said(session, 'detach')).toEqual([]);
  });
});

describe('heartbeats', () => {
  test('both sides hear from each other; silence detaches', async () => {
    const { stream, answers, session } = await attach();
    clock.advance(5_000);
    await answers.count(2);
    expect(answers.all[1]).toEqual(ServeFrame.create({}));
    clock.advance(5_000);
    send(stream, { acks: [1] });
    await b.node.until(() => said(session, 'ack').length > 0);
    clock.advance(14_000);
    expect(said(session, 'detach')).toEqual([]);
    clock.advance(10_000);
    expect(told(await answers.end)).toMatchObject({ code: status.CANCELLED });
    expect(said(session, 'detach')).toHaveLength(1);
  });

  test('the worker may name its own interval', async () => {
    const heartbeatInterval = { seconds: 60, nanos: 0 };
    const { answers, session, stream } = await attach({ hello: { ...HELLO, heartbeatInterval } });
    await clock.walk(100_000, 5_000);
    expect(said(session, 'detach')).toEqual([]);
    await clock.walk(100_000, 5_000);
    expect(told(await answers.end)).toMatchObject({ code: status.CANCELLED });
    stream.end();
  });
});

describe('credit', () => {
  test('rule: attach and detach - credit on a stream is cumulative: what was said before changes nothing', async () => {
    const { stream, session } = await attach({ hello: HELLO, credit: 2 });
    for (const credit of [2, 0, 5, 5, 4, 6]) send(stream, { credit });
    send(stream, { acks: [1] });
    await b.node.until(() => said(session, 'ack').length > 0);
    expect(said(session, 'credit')).toEqual([
      ['credit', 5],
      ['credit', 6],
    ]);
  });

  test('beyond the room for jobs it is held back until those went out', async () => {
    const { answers, session, port } = await attach({ hello: HELLO, credit: 25 });
    expect(b.node.calls.at(-1)![5]).toBe(10);
    port.assigned(Array.from({ length: 10 }, (_, i) => assignment(i + 1)));
    await b.node.until(() => said(session, 'credit').length === 1);
    port.assigned(Array.from({ length: 10 }, (_, i) => assignment(i + 11)));
    await b.node.until(() => said(session, 'credit').length === 2);
    expect(said(session, 'credit')).toEqual([
      ['credit', 20],
      ['credit', 25],
    ]);
    await answers.until((all) => all.flatMap(({ assignments }) => assignments).length === 20);
  });

  test('a worker that does not read is given up after a while', async () => {
    const stream: Stream = b.worker.work();
    send(stream, { hello: HELLO, credit: 10 });
    await b.node.until(() => b.node.sessions.length === 1);
    const session = b.node.sessions[0]!;
    for (let i = 0; i < 10; i++) {
      b.node.ports[0]!.assigned(Array.from({ length: 10 }, (_, k) => assignment(k + 1, 'x'.repeat(250_000))));
      await new Promise(setImmediate);
    }
    clock.advance(60_000);
    const answers = new Answers<ServeFrame>(stream);
    expect(told(await answers.end)).toMatchObject({
      reason: 'LIMIT_REACHED',
      metadata: { limit: 'slow-reader-ms' },
    });
    expect(said(session, 'detach')).toHaveLength(1);
  });
});

describe('what a worker may say wrong', () => {
  test.each([
    [{ acks: [1] }, ['hello']],
    [{ hello: {} }, ['hello.worker_name']],
    [{ hello: { ...HELLO, namespace: 'a\nb' } }, ['hello.namespace']],
    [
      { hello: { workerName: 'w', functions: [{ name: 'f' }, { name: 'f' }, { name: '' }] } },
      ['hello.functions[1].name', 'hello.functions[2].name'],
    ],
    [{ hello: { ...HELLO, heartbeatInterval: { seconds: 0, nanos: 1 } } }, ['hello.heartbeat_interval']],
    [{ hello: { resume: { sessionId: 0 } } }, ['hello.resume.session_id']],
  ])('%j: refused, naming %j', async (frame, fields) => {
    const stream: Stream = b.worker.work();
    const answers = new Answers<ServeFrame>(stream);
    send(stream, frame);
    const error = told(await answers.end);
    expect(error).toMatchObject({ code: status.INVALID_ARGUMENT, reason: 'INVALID_FIELD', fields });
    expect(b.node.sessions).toEqual([]);
  });

  test('a second hello ends the stream and detaches', async () => {
    const { stream, answers, session } = await attach();
    send(stream, { hello: HELLO });
    expect(told(await answers.end).fields).toEqual(['hello']);
    expect(said(session, 'detach')).toHaveLength(1);
  });

  test('a bad outcome is answered alone; the others count', async () => {
    const { stream, answers, session } = await attach();
    const large = { ...outcome(3), result: Buffer.alloc(262_145) };
    send(stream, { outcomes: [outcome(1), { leaseToken: 2, jobId: 'x' }, large, outcome(4)] });
    await answers.until((all) => all.flatMap(({ outcomeResults }) => outcomeResults).length === 4);
    const results = new Map(
      answers.all
        .flatMap(({ outcomeResults }) => outcomeResults)
        .map(({ leaseToken, error }) => [leaseToken, error && toldBy(error)]),
    );
    expect(results.get(1)).toBeUndefined();
    expect(results.get(2)).toMatchObject({ fields: ['outcomes[1].job_id', 'outcomes[1].kind'] });
    expect(results.get(3)).toMatchObject({ reason: 'PAYLOAD_TOO_LARGE' });
    expect(said(session, 'settle')).toEqual([['settle', ['complete 1', 'complete 4'], 4]]);
  });

  test('outcomes that the node could not settle are each answered', async () => {
    const { stream, answers, session } = await attach();
    session.answer = () => Promise.reject(new GearmeshError('NO_LEADER', { outcome: 'UNKNOWN' }));
    send(stream, { outcomes: [outcome(1), outcome(2)] });
    await answers.count(2);
    const codes = answers.all[1]!.outcomeResults.map(({ error }) => toldBy(error!).reason);
    expect(codes).toEqual(['OUTCOME_UNKNOWN', 'OUTCOME_UNKNOWN']);
  });
});

describe('frames', () => {
  test('the tags are those of the generated code', () => {
    const whole = ServeFrame.create({
      welcome: {},
      assignments: [{}],
      outcomeResults: [{}],
      leasesLost: [{}],
      cancels: [{}],
      drain: {},
      redirect: {},
    });
    const bytes = ServeFrame.encode(whole).finish();
    expect([...bytes].filter((_, i) => i % 2 === 0)).toEqual(Object.values(SERVE_FRAME_TAGS));
  });

  test('a frame that has grown large is closed, and nothing is lost', () => {
    const frames = new ServeFrames(10_000);
    for (let i = 1; i <= 50; i++) {
      frames.leaseLost({ leaseToken: i, reason: LeaseLostReason.TIMEOUT });
      frames.drain({ reason: 'x'.repeat(1_000) });
    }
    const made = frames.take();
    expect(made.length).toBeGreaterThan(3);
    for (const frame of made) expect(frame.length).toBeLessThan(14_000);
    const tokens = made.flatMap((f) => ServeFrame.decode(f).leasesLost.map(({ leaseToken }) => leaseToken));
    expect(tokens).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
    expect(frames.empty).toBe(true);
  });
});
