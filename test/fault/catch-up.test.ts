import { renameSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import type { JobOptions, SubmitResult } from '../../src/client/index.js';
import { Worker } from '../../src/worker/index.js';
import { Gate } from '../support/gate.js';
import { expectAllDone, startWorker, submitMany } from '../support/jobs.js';
import { Load } from '../support/load.js';
import { refusal } from '../support/raw.js';
import { RealCluster, until } from '../support/real-cluster.js';

/**
 * Goal: a node that was away, or that lost its disk, comes back as a full replica (docs/guarantees.md, promises 1 and
 * 3; design, "Formation and wiped disks"): through a snapshot when the log it lacks is gone, through `cluster replace`
 * when its disk is another one. It is never its old self on a new disk, nor on the old one once that was replaced.
 */
const MIB = 2 ** 20;
const WAITING = 60_000;
const DELAYED = 40_000;
const SESSIONS = 20;
const ENDED = 200;
const REPLACE_MS = 90_000;
const HOUR_MS = 3_600_000;
/** Jobs whose time comes, and leases that end, only once the node that was away leads: long enough for it to get there. */
const SOON = 20;
const SOON_MS = 45_000;
const HELD = 10;

const payloadOf = (i: number): string => `payload ${i}`;

describe('a node that was away', () => {
  let cluster: RealCluster;
  afterEach(async () => {
    await cluster.remove();
  });

  it('catches up through a snapshot with 100,000 jobs, timers, sessions and dedupe entries', async () => {
    cluster = await RealCluster.start({
      flags: [
        ...['--segment-bytes', String(4 * MIB), '--snapshot-log-bytes', String(4 * MIB)],
        ...['--keep-log-bytes', '0', '--log-memory-bytes', '0', '--workers-session-grace-ms', '60000'],
      ],
    });
    const lagging = (await cluster.followers())[0]!;
    const others = cluster.nodes.filter((node) => node !== lagging);
    await lagging.end('SIGKILL');
    const client = cluster.client({ first: others[0]!.name });

    const workers = Array.from({ length: SESSIONS }, (_, i) => {
      const worker = new Worker({ endpoints: others.map((node) => node.grpc), concurrency: 2 });
      worker.handle('ended', () => 'done');
      return worker.handle(`idle-${i}`, () => 'never called');
    });
    const holder = new Worker({ endpoints: others.map((node) => node.grpc), concurrency: HELD * 2 });
    const gate = new Gate();
    const [heldRuns, timedRuns] = [new Gate(), new Gate()];
    const running = { held: 0, timed: 0 };
    holder.handle('held', async (job) => {
      if (++running.held === HELD) heldRuns.open();
      await gate.passed;
      return [...job.text()].reverse().join('');
    });
    // It goes on past its time, whatever it is told: only the timer of the cluster ends its lease.
    const over = new Gate();
    holder.handle('timed', async () => {
      if (++running.timed === HELD) timedRuns.open();
      await over.passed;
    });
    for (const worker of [...workers, holder]) await worker.start();
    const kept = { resultRetentionMs: HOUR_MS };
    const submitAll = (fn: string, count: number, options: JobOptions): Promise<SubmitResult[]> =>
      Promise.all(
        Array.from({ length: count }, (_, i) => client.submit(fn, `${fn} ${i}`, { ...kept, ...options })),
      );
    const held = await submitAll('held', HELD, {});
    const timed = await submitAll('timed', HELD, { runTimeoutMs: SOON_MS, retry: { maxAttempts: 1 } });
    const soon = await submitAll('soon', SOON, { delayMs: SOON_MS });
    await Promise.all([heldRuns.passed, timedRuns.passed]);
    // Ended and forgotten: only the dedupe table still knows these.
    const ended = await Promise.all(
      Array.from({ length: ENDED }, () => client.run('ended', '', { resultRetentionMs: 0 }).result),
    );
    const waiting = await submitMany(client, 'waiting', WAITING, payloadOf);
    const delayed = await submitMany(client, 'delayed', DELAYED, payloadOf, HOUR_MS);

    const logLength = lagging.log().length;
    lagging.start();
    await lagging.ready();
    await lagging.logged(['state replaced by a snapshot'], logLength);
    await cluster.agreedHash();

    const there = cluster.client({ only: lagging.name });
    const eventual = { consistency: 'eventual' } as const;
    const queues = new Map((await there.queues.list(eventual)).map((one) => [one.function, one]));
    expect(queues.get('waiting')!.waiting.normal).toBe(WAITING);
    expect(queues.get('delayed')!.scheduled).toBe(DELAYED);
    expect(queues.get('ended')!.workers).toBe(SESSIONS);
    for (let i = 0; i < SESSIONS; i++) expect(queues.get(`idle-${i}`)!.workers).toBe(1);
    for (const id of [waiting[0]!, waiting.at(-1)!, delayed[0]!, delayed.at(-1)!]) {
      expect((await there.get(id, eventual)).id).toBe(id);
    }
    // The dedupe table came along: once this node leads, an old submission finds its job.
    await there.cluster.transferLeadership(lagging.name);
    await until(SOON_MS, async () => (await cluster.leader()) === lagging);
    // So do leases and timers, none of which were over when it came to office.
    const states = async (jobs: readonly SubmitResult[]): Promise<string[]> =>
      Promise.all(jobs.map(async ({ jobId }) => (await there.get(jobId)).state));
    expect(new Set(await states(soon))).toEqual(new Set(['scheduled']));
    expect(new Set(await states([...held, ...timed]))).toEqual(new Set(['running']));
    gate.open();
    const worker = await startWorker(cluster, 'soon');
    await until(SOON_MS * 2, async () => {
      const open = new Set(await states([...held, ...timed, ...soon]));
      return !open.has('running') && !open.has('scheduled') && !open.has('queued');
    });
    await worker.stop();
    expect(new Set(await states([...held, ...soon]))).toEqual(new Set(['succeeded']));
    for (const { jobId } of timed) {
      expect(await there.get(jobId)).toMatchObject({ state: 'failed', error: { code: 'TIMEOUT' } });
    }
    over.open();
    for (const { jobId } of ended) {
      const again = await there.submit('ended', '', { id: jobId, resultRetentionMs: 0 });
      expect(again).toMatchObject({ jobId, disposition: 'same-id', state: 'succeeded' });
    }
    const last = delayed.length - 1;
    const again = await there.submit('delayed', `payload ${last}`, { id: delayed[last]!, delayMs: HOUR_MS });
    expect(again).toMatchObject({ disposition: 'same-id', state: 'scheduled' });
    for (const one of [...workers, holder]) await one.stop();
    await there.close();
    await client.close();
    await cluster.agreedHash();
  });

  it('is refused its old identity on an empty disk, and comes back by replace under load', async () => {
    cluster = await RealCluster.start();
    const wiped = (await cluster.followers())[0]!;
    const [left, other] = cluster.nodes.filter((node) => node !== wiped);
    const clients = [left!, other!].map((node) => cluster.client({ first: node.name }));
    const load = new Load(clients, 'reverse', 8);
    await load.more(500);
    await wiped.end('SIGKILL');
    const oldDisk = `${wiped.directory}-old`;
    renameSync(wiped.directory, oldDisk);
    wiped.start();
    await wiped.logged(['this disk is empty and the cluster exists: waiting to be added', 'cluster replace']);
    expect(await wiped.probe('/readyz')).toBe(503);
    await load.more(500);
    await load.stop();
    expect(load.failures).toEqual([]);

    // It votes for nobody: with one of the two others gone there is no majority.
    await other!.end('SIGKILL');
    const lonely = cluster.client({ only: left!.name });
    const refused = await refusal(lonely.submit('reverse', '', { timeoutMs: 3_000 }));
    expect(['NO_LEADER', 'TIMED_OUT', 'OUTCOME_UNKNOWN']).toContain(refused.reason);
    await lonely.close();
    other!.start();
    await other!.ready();

    const during = new Load(clients, 'reverse', 8);
    await during.more(200);
    const steps: string[] = [];
    await clients[0]!.cluster.replace(wiped.name, {
      timeoutMs: REPLACE_MS,
      onProgress: (line) => steps.push(line),
    });
    expect(steps.at(-1)).toBe(`${wiped.name} has caught up and votes`);
    await wiped.ready();
    await during.more(200);
    // A voter again: without the other one there is a majority.
    await other!.end('SIGKILL');
    await during.more(200);
    other!.start();
    await other!.ready();
    await during.stop();
    expect(during.failures).toEqual([]);

    // The old disk must not come back as a second n.
    await wiped.end('SIGKILL');
    const newDisk = `${wiped.directory}-new`;
    renameSync(wiped.directory, newDisk);
    renameSync(oldDisk, wiped.directory);
    const ownLength = wiped.log().length;
    const leader = await cluster.leader();
    const leaderLength = leader.log().length;
    wiped.start();
    await leader.logged([`was replaced: the cluster knows ${wiped.name} by disk`], leaderLength);
    await wiped.logged([`was replaced: the cluster knows ${wiped.name} by disk`], ownLength);
    expect(await wiped.probe('/readyz')).toBe(503);
    await wiped.end('SIGKILL');
    renameSync(wiped.directory, oldDisk);
    renameSync(newDisk, wiped.directory);
    wiped.start();
    await cluster.ready();

    for (const client of clients) await client.close();
    const worker = await startWorker(cluster, 'reverse');
    await expectAllDone(cluster, [...load.acknowledged, ...during.acknowledged]);
    await worker.stop();
    await cluster.agreedHash();
  });
});
