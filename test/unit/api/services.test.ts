import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ClusterServiceService, NodeRole, Settings } from '../../../proto/gen/gearmesh/v1/cluster.js';
import { Consistency, JobState, JobView, Priority } from '../../../proto/gen/gearmesh/v1/common.js';
import {
  Disposition,
  GetJobRequest,
  JobServiceService,
  JobSpec,
  ListJobsRequest,
} from '../../../proto/gen/gearmesh/v1/job.js';
import { ListQueuesRequest, QueueServiceService } from '../../../proto/gen/gearmesh/v1/queue.js';
import {
  CompleteJobRequest,
  FailJobRequest,
  LeaseJobsRequest,
  WorkerServiceService,
} from '../../../proto/gen/gearmesh/v1/worker.js';
import { toRevision } from '../../../src/api/revision.js';
import { GearmeshError } from '../../../src/core/errors.js';
import { JOB_ID, jobView, OTHER_ID, queueView } from './fake-node.js';
import { Answers, type Bundle, refusal, startBundle, toldBy, unary } from './harness.js';

/** Every unary call once: what reaches the node, and what comes back. */

let b: Bundle;
beforeAll(async () => {
  b = await startBundle();
});
afterAll(() => b.stop());

const seconds = (s: number) => ({ seconds: s, nanos: 0 });

test('SubmitJob hands every field on', async () => {
  const job = JobSpec.create({
    id: JOB_ID,
    function: 'resize',
    payload: Buffer.from('abc'),
    contentType: 'image/png',
    metadata: { zebra: '1', ant: '2', __proto__x: '3' },
    priority: Priority.HIGH,
    delay: { seconds: 1, nanos: 1 },
    uniqueKey: 'u',
    retry: { maxAttempts: 3, multiplier: 1.5, jitter: 0 },
    runTimeout: seconds(9),
    startDeadline: { seconds: 1_800_000_000, nanos: 999_999_999 },
    resultRetention: seconds(0),
    traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
  });
  const result = await unary(b.job, JobServiceService.submitJob, { namespace: 'ns', job });
  expect(result).toMatchObject({
    jobId: JOB_ID,
    disposition: Disposition.CREATED,
    state: JobState.QUEUED,
    revision: toRevision(100),
    serverTime: { seconds: 1_700_000_000, nanos: 500_000_000 },
  });
  expect(b.node.calls.at(-1)).toEqual(['submit', 'ns', 1, false]);
  expect(b.node.submitted.at(-1)![0]).toEqual({
    id: JOB_ID,
    function: 'resize',
    payload: Buffer.from('abc'),
    contentType: 'image/png',
    metadata: [
      ['__proto__x', '3'],
      ['ant', '2'],
      ['zebra', '1'],
    ],
    priority: 0,
    runAtWall: 0,
    delayMs: 1_001,
    uniqueKey: 'u',
    retry: {
      maxAttempts: 3,
      initialBackoffMs: 1_000,
      maxBackoffMs: 300_000,
      multiplierPermille: 1_500,
      jitterPermille: 0,
    },
    runTimeoutMs: 9_000,
    startDeadlineWall: 1_800_000_000_999,
    retentionMs: 0,
    traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
    foreground: false,
    seed: 5,
  });
});

test('a job without id gets one, and defaults stay open', async () => {
  const result = await unary(b.job, JobServiceService.submitJob, {
    namespace: '',
    job: JobSpec.create({ function: 'f' }),
  });
  expect(result.jobId).toBe(OTHER_ID);
  expect(b.node.calls.at(-1)).toEqual(['submit', 'default', 1, false]);
  expect(b.node.submitted.at(-1)![0]).toMatchObject({
    priority: 1,
    retry: null,
    retentionMs: -1,
    delayMs: 0,
  });
});

