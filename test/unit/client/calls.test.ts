/** Plain calls: through which node, how often, and what their errors say. */
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Job, JobState, type JobView } from '../../../proto/gen/gearmesh/v1/common.js';
import type { ListJobsRequest } from '../../../proto/gen/gearmesh/v1/job.js';
import {
  type DropQueueRequest,
  type ListQueuesRequest,
  Queue,
  type SetQueueLimitsRequest,
} from '../../../proto/gen/gearmesh/v1/queue.js';
import { Client } from '../../../src/client/index.js';
import { FakeNode, noLeader, refusal } from './fake-server.js';

let a: FakeNode;
let b: FakeNode;
let client: Client;

beforeEach(async () => {
  [a, b] = await Promise.all([FakeNode.start(), FakeNode.start()]);
  client = new Client({ endpoints: `${a.address}, ${b.address}`, order: 'listed', namespace: 'team' });
});

afterEach(async () => {
  a.kill();
  b.kill();
  await client.close();
});

function throws(error: unknown): () => never {
  return () => {
    throw error;
  };
}

test('a job, in words instead of numbers', async () => {
  const asked: { namespace: string; jobId: string; view: JobView }[] = [];
  a.unary.set('getJob', (request) => {
    asked.push(request);
    return Job.fromPartial({
      id: 'j',
      state: JobState.FAILED,
      priority: 3,
      runTimeout: { seconds: 1, nanos: 500e6 },
      createdAt: { seconds: 2, nanos: 5e6 },
      attempts: [{ number: 1, worker: 'w', error: { code: 'E', message: 'm' } }],
    });
  });
  const job = await client.get('j', { view: 'full' });
  expect(asked[0]).toMatchObject({ namespace: 'team', jobId: 'j', view: 2 });
  expect(job).toMatchObject({ state: 'failed', priority: 'low', runTimeoutMs: 1_500, finishedAt: undefined });
  expect(job.createdAt).toEqual(new Date(2_005));
  expect(job.attempts[0]).toMatchObject({ number: 1, error: { code: 'E' } });
});

test('list goes through the pages as the iteration goes on', async () => {
  a.unary.set('listJobs', ({ pageToken, states }: ListJobsRequest) => {
    expect(states).toEqual([JobState.QUEUED]);
    if (pageToken === '') return { jobs: [Job.fromPartial({ id: '1' })], nextPageToken: 't' };
    if (pageToken === 't') return { jobs: [], nextPageToken: 'u' };
    return { jobs: [Job.fromPartial({ id: '2' })], nextPageToken: '' };
  });
  const ids: string[] = [];
  for await (const job of client.list({ states: ['queued'] })) ids.push(job.id);
  expect(ids).toEqual(['1', '2']);
  const one = client.list({ states: ['queued'] });
  await one.next();
  await one.return();
  expect(a.calls).toHaveLength(4);
});

test('queues: all pages of all namespaces', async () => {
  a.unary.set('listQueues', ({ pageToken, allNamespaces, namespace }: ListQueuesRequest) => {
    expect([allNamespaces, namespace]).toEqual([true, '']);
    const page = pageToken === '' ? 'f' : 'g';
    return {
      queues: [Queue.fromPartial({ function: page, waitingHigh: 1 })],
      nextPageToken: page === 'f' ? 't' : '',
    };
  });
  const queues = await client.queues.list({ allNamespaces: true });
  expect(queues.map((queue) => [queue.function, queue.waiting.high])).toEqual([
    ['f', 1],
    ['g', 1],
  ]);
});

test('queues: limits, and functions that are dropped', async () => {
  const asked: unknown[] = [];
  a.unary.set('setQueueLimits', (request: SetQueueLimitsRequest) => {
    asked.push(request);
    return { revision: 'r' };
  });
  a.unary.set('dropQueue', (request: DropQueueRequest) => {
    asked.push(request);
    return { revision: 's', jobs: 4 };
  });
  expect(await client.queues.limit('f', { high: 3, low: 1 })).toEqual({ revision: 'r' });
  expect(await client.queues.drop('f')).toEqual({ revision: 's', jobs: 4 });
  expect(asked).toEqual([
    { namespace: 'team', function: 'f', jobsMaxHigh: 3, jobsMaxNormal: 0, jobsMaxLow: 1 },
    { namespace: 'team', function: 'f' },
  ]);
  a.unary.set('getQueue', () => Queue.fromPartial({ function: 'f', jobsMaxHigh: 3, jobsMaxLow: 1 }));
  expect((await client.queues.get('f')).jobsMax).toEqual({ high: 3, normal: 0, low: 1 });
});

describe('failover', () => {
  test('a dead endpoint is passed over, and the next calls begin with the good one', async () => {
    a.kill();
    b.unary.set('pauseQueue', () => ({ revision: 'r' }));
    expect(await client.queues.pause('f')).toEqual({ revision: 'r' });
    await a.restart();
    await client.queues.pause('f');
    expect([a.calls.length, b.calls.length]).toEqual([0, 2]);
  });

  test('no leader: asked elsewhere', async () => {
    a.unary.set('retryJob', throws(noLeader()));
    b.unary.set('retryJob', () => ({ revision: 'r' }));
    expect(await client.retry('j')).toEqual({ revision: 'r' });
  });

  test('a call that must not be repeated is not, when its outcome is unknown', async () => {
    a.unary.set(
      'retryJob',
      throws(refusal(status.ABORTED, 'OUTCOME_UNKNOWN', { metadata: { outcome: 'UNKNOWN' } })),
    );
    await expect(client.retry('j')).rejects.toMatchObject({ reason: 'OUTCOME_UNKNOWN', outcome: 'UNKNOWN' });
    expect(b.calls).toEqual([]);
  });

  test('a refusal after a lost answer leaves the outcome unknown', async () => {
    a.unary.set('deleteJob', () => {
      a.kill();
      return { revision: '' };
    });
    b.unary.set('deleteJob', throws(refusal(status.NOT_FOUND, 'NOT_FOUND')));
    await expect(client.delete('j')).rejects.toMatchObject({ reason: 'NOT_FOUND', outcome: 'UNKNOWN' });
  });

  test('time over: says so', async () => {
    await expect(client.get('j', { timeoutMs: 40 })).rejects.toMatchObject({ reason: 'TIMED_OUT' });
    expect(a.calls).toEqual(['getJob']);
  });

  test('nobody there: says which connection failed', async () => {
    a.kill();
    b.kill();
    await expect(client.get('j', { timeoutMs: 40 })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      reason: 'CONNECTION_FAILED',
      outcome: 'NOT_APPLIED',
    });
  });
});

test('a signal ends a call', async () => {
  const abort = new AbortController();
  a.unary.set('getJob', () => {
    abort.abort();
    return new Promise(() => {});
  });
  await expect(client.get('j', { signal: abort.signal })).rejects.toMatchObject({ name: 'AbortError' });
  await expect(client.get('j', { signal: abort.signal })).rejects.toMatchObject({ outcome: 'NOT_APPLIED' });
});

test('what is no list of endpoints or no number is refused at once', () => {
  expect(() => new Client({ endpoints: [] })).toThrow(TypeError);
  expect(() => new Client({ endpoints: 'x:1', timeoutMs: 0 })).toThrow(RangeError);
});
