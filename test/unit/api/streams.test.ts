import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Consistency, JobState } from '../../../proto/gen/gearmesh/v1/common.js';
import {
  Disposition,
  JobEventKind,
  JobSpec,
  RunJobRequest,
  SubmitFrame,
  WatchJobRequest,
} from '../../../proto/gen/gearmesh/v1/job.js';
import { WatchQueuesRequest } from '../../../proto/gen/gearmesh/v1/queue.js';
import { toRevision } from '../../../src/api/revision.js';
import { GearmeshError } from '../../../src/core/errors.js';
import type { JobSpec as CoreSpec } from '../../../src/core/types.js';
import type { SubmitResult } from '../../../src/node/interface.js';
import { JOB_ID, jobView, OTHER_ID, queueView } from './fake-node.js';
import { Answers, type Bundle, startBundle, told, toldBy } from './harness.js';

let b: Bundle;
beforeEach(async () => {
  b = await startBundle({
    limits: { submitFramesInFlightMax: 4, followBytesMax: 200_000, pageBytes: 2_000 },
  });
});
afterEach(() => b.stop());

/** Answers submissions when the test says so. */
function holdSubmissions() {
  const held: (() => void)[] = [];
  const answer = b.node.submitAnswer;
  b.node.submitAnswer = (specs: readonly CoreSpec[]) =>
    new Promise<SubmitResult[]>((resolve) => {
      held.push(() => resolve(answer(specs)));
    });
  return held;
}

