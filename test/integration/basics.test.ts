import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { LeaseJobsRequest, WorkerServiceService } from '../../proto/gen/gearmesh/v1/worker.js';
import type { Client, JobInfo, RunEvent } from '../../src/client/index.js';
import { type Handler, JobAbortedError, NonRetryableError, Worker } from '../../src/worker/index.js';
import { Gate } from '../support/gate.js';
import { completeJob, rawCall, refusal } from '../support/raw.js';
import { RealCluster, until } from '../support/real-cluster.js';

/**
 * Goal: every feature once, through the SDK, with client and worker at different nodes of a real cluster, and looked at
 * from a third (docs/guarantees.md): "exactly one terminal outcome per job, immutable, the same seen from every node";
 * "FIFO inside one priority of one function in order of acceptance; high before normal before low"; "nothing grows
 * without a named limit".
 */
const KEPT = { resultRetentionMs: 60_000 } as const;
const JOBS_PER_FUNCTION = 100;
const WAIT_MS = 20_000;
const FAST_RETRY = { initialBackoffMs: 100, maxBackoffMs: 100, jitter: 0 } as const;

let cluster: RealCluster;
/** One client for each node, and nothing else. */
let n1: Client;
let n2: Client;
let n3: Client;
const workers: Worker[] = [];

beforeAll(async () => {
  cluster = await RealCluster.start({
    flags: ['--limits-jobs-per-function-max', String(JOBS_PER_FUNCTION), '--jobs-cancel-grace-ms', '300'],
  });
  [n1, n2, n3] = cluster.nodes.map((node) => cluster.client({ only: node.name })) as [Client, Client, Client];
});

afterEach(async () => {
  for (const worker of workers.splice(0)) await worker.stop({ timeoutMs: 0 });
});

afterAll(async () => {
  for (const client of [n1, n2, n3]) await client.close();
  await cluster.agreedHash();
  await cluster.remove();
});

/** A worker at n2, unless said otherwise. */
async function work(fn: string, handler: Handler, options: { concurrency?: number } = {}): Promise<Worker> {
  const worker = new Worker({ endpoints: cluster.node('n2').grpc, ...options });
  worker.handle(fn, handler);
  workers.push(worker);
  await worker.start();
  return worker;
}

/** The job once it is in that state, as n3 sees it. */
async function reached(id: string, state: JobInfo['state']): Promise<JobInfo> {
  await until(WAIT_MS, async () => (await n3.get(id)).state === state);
  return n3.get(id, { view: 'full' });
}

async function eventsOf(run: AsyncIterable<RunEvent>): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const event of run) events.push(event);
  return events;
}

const reverse: Handler = (job) => [...job.text()].reverse().join('');

