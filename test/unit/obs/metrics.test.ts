import { afterEach, describe, expect, it } from 'vitest';
import { createMetrics, type MetricsOptions, type NodeMetrics } from '../../../src/obs/index.js';
import { Histogram, LabelledCounter } from '../../../src/obs/instruments.js';
import { parse, queueOf, sourceOf, stateOf } from './bundle.js';

const open: NodeMetrics[] = [];
function metricsOf(...args: Parameters<typeof createMetrics>): NodeMetrics {
  const metrics = createMetrics(...args);
  open.push(metrics);
  return metrics;
}
afterEach(() => {
  for (const metrics of open.splice(0)) metrics.close();
});

const READY = sourceOf(() => stateOf([queueOf('resize'), queueOf('mail', { paused: true })]));
const scrape = async (source = READY, options: MetricsOptions = {}) =>
  parse(await metricsOf(source, options).text());

describe('a scrape', () => {
  it('shows what the node says, in base units', async () => {
    const { samples } = await scrape();
    const of = (name: string) => samples.get(name);
    const resize = '{namespace="default",function="resize"}';
    expect(of(`gearmesh_jobs_submitted_total${resize}`)).toBe(10);
    expect(of(`gearmesh_jobs_coalesced_total${resize}`)).toBe(11);
    expect(of(`gearmesh_jobs_started_total${resize}`)).toBe(12);
    expect(of(`gearmesh_jobs_succeeded_total${resize}`)).toBe(13);
    expect(of(`gearmesh_attempts_failed_total${resize}`)).toBe(14);
    expect(of(`gearmesh_jobs_failed_total${resize}`)).toBe(15);
    expect(of(`gearmesh_jobs_retried_total${resize}`)).toBe(16);
    expect(of(`gearmesh_jobs_cancelled_total${resize}`)).toBe(17);
    expect(of(`gearmesh_jobs_expired_total${resize}`)).toBe(18);
    expect(of(`gearmesh_leases_lost_total${resize}`)).toBe(19);
    expect(of('gearmesh_queue_waiting_jobs{namespace="default",function="resize",priority="high"}')).toBe(1);
    expect(of('gearmesh_queue_waiting_jobs{namespace="default",function="resize",priority="low"}')).toBe(3);
    expect(of(`gearmesh_queue_oldest_age_seconds${resize}`)).toBe(10);
    expect(of('gearmesh_queue_paused{namespace="default",function="mail"}')).toBe(1);
    expect(of('gearmesh_raft_role{role="leader"}')).toBe(1);
    expect(of('gearmesh_raft_role{role="follower"}')).toBe(0);
    expect(of('gearmesh_raft_apply_lag_entries')).toBe(2);
    expect(of('gearmesh_snapshot_age_seconds')).toBe(30);
    expect(of('gearmesh_state_hash_agreement')).toBe(1);
    expect(of('gearmesh_peer_connected{peer="n3"}')).toBe(0);
    expect(of('gearmesh_peer_lag_entries{peer="n2"}')).toBe(2);
    expect(of('gearmesh_peer_lag_entries{peer="n3"}')).toBeUndefined();
    expect(of('gearmesh_peer_clock_offset_seconds{peer="n2"}')).toBe(-1.5);
    expect(of('gearmesh_peer_clock_offset_seconds{peer="n3"}')).toBeUndefined();
    expect(of('gearmesh_peer_sent_bytes_total{peer="n2",channel="control"}')).toBe(1);
    expect(of('gearmesh_limit{limit="jobsMax"}')).toBe(20_000_000);
    expect(of('gearmesh_limit_used{limit="jobsMax"}')).toBe(1);
    expect(of('gearmesh_phase{phase="ready"}')).toBe(1);
    expect(of('gearmesh_node_credits')).toBe(9);
    expect(of('gearmesh_info{node="n1",cluster="a \\"quoted\\"\\ncluster",version="1.2.3"}')).toBe(1);
  });

  it('says that hashes disagree', async () => {
    const state = { ...stateOf([]), hash: { index: 64, agrees: false } };
    const { samples } = await scrape(sourceOf(() => state));
    expect(samples.get('gearmesh_state_hash_agreement')).toBe(0);
  });

  it('works before there is a node, and before the node has a state', async () => {
    const metrics = metricsOf();
    metrics.applied(3);
    expect(parse(await metrics.text()).samples.get('gearmesh_entries_applied_total')).toBe(3);
    metrics.attach(sourceOf(() => null));
    const { samples } = parse(await metrics.text());
    expect(samples.get('gearmesh_phase{phase="ready"}')).toBe(1);
    expect(samples.has('gearmesh_raft_term')).toBe(false);
  });

  it('shows the delay of the event loop and the process', async () => {
    const { samples } = await scrape();
    for (const quantile of ['0.5', '0.99', '1']) {
      expect(samples.get(`gearmesh_event_loop_delay_seconds{quantile="${quantile}"}`)).toBeGreaterThanOrEqual(
        0,
      );
    }
    expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(1_000_000);
  });
});