test('SubmitJobs answers by position, and a bad job holds up no other', async () => {
  const jobs = [
    JobSpec.create({ id: JOB_ID, function: 'f' }),
    JobSpec.create({ id: 'short', function: '' }),
    JobSpec.create({ id: OTHER_ID, function: 'g' }),
  ];
  const { results } = await unary(b.job, JobServiceService.submitJobs, {
    namespace: '',
    jobs,
    allOrNothing: false,
  });
  expect(results.map(({ jobId }) => jobId)).toEqual([JOB_ID, '', OTHER_ID]);
  expect(toldBy(results[1]!.error!)).toMatchObject({
    reason: 'INVALID_FIELD',
    fields: ['jobs[1].id', 'jobs[1].function'],
  });
  expect(b.node.submitted.at(-1)!.map((spec) => spec.function)).toEqual(['f', 'g']);
});

test('with all_or_nothing a bad job refuses them all', async () => {
  const before = b.node.submitted.length;
  const jobs = [
    JobSpec.create({ function: 'f' }),
    JobSpec.create({}),
    JobSpec.create({ id: 'x', function: 'f' }),
  ];
  const told = await refusal(
    unary(b.job, JobServiceService.submitJobs, { namespace: '', jobs, allOrNothing: true }),
  );
  expect(told).toMatchObject({ code: status.INVALID_ARGUMENT, fields: ['jobs[1].function', 'jobs[2].id'] });
  expect(b.node.submitted).toHaveLength(before);
});

test('GetJob shows the job, without payload unless asked', async () => {
  b.node.job = (id) =>
    jobView({
      id,
      state: 'failed',
      priority: 2,
      token: 77,
      attempt: 1,
      attempts: [
        {
          number: 1,
          worker: 'w',
          node: 'n1',
          startedWall: 1_700_000_000_000,
          endedWall: 0,
          error: { code: 'X', message: 'm', details: Buffer.from('d') },
        },
      ],
      result: Buffer.from('four'),
      retentionMs: 5_000,
    });
  const request = GetJobRequest.create({
    jobId: JOB_ID,
    minRevision: toRevision(55),
    consistency: Consistency.EVENTUAL,
  });
  const basic = await unary(b.job, JobServiceService.getJob, request);
  expect(b.node.calls.at(-1)).toEqual(['getJob', 'default', JOB_ID, 'eventual', 55]);
  expect(basic).toMatchObject({
    id: JOB_ID,
    state: JobState.FAILED,
    priority: Priority.LOW,
    payloadSize: 7,
    resultSize: 4,
    metadata: { k: 'v' },
    leaseToken: 77,
    gearmanHandle: 'H:test:42',
    revision: toRevision(100),
    resultRetention: seconds(5),
    retry: { multiplier: 2, jitter: 0.2 },
  });
  expect(basic.payload).toHaveLength(0);
  expect(basic.attempts[0]!.error!.details).toHaveLength(0);
  const full = await unary(b.job, JobServiceService.getJob, { ...request, view: JobView.FULL });
  expect(String(full.payload)).toBe('payload');
  expect(String(full.result)).toBe('four');
  expect(String(full.attempts[0]!.error!.details)).toBe('d');
});

test('ListJobs goes on where the page ended, for the same query alone', async () => {
  b.node.nextSeq = 42;
  const request = ListJobsRequest.create({ function: 'f', states: [JobState.FAILED, JobState.QUEUED] });
  const page = await unary(b.job, JobServiceService.listJobs, request);
  expect(page.jobs).toHaveLength(1);
  expect(b.node.calls.at(-1)![1]).toMatchObject({
    function: 'f',
    states: ['failed', 'queued'],
    pageSize: 100,
    after: 0,
  });
  const states = [JobState.QUEUED, JobState.FAILED];
  await unary(b.job, JobServiceService.listJobs, { ...request, states, pageToken: page.nextPageToken });
  expect(b.node.calls.at(-1)![1]).toMatchObject({ after: 42 });
  for (const other of [
    { ...request, function: 'g' },
    { ...request, namespace: 'other' },
    { ...request, states: [] },
    { ...request, uniqueKey: 'u' },
  ]) {
    const told = await refusal(
      unary(b.job, JobServiceService.listJobs, { ...other, pageToken: page.nextPageToken }),
    );
    expect(told.fields).toEqual(['page_token']);
  }
  b.node.nextSeq = 0;
  expect((await unary(b.job, JobServiceService.listJobs, request)).nextPageToken).toBe('');
});