describe('submitting', () => {
  it('logs no line per job', async () => {
    await work('quiet', reverse, { concurrency: 16 });
    const lines = () => cluster.nodes.map((node) => node.log().split('\n').length);
    const before = lines();
    for (let round = 0; round < 5; round++) {
      const jobs = Array.from({ length: JOBS_PER_FUNCTION }, (_, i) => n1.run('quiet', `${i}`, KEPT).result);
      await Promise.all(jobs);
    }
    const more = lines().map((count, i) => count - before[i]!);
    // Five hundred jobs; now and then a node has something of its own to say, e.g. about a snapshot.
    for (const count of more) expect(count).toBeLessThan(10);
  });

  it('runs a job at another node and keeps its result', async () => {
    await work('reverse', reverse);
    const result = await n1.run('reverse', 'Hello World!', { ...KEPT, metadata: { shop: 'a' } }).result;
    expect(result.text()).toBe('!dlroW olleH');
    const job = await n3.get(result.jobId, { view: 'full' });
    expect(job).toMatchObject({
      state: 'succeeded',
      function: 'reverse',
      namespace: 'default',
      priority: 'normal',
      attempt: 1,
      metadata: { shop: 'a' },
      payloadSize: 12,
      resultSize: 12,
      contentType: 'text/plain; charset=utf-8',
      foreground: true,
    });
    expect(Buffer.from(job.payload).toString()).toBe('Hello World!');
    expect(Buffer.from(job.result).toString()).toBe('!dlroW olleH');
    expect(job.attempts[0]).toMatchObject({ number: 1, node: 'n2' });
    expect(job.gearmanHandle).toMatch(/^H:test:\d+$/);
  });

  it('answers the same id with the same job, and refuses it with other content', async () => {
    const first = await n1.submit('same', 'one', KEPT);
    expect(first).toMatchObject({ disposition: 'created', state: 'queued' });
    const again = await n2.submit('same', 'one', { ...KEPT, id: first.jobId });
    expect(again).toMatchObject({ jobId: first.jobId, disposition: 'same-id' });
    const other = await refusal(n3.submit('same', 'two', { ...KEPT, id: first.jobId }));
    expect(other).toMatchObject({ code: 'ALREADY_EXISTS', reason: 'ID_REUSED', outcome: 'NOT_APPLIED' });
    expect((await n1.queues.get('same')).totals.submitted).toBe(1);
  });

  it('coalesces jobs with one unique key until the job has ended', async () => {
    const first = await n1.submit('unique', 'first', { ...KEPT, uniqueKey: 'k' });
    const second = await n2.submit('unique', 'second', { ...KEPT, uniqueKey: 'k' });
    expect(second).toMatchObject({ jobId: first.jobId, disposition: 'coalesced' });
    const other = await n2.submit('unique', 'other', { ...KEPT, uniqueKey: 'l' });
    expect(other.disposition).toBe('created');
    await work('unique', reverse);
    const job = await reached(first.jobId, 'succeeded');
    expect(Buffer.from(job.result).toString()).toBe('tsrif');
    const later = await n3.submit('unique', 'third', { ...KEPT, uniqueKey: 'k' });
    expect(later.disposition).toBe('created');
    expect(later.jobId).not.toBe(first.jobId);
  });

  it('keeps the order: high before normal before low, first in first out inside each', async () => {
    const order = ['low', 'normal', 'high', 'low', 'high', 'normal'] as const;
    for (const [i, priority] of order.entries()) {
      await [n1, n2, n3][i % 3]!.submit('ranked', `${priority} ${i}`, { priority });
    }
    const seen: string[] = [];
    await work('ranked', (job) => {
      seen.push(job.text());
    });
    await until(WAIT_MS, () => seen.length === order.length);
    expect(seen).toEqual(['high 2', 'high 4', 'normal 1', 'normal 5', 'low 0', 'low 3']);
  });

  it('waits for its time: delay and run_at', async () => {
    const begun = new Map<string, number>();
    await work('timed', (job) => {
      begun.set(job.text(), Date.now());
    });
    const begin = Date.now();
    const delayed = await n1.submit('timed', 'delay', { ...KEPT, delayMs: 600 });
    const at = await n3.submit('timed', 'run at', { ...KEPT, runAt: new Date(begin + 900) });
    expect([delayed.state, at.state]).toEqual(['scheduled', 'scheduled']);
    expect((await n2.get(at.jobId)).dueAt?.getTime()).toBe(begin + 900);
    await reached(at.jobId, 'succeeded');
    await reached(delayed.jobId, 'succeeded');
    expect(begun.get('delay')! - begin).toBeGreaterThanOrEqual(595);
    expect(begun.get('run at')! - begin).toBeGreaterThanOrEqual(895);
    expect(begun.get('run at')! - begin).toBeLessThan(WAIT_MS);
  });

  it('takes all or nothing', async () => {
    const { jobId } = await n1.submit('atomic', 'there', KEPT);
    const bad = [
      { function: 'atomic', payload: 'a' },
      { function: 'atomic', payload: 'other content', id: jobId },
    ];
    const refused = await refusal(n2.submitMany(bad, { allOrNothing: true }));
    expect(refused).toMatchObject({ reason: 'ID_REUSED', outcome: 'NOT_APPLIED' });
    expect((await n3.queues.get('atomic')).waiting.normal).toBe(1);
    const good = [
      { function: 'atomic', payload: 'a' },
      { function: 'atomic', payload: 'there', id: jobId, ...KEPT },
      { function: 'atomic', payload: 'b' },
    ];
    const results = await n2.submitMany(good, { allOrNothing: true });
    expect(results.map((one) => one.disposition)).toEqual(['created', 'same-id', 'created']);
    expect((await n3.queues.get('atomic')).waiting.normal).toBe(3);
    const each = await n1.submitMany(bad);
    expect(each[0]).toMatchObject({ disposition: 'created' });
    expect(each[1]).toMatchObject({ reason: 'ID_REUSED' });
  });

  it('expires a job that no attempt reached in time', async () => {
    const deadline = new Date(Date.now() + 500);
    const run = n1.run('nobody', '', { ...KEPT, startDeadline: deadline });
    await expect(run.result).rejects.toMatchObject({ reason: 'JOB_EXPIRED', errorCode: 'EXPIRED' });
    expect(await n3.get(run.jobId)).toMatchObject({ state: 'expired', attempt: 0 });
    expect(Date.now()).toBeGreaterThanOrEqual(deadline.getTime() - 5);
  });
});

