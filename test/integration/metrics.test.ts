import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Client } from '../../src/client/index.js';
import { COUNTERS, EVENT_LOOP, HISTOGRAMS, PULLED } from '../../src/obs/definitions.js';
import { Worker } from '../../src/worker/index.js';
import { parseMetrics, type Scrape } from '../support/prometheus.js';
import { RealCluster, until } from '../support/real-cluster.js';

/**
 * Goal: what an operator watches is there and true on every node of a live cluster: /metrics parses in Prometheus'
 * text format and holds every family of docs/metrics.md, numbers move with what happens, the probes tell a node that
 * works from one that does not ("nothing grows without a named limit", docs/guarantees.md, promise 8: the limits are
 * metrics, too).
 */
const JOBS = 20;
const WAIT_MS = 20_000;

let cluster: RealCluster;
let client: Client;

const scrape = async (name: string): Promise<Scrape> =>
  parseMetrics(await cluster.node(name).text('/metrics'));

beforeAll(async () => {
  cluster = await RealCluster.start();
  client = cluster.client();
});

afterAll(async () => {
  await client.close();
  await cluster.remove();
});

describe('/metrics of a live node', () => {
  it('moves with what happens, the same on every node where it is about the cluster', async () => {
    const worker = new Worker({ endpoints: cluster.node('n2').grpc, concurrency: 4 });
    worker.handle('count', (_job, ctx) => {
      if (ctx.attempt === 1 && _job.text() === '0') throw new Error('once more');
      return 'counted';
    });
    await worker.start();
    const before = await scrape('n2');
    const runs = Array.from({ length: JOBS }, (_, i) =>
      client.run('count', `${i}`, { retry: { initialBackoffMs: 10, maxBackoffMs: 10, jitter: 0 } }),
    );
    await Promise.all(runs.map((run) => run.result));
    await client.submit('idle', '');
    await client.schedules.create({ dayOfMonth: 29, month: 2 }, 'leap');
    const labels = { namespace: 'default', function: 'count' };
    for (const { name } of cluster.nodes) {
      await until(
        WAIT_MS,
        async () => (await scrape(name)).value('gearmesh_jobs_succeeded_total', labels) === JOBS,
      );
      const now = await scrape(name);
      expect(now.value('gearmesh_jobs_submitted_total', labels)).toBe(JOBS);
      expect(now.value('gearmesh_jobs_started_total', labels)).toBe(JOBS + 1);
      expect(now.value('gearmesh_attempts_failed_total', labels)).toBe(1);
      expect(now.value('gearmesh_jobs_retried_total', labels)).toBe(1);
      expect(now.value('gearmesh_queue_workers', labels)).toBe(1);
      expect(now.value('gearmesh_queue_credits', labels)).toBe(4);
      expect(
        now.value('gearmesh_queue_waiting_jobs', { ...labels, function: 'idle', priority: 'normal' }),
      ).toBe(1);
      expect(now.value('gearmesh_sessions')).toBe(1);
      expect(now.value('gearmesh_node_sessions')).toBe(name === 'n2' ? 1 : 0);
      expect(now.value('gearmesh_state_hash_agreement')).toBe(1);
      expect(now.value('gearmesh_info', { node: name, cluster: 'test' })).toBe(1);
      expect(now.value('gearmesh_phase', { phase: 'ready' })).toBe(1);
      expect(now.value('gearmesh_limit', { limit: 'limits.jobs-max' })).toBeGreaterThan(0);
      expect(now.value('gearmesh_schedules')).toBe(1);
      expect(now.value('gearmesh_schedule_firings_total', { outcome: 'skipped' })).toBe(0);
      expect(now.value('gearmesh_limit', { limit: 'limits.schedules-max' })).toBe(10_000);
      expect(now.value('gearmesh_limit_used', { limit: 'limits.schedules-max' })).toBe(1);
    }
    const after = await scrape('n2');
    // The worker sits at n2: it saw each of the jobs start and end.
    const histograms = ['gearmesh_job_start_wait_seconds_count', 'gearmesh_job_total_seconds_count'];
    for (const name of [...histograms, 'gearmesh_wal_sync_seconds_count', 'gearmesh_entries_applied_total']) {
      expect(after.total(name) - before.total(name), name).toBeGreaterThanOrEqual(JOBS / 10);
    }
    expect(after.value('gearmesh_raft_applied_index')!).toBeGreaterThan(
      before.value('gearmesh_raft_applied_index')!,
    );
    await worker.stop();
  });

  it('holds every family that is documented, each with its help and type', async () => {
    const found = await scrape('n1');
    const families = [...PULLED, ...Object.values(COUNTERS), EVENT_LOOP, ...Object.values(HISTOGRAMS)];
    for (const { name } of families) expect(found.types.has(name), name).toBe(true);
    expect([...found.types.keys()].filter((name) => !found.helps.has(name))).toEqual([]);
  });

  it('shows one leader, seen alike by all', async () => {
    const leader = await cluster.leader();
    for (const { name } of cluster.nodes) {
      const found = await scrape(name);
      const role = name === leader.name ? 'leader' : 'follower';
      expect(found.value('gearmesh_raft_role', { role })).toBe(1);
      expect(found.value('gearmesh_raft_leader_known')).toBe(1);
      const peers = cluster.nodes.filter((one) => one.name !== name).map((one) => one.name);
      for (const peer of peers) expect(found.value('gearmesh_peer_connected', { peer })).toBe(1);
    }
  });

  it('counts calls and errors by what became of them', async () => {
    const before = await scrape('n3');
    const only = cluster.client({ only: 'n3' });
    await only.get('01JZ0000000000000000000000').catch(() => {});
    await until(WAIT_MS, async () => {
      const now = await scrape('n3');
      const reason = { reason: 'NOT_FOUND' };
      return (
        (now.value('gearmesh_errors_total', reason) ?? 0) >
        (before.value('gearmesh_errors_total', reason) ?? 0)
      );
    });
    const now = await scrape('n3');
    expect(
      now.samples.some((one) => one.name === 'gearmesh_rpc_total' && one.labels.code === 'NOT_FOUND'),
    ).toBe(true);
    await only.close();
  });
});

describe('the probes', () => {
  it('say yes with a reason on a node that works', async () => {
    for (const path of ['/livez', '/readyz', '/startupz']) {
      expect(await cluster.node('n1').probe(path), path).toBe(200);
      expect(await cluster.node('n1').text(path)).toContain('node: n1');
    }
    const verdict = JSON.parse(await cluster.node('n1').text('/readyz?format=json'));
    expect(verdict).toMatchObject({ ok: true, node: 'n1', phase: 'ready' });
    expect(await cluster.node('n1').probe('/nothing')).toBe(404);
  });

  it('say that a node which waits for others lives and has started, but is not ready', async () => {
    const alone = await RealCluster.prepare();
    try {
      const [node] = alone.nodes;
      node!.start();
      await until(WAIT_MS, async () => (await node!.probe('/startupz')) === 200);
      expect(await node!.probe('/livez')).toBe(200);
      expect(await node!.probe('/readyz')).toBe(503);
      expect(await node!.text('/readyz')).toContain('waits for the other nodes');
      await node!.logged(['waiting for every listed peer before the cluster can form']);
    } finally {
      await alone.remove();
    }
  });
});