describe('the table', () => {
  it('lists exactly what a scrape shows, with help and type', async () => {
    const metrics = metricsOf(READY);
    metrics.rpc('m', 'OK');
    metrics.error('NOT_FOUND');
    metrics.gearmanPacket('SUBMIT_JOB');
    metrics.gearmanError('JOB_NOT_FOUND');
    const { types, helps, samples } = parse(await metrics.text());
    const table = metrics.table();
    expect(table.map((row) => row.name).sort()).toEqual([...types.keys()].sort());
    for (const row of table) {
      expect(types.get(row.name), row.name).toBe(row.type);
      expect(helps.get(row.name)).toBe(row.help);
      expect(row.help.length).toBeGreaterThan(5);
    }
    for (const row of table.filter((r) => r.name.startsWith('gearmesh_'))) {
      const shown = [...samples.keys()].find((key) => key.replace(/\{.*/s, '') === row.name);
      if (row.type === 'histogram') continue;
      const labels = [...(shown ?? '').matchAll(/([a-z_]+)="/g)].map((match) => match[1]);
      expect(shown, row.name).toBeDefined();
      expect(labels.sort(), row.name).toEqual([...row.labels].sort());
    }
  });

  it('keeps to the naming rules', () => {
    for (const { name, type } of metricsOf().table()) {
      if (!name.startsWith('gearmesh_')) continue;
      expect(name.endsWith('_total'), name).toBe(type === 'counter' && name.endsWith('_total'));
      if (type === 'counter') expect(name).toMatch(/_total$/);
      expect(name).not.toMatch(/_(ms|milliseconds|us|kb|mb|minutes)(_|$)/);
    }
  });
});

describe('functions beyond the limit', () => {
  const many = (count: number) => Array.from({ length: count }, (_, i) => queueOf(`f${i}`));

  it('are summed under (other), and the number of series stays bounded', async () => {
    const { samples } = await scrape(
      sourceOf(() => stateOf(many(50))),
      { functionsMax: 10 },
    );
    const submitted = [...samples].filter(([key]) => key.startsWith('gearmesh_jobs_submitted_total'));
    expect(submitted).toHaveLength(11);
    expect(submitted.reduce((sum, [, value]) => sum + value, 0)).toBe(500);
    const other = '{namespace="(other)",function="(other)"}';
    expect(samples.get(`gearmesh_jobs_submitted_total${other}`)).toBe(400);
    expect(samples.get(`gearmesh_queue_running_jobs${other}`)).toBe(200);
    expect(samples.get(`gearmesh_queue_oldest_age_seconds${other}`)).toBe(10);
    expect(samples.get('gearmesh_functions_folded')).toBe(40);
  });

  it('stay there, so that the sum never falls when functions come and go', async () => {
    let queues = many(12);
    const metrics = metricsOf(
      sourceOf(() => stateOf(queues)),
      { functionsMax: 10 },
    );
    const others = async () =>
      parse(await metrics.text()).samples.get(
        'gearmesh_jobs_submitted_total{namespace="(other)",function="(other)"}',
      );
    expect(await others()).toBe(20);
    queues = [queueOf('a-new-one'), ...many(12).slice(3)];
    expect(await others()).toBe(30);
    // What was counted stays when a function is dropped, also while all of the others are gone.
    queues = many(11);
    expect(await others()).toBe(30);
    queues = many(10);
    expect(await others()).toBeUndefined();
    queues = many(12);
    expect(await others()).toBe(40);
  });
});

describe('what is observed', () => {
  it('histograms: bounds belong to their bucket, buckets are cumulative', () => {
    const histogram = new Histogram('h', [1, 2, 4]);
    histogram.observeMany([500, 1_000, 1_001, 2_000, 4_001], 1_000);
    histogram.observe(3);
    const of = Object.fromEntries(
      histogram
        .samples()
        .map((s) => [`${s.metricName}${s.labels.le === undefined ? '' : `:${s.labels.le}`}`, s.value]),
    );
    expect(of).toEqual({
      'h_bucket:1': 2,
      'h_bucket:2': 4,
      'h_bucket:4': 5,
      'h_bucket:+Inf': 6,
      h_sum: 0.5 + 1 + 1.001 + 2 + 4.001 + 3,
      h_count: 6,
    });
  });

  it('times come in the units of the node and go out in seconds', async () => {
    const metrics = metricsOf();
    metrics.synced(2);
    metrics.proposed(30, 64);
    metrics.started(1_500_000);
    metrics.startedMany(Float64Array.of(500_000, 1_000_000));
    metrics.ended(2_000_000);
    metrics.endedMany([1_000_000]);
    metrics.snapshotTaken(250, 1);
    metrics.snapshotFailed();
    const { samples } = parse(await metrics.text());
    expect(samples.get('gearmesh_wal_sync_seconds_sum')).toBe(0.002);
    expect(samples.get('gearmesh_wal_sync_seconds_bucket{le="0.0025"}')).toBe(1);
    expect(samples.get('gearmesh_wal_sync_seconds_bucket{le="0.001"}')).toBe(0);
    expect(samples.get('gearmesh_proposal_seconds_sum')).toBe(0.03);
    expect(samples.get('gearmesh_batch_answers_sum')).toBe(64);
    expect(samples.get('gearmesh_job_start_wait_seconds_sum')).toBe(3);
    expect(samples.get('gearmesh_job_start_wait_seconds_count')).toBe(3);
    expect(samples.get('gearmesh_job_total_seconds_sum')).toBe(3);
    expect(samples.get('gearmesh_snapshot_seconds_sum')).toBe(0.25);
    expect(samples.get('gearmesh_snapshots_failed_total')).toBe(1);
  });

  it('leaders and elections', async () => {
    const metrics = metricsOf();
    metrics.leaderChanged('n1', 5);
    metrics.leaderChanged('', 5);
    metrics.leaderChanged('n2', 7);
    const { samples } = parse(await metrics.text());
    expect(samples.get('gearmesh_raft_leader_changes_total')).toBe(2);
    expect(samples.get('gearmesh_raft_leader_losses_total')).toBe(1);
    expect(samples.get('gearmesh_raft_elections_total')).toBe(2);
  });

  it('counters with labels are bounded', () => {
    const counter = new LabelledCounter(['method', 'code'], 3);
    for (let i = 0; i < 100; i++) counter.inc(`m${i % 10}`, 'OK');
    const samples = counter.samples();
    expect(samples).toHaveLength(4);
    expect(samples[0]).toEqual({ labels: { method: 'm0', code: 'OK' }, value: 10 });
    expect(samples[3]).toEqual({ labels: { method: '(other)', code: '(other)' }, value: 70 });
  });
});