describe('running', () => {
  it('tries again after a growing pause, and remembers each attempt', async () => {
    const begun: number[] = [];
    await work('flaky', (_job, ctx) => {
      begun.push(performance.now());
      if (ctx.attempt < 3) throw Object.assign(new Error(`not yet (${ctx.attempt})`), { code: 'NOT_YET' });
      return 'at last';
    });
    const retry = { maxAttempts: 4, initialBackoffMs: 200, multiplier: 2, maxBackoffMs: 10_000, jitter: 0 };
    const run = n1.run('flaky', '', { ...KEPT, retry });
    const events = await eventsOf(run);
    expect((await run.result).text()).toBe('at last');
    expect(events.filter((one) => one.type === 'attempt-failed')).toMatchObject([
      { attempt: 1, error: { code: 'NOT_YET', message: 'not yet (1)' } },
      { attempt: 2, error: { code: 'NOT_YET', message: 'not yet (2)' } },
    ]);
    expect(begun[1]! - begun[0]!).toBeGreaterThanOrEqual(190);
    expect(begun[2]! - begun[1]!).toBeGreaterThanOrEqual(390);
    const job = await n3.get(run.jobId);
    expect(job.attempts.map((one) => one.error?.code ?? '')).toEqual(['NOT_YET', 'NOT_YET', '']);
  });

  it('takes many large results at once', async () => {
    const jobs = 32;
    const payload = randomBytes(50_000).toString('hex');
    // All handlers end in one turn: their outcomes are far more than one log entry holds.
    let running = 0;
    const all = new Gate();
    await work(
      'large-results',
      async (job) => {
        running++;
        if (running === jobs) all.open();
        await all.within(WAIT_MS);
        return job.payload;
      },
      { concurrency: jobs },
    );
    const specs = Array.from({ length: jobs }, () => ({ function: 'large-results', payload, ...KEPT }));
    const results = await n1.submitMany(specs);
    for (const result of results) {
      if (result instanceof Error) throw result;
      expect((await reached(result.jobId, 'succeeded')).resultSize).toBe(100_000);
    }
    expect((await n3.queues.get('large-results')).totals).toMatchObject({ started: jobs, leasesLost: 0 });
  });

  it('gives up after the last attempt, keeps the job, and takes it up again on demand', async () => {
    let fail = true;
    await work('doomed', () => {
      if (fail) throw new Error('broken');
      return 'repaired';
    });
    const run = n1.run('doomed', '', { ...KEPT, retry: { maxAttempts: 2, ...FAST_RETRY } });
    await expect(run.result).rejects.toMatchObject({ reason: 'JOB_FAILED', attempt: 2 });
    expect(await n3.get(run.jobId)).toMatchObject({ state: 'failed', attempt: 2 });
    fail = false;
    await n3.retry(run.jobId);
    expect((await n2.watch(run.jobId).result).text()).toBe('repaired');
    const refused = await refusal(n1.retry(run.jobId));
    expect(refused).toMatchObject({ code: 'FAILED_PRECONDITION', reason: 'WRONG_STATE' });
  });

  it('does not try again what the worker calls hopeless', async () => {
    await work('hopeless', () => {
      throw new NonRetryableError('no such file', { code: 'NO_FILE', details: Buffer.from('a.png') });
    });
    const run = n1.run('hopeless', '', KEPT);
    await expect(run.result).rejects.toMatchObject({
      reason: 'JOB_FAILED',
      attempt: 1,
      errorCode: 'NO_FILE',
    });
    const { error } = await n3.get(run.jobId, { view: 'full' });
    expect(Buffer.from(error!.details).toString()).toBe('a.png');
  });

  it('ends an attempt at its run timeout', async () => {
    const reason = new Gate<unknown>();
    await work('slow', (_job, ctx) => {
      return new Promise((_resolve, reject) => {
        ctx.signal.addEventListener('abort', () => {
          reason.open(ctx.signal.reason);
          reject(new Error('aborted'));
        });
      });
    });
    const run = n1.run('slow', '', { ...KEPT, runTimeoutMs: 400, retry: { maxAttempts: 1 } });
    await expect(run.result).rejects.toMatchObject({ reason: 'JOB_FAILED', errorCode: 'TIMEOUT' });
    expect(await reason.passed).toBeInstanceOf(JobAbortedError);
    expect((await n3.get(run.jobId)).attempts[0]?.error?.code).toBe('TIMEOUT');
  });

  it('shows progress and data to a watcher at another node', async () => {
    const watched = new Gate();
    await work('telling', async (_job, ctx) => {
      await watched.passed;
      for (let i = 0; i < 5; i++) await ctx.data(`part ${i}`);
      ctx.progress(3, 10, 'on the way');
      await until(WAIT_MS, async () => (await n1.get(job.jobId)).progress?.numerator === 3);
      return 'told';
    });
    const job = await n1.submit('telling', '', KEPT);
    const run = n3.watch(job.jobId);
    const events: RunEvent[] = [];
    for await (const event of run) {
      events.push(event);
      if (event.type === 'accepted') watched.open();
    }
    expect((await run.result).text()).toBe('told');
    const data = events.filter((one) => one.type === 'data');
    expect(data.map((one) => Buffer.from(one.chunk).toString())).toEqual(
      Array.from({ length: 5 }, (_, i) => `part ${i}`),
    );
    expect(events.filter((one) => one.type === 'progress').at(-1)).toMatchObject({
      numerator: 3,
      denominator: 10,
      message: 'on the way',
    });
    expect(events.at(-1)).toMatchObject({ type: 'ended', state: 'succeeded', dataCount: 5 });
  });

  it('cancels a job that waits at once, and one that runs by telling its worker', async () => {
    const waiting = await n1.submit('cancelled', 'waits', { ...KEPT, delayMs: 3_600_000 });
    await n2.cancel(waiting.jobId, { reason: 'not needed' });
    expect(await n3.get(waiting.jobId)).toMatchObject({ state: 'cancelled', cancelReason: 'not needed' });

    const begun = new Gate();
    const told = new Gate<unknown>();
    await work('cancelled', (_job, ctx) => {
      begun.open();
      return new Promise((_resolve, reject) => {
        ctx.signal.addEventListener('abort', () => {
          told.open(ctx.signal.reason);
          reject(new Error('I stop'));
        });
      });
    });
    const run = n1.run('cancelled', 'runs', KEPT);
    await begun.passed;
    await n3.cancel(run.jobId, { reason: 'changed my mind' });
    expect(await told.passed).toMatchObject({ kind: 'cancelled', message: 'changed my mind' });
    await expect(run.result).rejects.toMatchObject({ reason: 'JOB_CANCELLED' });
    expect((await n2.get(run.jobId)).state).toBe('cancelled');
  });

  it('revokes the lease of a job that is cancelled and goes on', async () => {
    const begun = new Gate();
    const end = new Gate();
    await work('stubborn', async () => {
      begun.open();
      await end.passed;
    });
    const run = n1.run('stubborn', '', KEPT);
    await begun.passed;
    await n3.cancel(run.jobId);
    await expect(run.result).rejects.toMatchObject({ reason: 'JOB_CANCELLED' });
    end.open();
  });

  it('revokes it at once where no grace is given', async () => {
    const begun = new Gate();
    const told = new Gate<unknown>();
    await work('doomed', async (_job, ctx) => {
      ctx.signal.addEventListener('abort', () => told.open(ctx.signal.reason));
      begun.open();
      await told.passed;
    });
    const { jobId } = await n1.submit('doomed', '', KEPT);
    await begun.passed;
    await n3.cancel(jobId, { graceMs: 0 });
    expect((await n1.get(jobId)).state).toBe('cancelled');
    expect(await told.passed).toMatchObject({ kind: 'lease-lost', message: 'the job was cancelled' });
  });
});

