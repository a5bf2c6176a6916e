import { afterAll, describe, expect, it } from 'vitest';
import { createMetrics } from '../../../src/obs/index.js';
import { dashboardMetrics, dashboardQueries, readDashboard } from '../../support/dashboard.js';
import { readQuery } from '../../support/promql.js';

const metrics = createMetrics();
afterAll(() => metrics.close());
const table = new Map(metrics.table().map((info) => [info.name, info]));
const dashboard = readDashboard();
const queries = dashboardQueries(dashboard);

/** Samples of a histogram have names and a label of their own. */
function infoOf(sample: string): { labels: readonly string[]; help: string } | undefined {
  const plain = table.get(sample);
  if (plain !== undefined) return plain.type === 'histogram' ? undefined : plain;
  const of = table.get(sample.replace(/_(bucket|sum|count)$/, ''));
  return of?.type === 'histogram' ? { ...of, labels: [...of.labels, 'le'] } : undefined;
}

/** What Prometheus adds when it scrapes. */
const ADDED = ['job', 'instance'];

/** What is wrong with the metrics and labels of a query. */
function faults(query: string): string[] {
  const { selected, grouping } = readQuery(query);
  const known = new Set(ADDED);
  const found: string[] = [];
  for (const { metric, labels } of selected) {
    const info = metric === 'up' ? { labels: [], help: '' } : infoOf(metric);
    if (info === undefined) {
      found.push(`${metric}: no such metric`);
      continue;
    }
    for (const label of info.labels) known.add(label);
    found.push(
      ...labels
        .filter((label) => !info.labels.includes(label) && !ADDED.includes(label))
        .map((label) => `${metric} has no label ${label}`),
    );
  }
  return [...found, ...grouping.filter((label) => !known.has(label)).map((label) => `no label ${label}`)];
}

/** Counters of the replicated state stand on every node: only the greatest of them may be looked at. */
function addedUp(query: string): string[] {
  return readQuery(query)
    .selected.map((one) => one.metric)
    .filter((metric) => infoOf(metric)?.help.includes('Cluster-wide') === true)
    .filter((metric) => !query.includes(`max by (namespace, function) (${metric}{`));
}

describe('reading PromQL', () => {
  it('finds metrics, matched labels and groupings', () => {
    const query =
      'histogram_quantile(0.9, sum by (le, x) (rate(a_bucket{job="$job", b=~"c{}"}[5m]))) / on (y) d > bool 1e3';
    expect(readQuery(query)).toEqual({
      selected: [
        { metric: 'a_bucket', labels: ['job', 'b'] },
        { metric: 'd', labels: [] },
      ],
      grouping: ['le', 'x', 'y'],
    });
    expect(readQuery('sum(up) by (a)').selected).toEqual([{ metric: 'up', labels: [] }]);
  });

  it.each(['sum(up', 'up)', '{a="b"}', 'up{a="b)', 'up ; up', 'sum by (a)'])('refuses %s', (query) => {
    expect(() => readQuery(query)).toThrow();
  });

  it('finds names that do not exist', () => {
    expect(faults('rate(gearmesh_jobs_submited_total[5m])')).toEqual([
      'gearmesh_jobs_submited_total: no such metric',
    ]);
    expect(faults('gearmesh_wal_sync_seconds')).toEqual(['gearmesh_wal_sync_seconds: no such metric']);
    expect(faults('sum by (role) (gearmesh_raft_term{node="n1"})')).toEqual([
      'gearmesh_raft_term has no label node',
      'no label role',
    ]);
    expect(addedUp('sum(rate(gearmesh_jobs_submitted_total{job="x"}[1m]))')).toEqual([
      'gearmesh_jobs_submitted_total',
    ]);
  });
});

describe('the dashboard', () => {
  it('asks for metrics and labels that exist', () => {
    expect(queries.length).toBeGreaterThan(40);
    expect(queries.flatMap(faults)).toEqual([]);
    expect(queries.flatMap(addedUp)).toEqual([]);
  });

  it('lists its metrics as samples of /metrics', () => {
    const names = dashboardMetrics();
    expect(names).toContain('gearmesh_wal_sync_seconds_bucket');
    expect(names).toContain('process_resident_memory_bytes');
    expect(names).not.toContain('up');
    expect(names).toEqual([...new Set(names)].sort());
  });

  it.each([
    ['the leader', 'gearmesh_raft_role'],
    ['terms', 'gearmesh_raft_term'],
    ['elections', 'gearmesh_raft_elections_total'],
    ['lag of commits', 'gearmesh_raft_commit_index'],
    ['lag of applying', 'gearmesh_raft_apply_lag_entries'],
    ['syncs', 'gearmesh_wal_sync_seconds_bucket'],
    ['proposals', 'gearmesh_proposal_seconds_bucket'],
    ['submission to start', 'gearmesh_job_start_wait_seconds_bucket'],
    ['depth', 'gearmesh_queue_waiting_jobs'],
    ['age', 'gearmesh_queue_oldest_age_seconds'],
    ['failed jobs', 'gearmesh_jobs_failed_total'],
    ['sessions', 'gearmesh_node_sessions'],
    ['credits', 'gearmesh_node_credits'],
    ['the log', 'gearmesh_wal_bytes'],
    ['snapshots', 'gearmesh_snapshot_age_seconds'],
    ['the event loop', 'gearmesh_event_loop_delay_seconds'],
    ['the disk', 'gearmesh_disk_low'],
    ['hashes', 'gearmesh_state_hash_agreement'],
    ['limits', 'gearmesh_limit_used'],
  ])('shows %s', (_what, metric) => {
    expect(dashboardMetrics()).toContain(metric);
  });

  it('has panels that explain themselves and do not overlap', () => {
    const { panels } = dashboard;
    expect(new Set(panels.map((panel) => panel.id)).size).toBe(panels.length);
    for (const panel of panels.filter((one) => one.type !== 'row')) {
      expect(panel.description?.length ?? 0, panel.title).toBeGreaterThan(20);
      expect(panel.datasource?.uid, panel.title).toBe('$' + '{datasource}');
    }
    const taken = new Map<string, string>();
    for (const { gridPos, title } of panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken.get(`${x},${y}`), title).toBeUndefined();
          taken.set(`${x},${y}`, title);
        }
      }
    }
  });

  it('uses only variables that it has', () => {
    const known = new Set([
      ...dashboard.templating.list.map(({ name }) => name),
      '__rate_interval',
      '__auto',
      '__all',
    ]);
    const used = [...JSON.stringify(dashboard).matchAll(/\$\{?(\w+)/g)].map((match) => match[1]!);
    expect(used.filter((name) => !known.has(name))).toEqual([]);
  });
});