test('a page of large jobs ends early and goes on behind its last', async () => {
  const payload = Buffer.alloc(200_000);
  b.node.jobs = Array.from({ length: 20 }, (_, i) => jobView({ seq: i + 1, payload }));
  const request = ListJobsRequest.create({ view: JobView.FULL });
  const page = await unary(b.job, JobServiceService.listJobs, request);
  expect(page.jobs).toHaveLength(5);
  await unary(b.job, JobServiceService.listJobs, { ...request, pageToken: page.nextPageToken });
  expect(b.node.calls.at(-1)![1]).toMatchObject({ after: 5 });
});

test('CancelJob, RetryJob, DeleteJob', async () => {
  const job = { namespace: 'ns', jobId: JOB_ID };
  const grace = { seconds: 0, nanos: 0 };
  const cancelled = await unary(b.job, JobServiceService.cancelJob, {
    ...job,
    reason: 'why',
    grace: undefined,
  });
  expect(cancelled.revision).toBe(toRevision(101));
  expect(b.node.calls.at(-1)).toEqual(['cancelJob', 'ns', JOB_ID, 'why', 30_000]);
  await unary(b.job, JobServiceService.cancelJob, { ...job, reason: '', grace });
  expect(b.node.calls.at(-1)).toEqual(['cancelJob', 'ns', JOB_ID, '', 0]);
  expect((await unary(b.job, JobServiceService.retryJob, job)).revision).toBe(toRevision(102));
  expect((await unary(b.job, JobServiceService.deleteJob, job)).revision).toBe(toRevision(103));
});

test('the unary twins of a worker', async () => {
  const leased = await unary(
    b.worker,
    WorkerServiceService.leaseJobs,
    LeaseJobsRequest.create({ workerName: 'w', functions: ['f', 'g'], wait: seconds(2), requestId: 'r' }),
  );
  expect(leased.assignments[0]).toMatchObject({
    leaseToken: 11,
    jobId: JOB_ID,
    function: 'resize',
    attempt: 1,
  });
  expect(leased.assignments[0]!.deadline).toEqual(seconds(1_700_000_100));
  expect(b.node.calls.at(-1)![1]).toMatchObject({
    namespace: 'default',
    worker: 'w',
    maxJobs: 1,
    waitMs: 2_000,
    durationMs: 60_000,
    requestId: 'r',
    functions: [{ name: 'f' }, { name: 'g' }],
  });

  expect(leased.revision).toBe(toRevision(100));

  const { extensions, revision } = await unary(b.worker, WorkerServiceService.extendLeases, {
    leaseTokens: [1, 2],
    leaseDuration: seconds(5),
  });
  expect(revision).toBe(toRevision(110));
  expect(extensions[0]).toMatchObject({ leaseToken: 1, deadline: seconds(1_700_000_009) });
  expect(toldBy(extensions[1]!.error!).reason).toBe('LEASE_LOST');

  const none = await unary(b.worker, WorkerServiceService.extendLeases, {
    leaseTokens: [2],
    leaseDuration: undefined,
  });
  expect(none.revision).toBe('');

  const lease = { namespace: '', jobId: JOB_ID, leaseToken: 11 };
  const completed = await unary(
    b.worker,
    WorkerServiceService.completeJob,
    CompleteJobRequest.create({ ...lease, result: Buffer.from('r'), resultContentType: 't', dataCount: 3 }),
  );
  expect(completed.revision).toBe(toRevision(106));
  expect(b.node.calls.at(-1)!.slice(1)).toEqual([
    'default',
    JOB_ID,
    { kind: 'complete', seq: 0, token: 11, result: Buffer.from('r'), resultContentType: 't', dataCount: 3 },
  ]);
  await unary(
    b.worker,
    WorkerServiceService.failJob,
    FailJobRequest.create({ ...lease, error: { code: 'E' }, retryable: true, retryAfter: seconds(1) }),
  );
  expect(b.node.calls.at(-1)![3]).toMatchObject({ kind: 'fail', retryable: true, retryAfterMs: 1_000 });
  await unary(b.worker, WorkerServiceService.releaseJob, { ...lease, reason: 'later' });
  expect(b.node.calls.at(-1)![3]).toMatchObject({ kind: 'release', reason: 'later' });

  const progress = { numerator: 1, denominator: 2, message: 'half' };
  await unary(b.worker, WorkerServiceService.reportProgress, { leaseToken: 11, progress });
  expect(b.node.calls.at(-1)).toEqual(['reportProgress', 11, 1, 2, 'half']);
  await unary(b.worker, WorkerServiceService.sendData, {
    leaseToken: 11,
    first: 4,
    chunks: [Buffer.from('c')],
  });
  expect(b.node.calls.at(-1)).toEqual(['sendData', 11, 4, ['c']]);
});