describe('looking after jobs', () => {
  it('forgets a job after its retention, and at once where that is 0', async () => {
    await work('forgotten', reverse);
    const gone = (await n1.submit('forgotten', 'x', { resultRetentionMs: 1_000 })).jobId;
    await reached(gone, 'succeeded');
    await until(WAIT_MS, async () => (await n3.get(gone).catch((error) => error.reason)) === 'NOT_FOUND');
    const { jobId } = await n1.submit('forgotten', 'x', { resultRetentionMs: 0 });
    await until(WAIT_MS, async () => (await n3.get(jobId).catch((error) => error.reason)) === 'NOT_FOUND');
    expect((await n3.queues.get('forgotten')).totals.succeeded).toBe(2);
  });

  it('pauses, resumes and purges a queue', async () => {
    const seen: string[] = [];
    await work('held', (job) => {
      seen.push(job.text());
    });
    await n1.queues.pause('held');
    const ids = [];
    for (let i = 0; i < 3; i++) ids.push((await n2.submit('held', `${i}`, KEPT)).jobId);
    await n2.submit('held', 'later', { ...KEPT, delayMs: 3_600_000 });
    const queue = await n3.queues.get('held');
    expect(queue).toMatchObject({ paused: true, scheduled: 1, running: 0, workers: 1 });
    expect(queue.waiting.normal).toBe(3);
    expect(queue.oldestWaitingSince).toBeInstanceOf(Date);
    await n3.queues.resume('held');
    await reached(ids[2]!, 'succeeded');
    expect(seen).toEqual(['0', '1', '2']);
    await n1.queues.pause('held');
    for (let i = 0; i < 3; i++) await n1.submit('held', 'never', KEPT);
    const purged = await n2.queues.purge('held');
    expect(purged.jobs).toBe(4);
    await until(WAIT_MS, async () => {
      const left = await n3.queues.get('held');
      return left.waiting.normal === 0 && left.scheduled === 0;
    });
    await n1.queues.resume('held');
    expect((await n3.queues.list()).map((one) => one.function)).toContain('held');
  });

  it('lists jobs in pages, by function, state and unique key', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 25; i++) {
      const options = { ...KEPT, uniqueKey: `u${i}`, ...(i % 5 === 0 ? { delayMs: 3_600_000 } : {}) };
      ids.push((await n1.submit('listed', `${i}`, options)).jobId);
    }
    const all: string[] = [];
    for await (const job of n2.list({ function: 'listed', pageSize: 4 })) all.push(job.id);
    expect(all).toEqual(ids);
    const scheduled: string[] = [];
    for await (const job of n3.list({ function: 'listed', states: ['scheduled'], pageSize: 2 })) {
      scheduled.push(job.id);
    }
    expect(scheduled).toEqual(ids.filter((_, i) => i % 5 === 0));
    const keyed: string[] = [];
    for await (const job of n3.list({ function: 'listed', uniqueKey: 'u7' })) keyed.push(job.id);
    expect(keyed).toEqual([ids[7]]);
  });

  it('deletes a job that has ended, and no other', async () => {
    const waiting = await n1.submit('deleted', '', KEPT);
    expect(await refusal(n2.delete(waiting.jobId))).toMatchObject({ reason: 'WRONG_STATE' });
    await work('deleted', reverse);
    await reached(waiting.jobId, 'succeeded');
    await n2.delete(waiting.jobId);
    expect(await refusal(n3.get(waiting.jobId))).toMatchObject({ code: 'NOT_FOUND', reason: 'NOT_FOUND' });
  });

  it('keeps namespaces apart', async () => {
    const { Client: SdkClient } = await import('../../src/client/index.js');
    const other = new SdkClient({ endpoints: cluster.node('n3').grpc, namespace: 'other' });
    const { jobId } = await other.submit('apart', 'x', KEPT);
    expect(await refusal(n1.get(jobId))).toMatchObject({ reason: 'NOT_FOUND' });
    expect((await other.get(jobId)).namespace).toBe('other');
    expect((await n1.queues.list()).some((one) => one.function === 'apart')).toBe(false);
    const everywhere = await n1.queues.list({ allNamespaces: true });
    expect(everywhere.find((one) => one.function === 'apart')?.namespace).toBe('other');
    await other.close();
  });
});