describe('SubmitStream', () => {
  const frame = (frameId: number, ...functions: string[]) =>
    SubmitFrame.create({ frameId, jobs: functions.map((fn) => ({ function: fn })) });

  test('frames are pipelined and answered in order, each as one call', async () => {
    const held = holdSubmissions();
    const stream = b.job.submitStream();
    const answers = new Answers(stream);
    for (const id of [1, 2, 3]) stream.write(frame(id, 'f', 'g'));
    await b.node.until(() => held.length === 3);
    expect(b.node.calls.map((call) => call[2])).toEqual([2, 2, 2]);
    held[2]!();
    held[1]!();
    // A fourth, refused by the checks at once: its answer waits for its turn as well.
    stream.write(SubmitFrame.create({ frameId: 4 }));
    stream.end();
    held[0]!();
    expect(await answers.end).toBeNull();
    expect(answers.all.map(({ frameId }) => frameId)).toEqual([1, 2, 3, 4]);
    expect(answers.all.slice(0, 3).map(({ results }) => results.length)).toEqual([2, 2, 2]);
    expect(toldBy(answers.all[3]!.error!)).toMatchObject({ reason: 'INVALID_FIELD', fields: ['jobs'] });
    expect(answers.all[0]!.serverTime).toEqual({ seconds: 1_700_000_000, nanos: 500_000_000 });
  });

  test('no more frames are read than may wait', async () => {
    const held = holdSubmissions();
    const stream = b.job.submitStream();
    const answers = new Answers(stream);
    for (let id = 1; id <= 30; id++) stream.write(frame(id, 'f'));
    await b.node.until(() => held.length === 4);
    for (let settled = 0; settled < 30; settled++) {
      await b.node.until(() => held.length > settled);
      expect(held.length).toBeLessThanOrEqual(settled + 4);
      held[settled]!();
      await answers.count(settled + 1);
    }
    stream.end();
    expect(await answers.end).toBeNull();
    expect(answers.all.map(({ frameId }) => frameId)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
  });

  test('the error of one frame does not end the stream', async () => {
    const good = b.node.submitAnswer;
    b.node.submitAnswer = () => Promise.reject(new GearmeshError('NO_LEADER'));
    const stream = b.job.submitStream();
    const answers = new Answers(stream);
    stream.write(frame(1, 'f'));
    await answers.count(1);
    expect(toldBy(answers.all[0]!.error!)).toMatchObject({ code: status.UNAVAILABLE, reason: 'NO_LEADER' });
    b.node.submitAnswer = good;
    stream.write(frame(2, 'f'));
    stream.end();
    await answers.end;
    expect(answers.all[1]).toMatchObject({ frameId: 2, error: undefined });
  });

  test('a draining node answers what it took, then says so', async () => {
    const held = holdSubmissions();
    const stream = b.job.submitStream();
    const answers = new Answers(stream);
    stream.write(frame(1, 'f'));
    await b.node.until(() => held.length === 1);
    b.server.drain('test');
    held[0]!();
    const error = told(await answers.end);
    expect(answers.all.map(({ frameId }) => frameId)).toEqual([1]);
    expect(error).toMatchObject({ code: status.UNAVAILABLE, reason: 'SHUTTING_DOWN' });
    expect(error.metadata.outcome).toBe('NOT_APPLIED');
  });
});

describe('RunJob and WatchJob', () => {
  const kinds = (answers: Answers<{ kind: JobEventKind }>) =>
    answers.all.map(({ kind }) => JobEventKind[kind]);

  test('RunJob: from acceptance to exactly one end', async () => {
    const events = new Answers(
      b.job.runJob(RunJobRequest.create({ job: JobSpec.create({ id: JOB_ID, function: 'resize' }) })),
    );
    await b.node.until(() => b.node.watchers.length === 1);
    expect(b.node.submitted[0]![0]).toMatchObject({ foreground: true });
    expect(b.node.calls.at(-1)).toEqual(['watchJob', 'default', JOB_ID, 'eventual']);
    const watcher = b.node.watchers[0]!;
    const attempts = [{ number: 1, worker: 'w', node: 'n1', startedWall: 1, endedWall: 2, error: null }];
    const error = { code: 'E', message: 'no', details: Buffer.alloc(0) };
    watcher.state('accepted', jobView());
    watcher.state('started', jobView({ state: 'running', attempt: 1, attempts }));
    watcher.progress(1, 2, 'half');
    watcher.data(1, 0, [Buffer.from('x'), Buffer.from('y')]);
    watcher.dataGap(1, 2, 5);
    watcher.state(
      'attempt-failed',
      jobView({
        state: 'scheduled',
        dueWall: 1_700_000_001_000,
        attempts: [{ ...attempts[0]!, error }],
      }),
    );
    watcher.state('queued', jobView());
    watcher.state('cancelling', jobView({ state: 'running' }));
    watcher.state(
      'ended',
      jobView({ state: 'succeeded', result: Buffer.from('done'), resultContentType: 't', dataCount: 6 }),
    );
    expect(await events.end).toBeNull();
    expect(kinds(events)).toEqual([
      'ACCEPTED',
      'STARTED',
      'PROGRESS',
      'DATA',
      'DATA_GAP',
      'ATTEMPT_FAILED',
      'QUEUED',
      'CANCELLING',
      'ENDED',
    ]);
    const [accepted, started, progress, data, gap, failed] = events.all;
    expect(accepted).toMatchObject({
      disposition: Disposition.CREATED,
      state: JobState.QUEUED,
      jobId: JOB_ID,
    });
    expect(started).toMatchObject({ attempt: 1, worker: 'w' });
    expect(progress!.progress).toEqual({ numerator: 1, denominator: 2, message: 'half' });
    expect(progress!.attempt).toBe(started!.attempt);
    expect(data).toMatchObject({ attempt: 1, dataFirst: 0 });
    expect(data!.data.map(String)).toEqual(['x', 'y']);
    expect(gap).toMatchObject({ gapFrom: 2, gapTo: 5 });
    expect(failed).toMatchObject({ error: { code: 'E' }, retryAt: { seconds: 1_700_000_001 } });
    const ended = events.all.at(-1)!;
    expect(ended).toMatchObject({ state: JobState.SUCCEEDED, dataCount: 6, resultContentType: 't' });
    expect(String(ended.result)).toBe('done');
    await b.node.until(() => b.node.watchesClosed === 1);
  });

  test('RunJob refuses what the submission refuses', async () => {
    b.node.submitAnswer = async () => [
      {
        jobId: '',
        seq: 0,
        disposition: 'created',
        state: 'queued',
        revision: 0,
        error: new GearmeshError('ID_REUSED'),
      },
    ];
    const events = new Answers(b.job.runJob(RunJobRequest.create({ job: { function: 'f' } })));
    expect(told(await events.end)).toMatchObject({ code: status.ALREADY_EXISTS, reason: 'ID_REUSED' });
  });

  test('a client that goes away ends its watch', async () => {
    const stream = b.job.watchJob(WatchJobRequest.create({ jobId: JOB_ID }));
    const events = new Answers(stream);
    await b.node.until(() => b.node.watchers.length === 1);
    b.node.watchers[0]!.state('accepted', jobView({ id: OTHER_ID }));
    await events.count(1);
    stream.cancel();
    await b.node.until(() => b.node.watchesClosed === 1);
    expect(b.counted).toContain('WatchJob CANCELLED');
  });

  test('a watch that fails says why', async () => {
    const events = new Answers(b.job.watchJob(WatchJobRequest.create({ jobId: JOB_ID })));
    await b.node.until(() => b.node.watchers.length === 1);
    b.node.watchers[0]!.failed(new GearmeshError('NOT_FOUND'));
    expect(told(await events.end)).toMatchObject({ code: status.NOT_FOUND });
    await b.node.until(() => b.node.watchesClosed === 1);
  });

  test('a slow follower gets a gap instead of a heap of data, and every state', async () => {
    const stream = b.job.watchJob(WatchJobRequest.create({ jobId: JOB_ID }));
    await b.node.until(() => b.node.watchers.length === 1);
    const watcher = b.node.watchers[0]!;
    watcher.state('accepted', jobView());
    const chunks = 300;
    for (let i = 0; i < chunks; i++) watcher.data(1, i, [Buffer.alloc(10_000)]);
    watcher.state('ended', jobView({ state: 'succeeded', dataCount: chunks }));
    // Only now does the client begin to read.
    const events = new Answers(stream);
    expect(await events.end).toBeNull();
    const got = events.all.filter(({ kind }) => kind === JobEventKind.DATA).length;
    const gaps = events.all.filter(({ kind }) => kind === JobEventKind.DATA_GAP);
    const missed = gaps.reduce((sum, { gapFrom, gapTo }) => sum + gapTo - gapFrom + 1, 0);
    expect(gaps.length).toBeGreaterThan(0);
    expect(got + missed).toBe(chunks);
    expect(kinds(events).at(-1)).toBe('ENDED');
  });
});

describe('WatchQueues', () => {
  test('a snapshot, then what changed', async () => {
    const stream = b.queue.watchQueues(WatchQueuesRequest.create({}));
    const updates = new Answers(stream);
    await updates.count(1);
    expect(updates.all[0]).toMatchObject({ snapshot: true, more: false, removed: [] });
    expect(updates.all[0]!.queues.map((queue) => queue.function)).toEqual(['a', 'b']);
    b.node.queuesChanged(); // nothing differs: nothing is sent
    b.node.queues = [queueView('a'), queueView('c', { running: 99 })];
    b.node.queuesChanged();
    await updates.count(2);
    expect(updates.all[1]).toMatchObject({
      snapshot: false,
      queues: [{ function: 'c', running: 99 }],
      removed: [{ namespace: 'default', function: 'b' }],
    });
    stream.cancel();
    await b.node.until(() => b.node.calls.at(-1)![0] === 'queues unwatched');
  });

  test('begins as new as the caller asks, and goes on with what the node has', async () => {
    const asked = b.node.calls.length;
    const request = { consistency: Consistency.EVENTUAL, minRevision: toRevision(77) };
    const stream = b.queue.watchQueues(WatchQueuesRequest.create(request));
    const updates = new Answers(stream);
    await updates.count(1);
    b.node.queues = [queueView('d')];
    b.node.queuesChanged();
    await updates.count(2);
    const reads = b.node.calls.slice(asked).filter(([call]) => call === 'listQueues');
    expect(reads[0]).toEqual(['listQueues', 'default', 'eventual', 77]);
    expect(reads[1]).toEqual(['listQueues', 'default', 'eventual', 0]);
    stream.cancel();
  });

  test('a large snapshot comes in several messages', async () => {
    b.node.queues = Array.from({ length: 100 }, (_, i) => queueView(`q${i}`));
    const stream = b.queue.watchQueues(WatchQueuesRequest.create({ allNamespaces: true }));
    const updates = new Answers(stream);
    await updates.until((all) => all.length > 0 && !all.at(-1)!.more);
    expect(updates.all.length).toBeGreaterThan(2);
    expect(updates.all.every(({ snapshot }) => snapshot)).toBe(true);
    expect(updates.all.flatMap(({ queues }) => queues)).toHaveLength(100);
    stream.cancel();
  });

  test('only the functions that were asked for', async () => {
    const stream = b.queue.watchQueues(WatchQueuesRequest.create({ functions: ['b'] }));
    const updates = new Answers(stream);
    await updates.count(1);
    expect(updates.all[0]!.queues.map((queue) => queue.function)).toEqual(['b']);
    stream.cancel();
  });
});