test('leases of a caller that went away are given back where nobody can ask for them again', async () => {
  b.node.leasing = (signal) => new Promise((given) => signal?.addEventListener('abort', () => given()));
  const before = b.node.calls.length;
  for (const requestId of ['r', '']) {
    const asked = b.node.calls.length;
    const call = b.worker.leaseJobs(
      LeaseJobsRequest.create({ workerName: 'w', functions: ['f'], requestId }),
      () => {},
    );
    await b.node.until(() => b.node.calls.length > asked);
    call.cancel();
    const last = requestId === '' ? 'settle' : 'leased';
    await b.node.until(() => b.node.calls.at(-1)?.[0] === last);
  }
  const settled = b.node.calls.slice(before).filter(([call]) => call === 'settle');
  expect(settled.map((call) => call.slice(1))).toEqual([
    ['default', JOB_ID, { kind: 'release', seq: 0, token: 11, reason: 'the caller went away' }],
  ]);
  b.node.leasing = null;
});

test('a stale lease is FAILED_PRECONDITION, LEASE_LOST', async () => {
  b.node.settleAnswer = { token: 11, revision: 0, error: new GearmeshError('LEASE_LOST') };
  const request = CompleteJobRequest.create({ jobId: JOB_ID, leaseToken: 11 });
  const told = await refusal(unary(b.worker, WorkerServiceService.completeJob, request));
  expect(told).toMatchObject({ code: status.FAILED_PRECONDITION, reason: 'LEASE_LOST', domain: 'gearmesh' });
});

test('queues: list in pages, get, pause, resume, purge', async () => {
  b.node.queues = ['a', 'b', 'c'].map((name) => queueView(name));
  const request = ListQueuesRequest.create({ allNamespaces: true, pageSize: 2 });
  const page = await unary(b.queue, QueueServiceService.listQueues, request);
  expect(b.node.calls.at(-1)).toEqual(['listQueues', null, 'linearizable', 0]);
  expect(page.queues.map((queue) => queue.function)).toEqual(['a', 'b']);
  expect(page.queues[0]).toMatchObject({ waitingHigh: 1, waitingLow: 3, workers: 10, credits: 11 });
  const rest = await unary(b.queue, QueueServiceService.listQueues, {
    ...request,
    pageToken: page.nextPageToken,
  });
  expect(rest.queues.map((queue) => queue.function)).toEqual(['c']);
  expect(rest.nextPageToken).toBe('');
  const misuse = ListQueuesRequest.create({ pageToken: page.nextPageToken });
  expect((await refusal(unary(b.queue, QueueServiceService.listQueues, misuse))).fields).toEqual([
    'page_token',
  ]);

  const queue = { namespace: '', function: 'a' };
  const got = await unary(b.queue, QueueServiceService.getQueue, {
    ...queue,
    consistency: Consistency.UNSPECIFIED,
    minRevision: '',
  });
  expect(got).toMatchObject({ function: 'a', oldestWaitingSince: seconds(1_700_000_000) });
  expect((await unary(b.queue, QueueServiceService.pauseQueue, queue)).revision).toBe(toRevision(104));
  expect(b.node.calls.at(-1)).toEqual(['pauseQueue', 'default', 'a', true]);
  await unary(b.queue, QueueServiceService.resumeQueue, queue);
  expect(b.node.calls.at(-1)).toEqual(['pauseQueue', 'default', 'a', false]);
  const purged = await unary(b.queue, QueueServiceService.purgeQueue, {
    ...queue,
    states: [JobState.QUEUED],
  });
  expect(purged).toEqual({ revision: toRevision(105), jobs: 17 });
  const running = unary(b.queue, QueueServiceService.purgeQueue, { ...queue, states: [JobState.RUNNING] });
  expect((await refusal(running)).fields).toEqual(['states']);
});