describe('reading', () => {
  it('shows at any node what was acknowledged before, linearizably', async () => {
    for (let i = 0; i < 50; i++) {
      const [writer, reader] = [[n1, n2, n3][i % 3]!, [n1, n2, n3][(i + 1) % 3]!];
      const { jobId } = await writer.submit('read', `${i}`, KEPT);
      expect((await reader.get(jobId)).id).toBe(jobId);
    }
  });

  it('shows at any node what the caller did before, by its revision', async () => {
    for (let i = 0; i < 50; i++) {
      const [writer, reader] = [[n1, n2, n3][i % 3]!, [n1, n2, n3][(i + 2) % 3]!];
      const { jobId, revision } = await writer.submit('revised', `${i}`, KEPT);
      const job = await reader.get(jobId, { consistency: 'eventual', minRevision: revision });
      expect(job.id).toBe(jobId);
    }
  });

  it('leases at one node and takes what is said of the lease at the others', async () => {
    const [at1, at2, at3] = cluster.endpoints as [string, string, string];
    const request = LeaseJobsRequest.create({ workerName: 'w', functions: ['polled'] });
    for (let i = 0; i < 50; i++) {
      const { jobId } = await n1.submit('polled', `${i}`, KEPT);
      const [leased] = await rawCall(at1, WorkerServiceService.leaseJobs, request, WAIT_MS);
      const { leaseToken } = leased!.assignments[0]!;
      const progress = { leaseToken, progress: { numerator: 1, denominator: 2, message: '' } };
      await rawCall(at2, WorkerServiceService.reportProgress, progress, WAIT_MS);
      const data = { leaseToken, first: 0, chunks: [Buffer.from('d')] };
      await rawCall(at3, WorkerServiceService.sendData, data, WAIT_MS);
      const outcome = { jobId, leaseToken, result: 'r' };
      const revision = await completeJob(at2, outcome);
      expect(await completeJob(at3, outcome)).toBe(revision);
    }
  });

  it('shows the cluster: one leader, all nodes reachable', async () => {
    const info = await n2.cluster.get();
    expect(info.name).toBe('test');
    expect(info.nodes.map((one) => one.name).sort()).toEqual(['n1', 'n2', 'n3']);
    expect(info.nodes.filter((one) => one.role === 'leader').map((one) => one.name)).toEqual([info.leader]);
    expect(info.nodes.every((one) => one.reachable && one.up && !one.stalled)).toBe(true);
    expect(info.hashDisagreement).toBe('');
  });

  it('hands leadership over on demand', async () => {
    const before = (await n1.cluster.get()).leader;
    const wanted = ['n1', 'n2', 'n3'].find((name) => name !== before)!;
    expect(await n3.cluster.transferLeadership(wanted)).toMatchObject({ leader: wanted });
    expect((await n1.cluster.get()).leader).toBe(wanted);
  });
});

describe('limits', () => {
  it('refuses a payload that is too large and names the field', async () => {
    const largest = randomBytes(256 * 1024);
    expect((await n1.submit('large', largest)).disposition).toBe('created');
    const refused = await refusal(n2.submit('large', Buffer.concat([largest, Buffer.of(0)])));
    expect(refused).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      reason: 'PAYLOAD_TOO_LARGE',
      outcome: 'NOT_APPLIED',
    });
    expect(refused.violations[0]?.field).toContain('payload');
    expect((await n3.queues.get('large')).waiting.normal).toBe(1);
  });

  it('refuses more jobs than the limit, names it, and takes jobs again once there is room', async () => {
    const jobs = Array.from({ length: JOBS_PER_FUNCTION }, (_, i) => ({ function: 'full', payload: `${i}` }));
    expect((await n1.submitMany(jobs)).every((one) => !(one instanceof Error))).toBe(true);
    const refused = await refusal(n2.submit('full', 'one too many'));
    expect(refused).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      reason: 'LIMIT_REACHED',
      outcome: 'NOT_APPLIED',
    });
    expect(refused.metadata.limit).toBe('limits.jobs-per-function-max');
    expect(refused.metadata.value).toBe(String(JOBS_PER_FUNCTION));
    expect(refused.retryAfterMs).toBeGreaterThan(0);
    expect((await n3.queues.get('full')).waiting.normal).toBe(JOBS_PER_FUNCTION);
    await work('full', reverse, { concurrency: 10 });
    await until(WAIT_MS, async () => (await n3.queues.get('full')).waiting.normal === 0);
    expect((await n2.submit('full', 'room again')).disposition).toBe('created');
  });

  it('names the field that is not valid', async () => {
    const refused = await refusal(n1.submit('x'.repeat(256), ''));
    expect(refused).toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'INVALID_FIELD' });
    expect(refused.violations.map((one) => one.field).join()).toContain('function');
  });
});