test('the cluster: get, transfer, replace, settings', async () => {
  const cluster = await unary(b.cluster, ClusterServiceService.getCluster, {
    consistency: Consistency.LINEARIZABLE,
    minRevision: '',
  });
  expect(cluster).toMatchObject({ id: 'cid', name: 'test', leader: 'n1', term: 3, hashDisagreement: '' });
  expect(cluster.nodes[0]).toMatchObject({
    role: NodeRole.LEADER,
    reachable: true,
    up: true,
    stateHash: 'ab',
    stateHashIndex: 8,
    grpcAddress: 'h:1',
  });
  const moved = await unary(b.cluster, ClusterServiceService.transferLeadership, { node: 'n2' });
  expect(moved).toEqual({ leader: 'n2', term: 4, revision: toRevision(108) });

  const lines = new Answers(b.cluster.replaceNode({ node: 'n3' }));
  expect(await lines.end).toBeNull();
  expect(lines.all).toEqual([
    { line: 'removed n3', revision: '' },
    { line: 'added n3', revision: '' },
    { line: '', revision: toRevision(109) },
  ]);

  const { settings } = await unary(b.cluster, ClusterServiceService.getSettings, {
    consistency: Consistency.EVENTUAL,
    minRevision: toRevision(107),
  });
  expect(b.node.calls.at(-1)).toEqual(['readSettings', 'eventual', 107]);
  expect(Object.values(settings!)).not.toContain(undefined);
  expect(settings).toMatchObject({ multiplier: 2, jitter: 0.2, ackTimeout: seconds(5), jobsMax: 20_000_000 });
  const changes = Settings.create({ jitter: 0, sessionGrace: seconds(2), jobsMax: 9 });
  const { revision } = await unary(b.cluster, ClusterServiceService.changeSettings, { settings: changes });
  expect(revision).toBe(toRevision(107));
  expect(b.node.calls.at(-1)).toEqual([
    'changeSettings',
    { jitterPermille: 0, sessionGraceMs: 2_000, jobsMax: 9 },
  ]);
  const wrong = Settings.create({ multiplier: 0.5, dedupeWindow: seconds(30), maxAttempts: 0 });
  expect(
    (await refusal(unary(b.cluster, ClusterServiceService.changeSettings, { settings: wrong }))).fields,
  ).toEqual(['settings.max_attempts', 'settings.multiplier', 'settings.dedupe_window_min']);
  const nothing = unary(b.cluster, ClusterServiceService.changeSettings, { settings: Settings.create({}) });
  expect((await refusal(nothing)).fields).toEqual(['settings']);
});

test('each call is counted once with its code', () => {
  expect(b.counted).toContain('SubmitJob OK');
  expect(b.counted).toContain('CompleteJob FAILED_PRECONDITION');
  expect(b.counted).toContain('error LEASE_LOST');
  expect(b.counted.filter((line) => line.startsWith('TransferLeadership'))).toEqual([
    'TransferLeadership OK',
  ]);
  expect(b.counted.filter((line) => line.startsWith('ReplaceNode'))).toEqual(['ReplaceNode OK']);
});
