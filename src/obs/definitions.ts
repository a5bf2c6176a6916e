import type { QueueTotals } from '../core/types.js';
import type { FunctionReading } from './fold.js';
import type { Sample } from './instruments.js';
import type { MetricsSource, StateReading, TrafficReading } from './source.js';

/** One row of `docs/metrics.md`. */
export interface MetricInfo {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary';
  readonly help: string;
  readonly labels: readonly string[];
}

/** All that one scrape reads, taken at once. */
export interface Scrape {
  readonly source: MetricsSource;
  readonly state: StateReading | null;
  readonly functions: readonly FunctionReading[];
  /** Functions summed under `(other)`. */
  readonly folded: number;
}

/** A metric that is read from the node when it is scraped. */
export interface Pulled extends MetricInfo {
  read(scrape: Scrape): readonly Sample[];
}

const PHASES = ['starting', 'forming', 'catching-up', 'ready', 'draining', 'stopped'];
const ROLES = ['leader', 'follower', 'candidate', 'learner'];
const PRIORITIES = ['high', 'normal', 'low'] as const;

const plain = (value: number): readonly Sample[] => [{ labels: {}, value }];

/** One of a fixed set of states is 1, the others are 0. */
const oneOf = (label: string, values: readonly string[], present: string): readonly Sample[] =>
  values.map((value) => ({ labels: { [label]: value }, value: value === present ? 1 : 0 }));

function gauge(name: string, help: string, read: (scrape: Scrape) => number | null): Pulled {
  const readPlain = (scrape: Scrape) => {
    const value = read(scrape);
    return value === null ? [] : plain(value);
  };
  return { name, type: 'gauge', help, labels: [], read: readPlain };
}

const ofState = (name: string, help: string, read: (state: StateReading) => number | null): Pulled =>
  gauge(name, help, ({ state }) => (state === null ? null : read(state)));

function perFunction(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  read: (reading: FunctionReading, scrape: Scrape) => number,
): Pulled {
  return {
    name,
    type,
    help,
    labels: ['namespace', 'function'],
    read: (scrape) => scrape.functions.map((one) => ({ labels: one.labels, value: read(one, scrape) })),
  };
}

const total = (name: string, help: string, key: keyof QueueTotals): Pulled =>
  perFunction('counter', name, `${help} Cluster-wide since it formed, the same on every node.`, (one) => {
    return one.totals[key];
  });

function traffic(name: string, help: string, read: (reading: TrafficReading) => number): Pulled {
  return {
    name,
    type: 'counter',
    help,
    labels: ['peer', 'channel'],
    read: ({ source }) =>
      source.traffic().map((one) => ({
        labels: { peer: one.peer, channel: one.channel },
        value: read(one),
      })),
  };
}

const about: readonly Pulled[] = [
  {
    name: 'gearmesh_info',
    type: 'gauge',
    help: 'Always 1; the labels say what runs.',
    labels: ['node', 'cluster', 'version'],
    read: ({ source }) => [
      {
        labels: { node: source.node, cluster: source.clusterName(), version: source.version },
        value: 1,
      },
    ],
  },
  {
    name: 'gearmesh_phase',
    type: 'gauge',
    help: 'Where in its life the node is: 1 for the present phase.',
    labels: ['phase'],
    read: ({ source }) => oneOf('phase', PHASES, source.phase()),
  },
  {
    name: 'gearmesh_limit',
    type: 'gauge',
    help: 'Value of each named limit.',
    labels: ['limit'],
    read: ({ source }) => source.limits().map((one) => ({ labels: { limit: one.name }, value: one.value })),
  },
  {
    name: 'gearmesh_limit_used',
    type: 'gauge',
    help: 'How much of a limit is taken, where that is counted.',
    labels: ['limit'],
    read: ({ source }) =>
      source
        .limits()
        .flatMap((one) => (one.used === null ? [] : [{ labels: { limit: one.name }, value: one.used }])),
  },
];

const jobs: readonly Pulled[] = [
  total('gearmesh_jobs_submitted_total', 'Jobs accepted.', 'submitted'),
  total(
    'gearmesh_jobs_coalesced_total',
    'Submissions joined to a job with the same unique key.',
    'coalesced',
  ),
  total('gearmesh_jobs_started_total', 'Attempts given to a worker.', 'started'),
  total('gearmesh_jobs_succeeded_total', 'Jobs that ended with a result.', 'succeeded'),
  total('gearmesh_jobs_failed_total', 'Jobs that ended without a result after their last attempt.', 'failed'),
  total('gearmesh_jobs_cancelled_total', 'Jobs cancelled.', 'cancelled'),
  total('gearmesh_jobs_expired_total', 'Jobs that did not start before their deadline.', 'expired'),
  total('gearmesh_jobs_retried_total', 'Attempts that were followed by another.', 'retried'),
  total('gearmesh_attempts_failed_total', 'Attempts that failed.', 'failedAttempts'),
  total('gearmesh_leases_lost_total', 'Leases that ended without an outcome.', 'leasesLost'),
  {
    name: 'gearmesh_queue_waiting_jobs',
    type: 'gauge',
    help: 'Jobs that wait for a worker.',
    labels: ['namespace', 'function', 'priority'],
    read: ({ functions }) =>
      functions.flatMap((one) =>
        PRIORITIES.map((priority, rank) => ({
          labels: { ...one.labels, priority },
          value: one.waiting[rank] ?? 0,
        })),
      ),
  },
  {
    name: 'gearmesh_queue_jobs_max',
    type: 'gauge',
    help: 'Jobs that have not ended at most, for one more of the priority to be accepted; 0: no limit.',
    labels: ['namespace', 'function', 'priority'],
    read: ({ functions }) =>
      functions.flatMap((one) =>
        PRIORITIES.map((priority, rank) => ({
          labels: { ...one.labels, priority },
          value: one.jobsMax[rank] ?? 0,
        })),
      ),
  },
  perFunction('gauge', 'gearmesh_queue_scheduled_jobs', 'Jobs that wait for their time.', (q) => q.scheduled),
  perFunction('gauge', 'gearmesh_queue_running_jobs', 'Jobs held by workers.', (q) => q.running),
  perFunction(
    'gauge',
    'gearmesh_queue_oldest_age_seconds',
    'How long the job has been in its queue that waits longest for a worker; 0 when none waits.',
    (q, { source }) =>
      q.oldestWaitingWall === 0 ? 0 : Math.max(0, source.wallMs() - q.oldestWaitingWall) / 1_000,
  ),
  perFunction(
    'gauge',
    'gearmesh_queue_workers',
    'Worker sessions that can do the function.',
    (q) => q.workers,
  ),
  perFunction(
    'gauge',
    'gearmesh_queue_credits',
    'Jobs that those sessions would still take; a session counts at each of its functions.',
    (q) => q.credits,
  ),
  perFunction('gauge', 'gearmesh_queue_paused', '1 while the queue is paused.', (q) => q.paused),
  gauge(
    'gearmesh_functions_folded',
    'Functions beyond the limit of series, summed under "(other)".',
    ({ folded }) => folded,
  ),
  ofState('gearmesh_jobs', 'Jobs known, ended ones that are kept included.', (s) => s.counts.jobs),
  ofState('gearmesh_jobs_waiting', 'Jobs that wait for a worker, all functions.', (s) => s.counts.waiting),
  ofState('gearmesh_jobs_running', 'Jobs held by workers, all functions.', (s) => s.counts.running),
  ofState('gearmesh_functions', 'Functions known.', (s) => s.counts.functions),
  ofState('gearmesh_sessions', 'Worker sessions in the cluster.', (s) => s.counts.sessions),
  ofState('gearmesh_node_sessions', 'Worker sessions connected to this node.', (s) => s.here.sessions),
  ofState(
    'gearmesh_node_credits',
    'Jobs that the worker sessions connected to this node would still take.',
    (s) => s.here.credits,
  ),
  ofState(
    'gearmesh_dedupe_entries',
    'Job ids remembered to recognise repeated submissions.',
    (s) => s.counts.dedupeEntries,
  ),
  ofState('gearmesh_payload_bytes', 'Payloads and results held in memory.', (s) => s.counts.payloadBytes),
  ofState(
    'gearmesh_spilled_jobs',
    'Jobs whose records and payloads are on the disk of this node alone, as memory has no room for them.',
    (s) => s.counts.spilledJobs,
  ),
  {
    name: 'gearmesh_spill_loads_total',
    type: 'counter',
    help: 'Pages of up to 256 such jobs that came back into memory.',
    labels: [],
    read: ({ state }) => (state === null ? [] : plain(state.counts.spillLoads)),
  },
  ofState('gearmesh_spill_bytes', 'Size of the files for such jobs.', (s) => s.storage.spillBytes),
  ofState('gearmesh_schedules', 'Schedules in the cluster.', (s) => s.counts.schedules),
  {
    name: 'gearmesh_schedule_firings_total',
    type: 'counter',
    help: 'Minutes for which a schedule submitted: a job was created, one with the same unique key was joined (coalesced), or a limit refused it (skipped).',
    labels: ['outcome'],
    read: ({ state }) =>
      Object.entries(state?.counts.firings ?? {}).map(([outcome, value]) => ({ labels: { outcome }, value })),
  },
];

const raft: readonly Pulled[] = [
  {
    name: 'gearmesh_raft_role',
    type: 'gauge',
    help: 'Role of this node in the replication: 1 for the present one.',
    labels: ['role'],
    read: ({ state }) => (state === null ? [] : oneOf('role', ROLES, state.raft.role)),
  },
  ofState('gearmesh_raft_term', 'Current term.', (s) => s.raft.term),
  ofState('gearmesh_raft_leader_known', '1 while this node knows a leader.', (s) =>
    s.raft.leader === '' ? 0 : 1,
  ),
  ofState(
    'gearmesh_raft_leaderless_seconds',
    'For how long this node has known no leader; 0 while it knows one.',
    (s) => s.raft.leaderlessMs / 1_000,
  ),
  ofState('gearmesh_raft_commit_index', 'Last log entry known as committed.', (s) => s.raft.commit),
  ofState('gearmesh_raft_applied_index', 'Last log entry applied.', (s) => s.raft.applied),
  ofState('gearmesh_raft_last_index', 'Last log entry here.', (s) => s.raft.lastIndex),
  ofState(
    'gearmesh_raft_durable_index',
    'Last log entry on the disk of this node.',
    (s) => s.raft.durableIndex,
  ),
  ofState('gearmesh_raft_apply_lag_entries', 'Entries committed and not yet applied.', (s) =>
    Math.max(0, s.raft.commit - s.raft.applied),
  ),
  ofState(
    'gearmesh_state_hash_agreement',
    '0 when another node’s state differs at the same index: an alarm.',
    (s) => (s.hash.agrees ? 1 : 0),
  ),
  ofState('gearmesh_state_hash_index', 'Index at which the state was last hashed.', (s) => s.hash.index),
];

const storage: readonly Pulled[] = [
  ofState('gearmesh_wal_bytes', 'Size of the log on disk.', (s) => s.storage.walBytes),
  ofState('gearmesh_wal_segments', 'Files of the log.', (s) => s.storage.walSegments),
  gauge(
    'gearmesh_snapshot_age_seconds',
    'Age of the newest snapshot; absent while there is none.',
    (scrape) => {
      const snapshot = scrape.state?.storage.snapshot ?? null;
      return snapshot === null ? null : Math.max(0, scrape.source.wallMs() - snapshot.takenWall) / 1_000;
    },
  ),
  ofState(
    'gearmesh_snapshot_bytes',
    'Size of the newest snapshot.',
    (s) => s.storage.snapshot?.bytes ?? null,
  ),
  ofState(
    'gearmesh_snapshot_index',
    'Log index of the newest snapshot.',
    (s) => s.storage.snapshot?.index ?? null,
  ),
  ofState(
    'gearmesh_disk_low',
    '1 while free disk space is below the reserve: no new jobs are accepted.',
    (s) => (s.storage.diskLow ? 1 : 0),
  ),
];

const ofBlobs = (
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  read: (blobs: StateReading['blobs']) => number,
): Pulled => ({ ...ofState(name, help, (s) => read(s.blobs)), type });

const blobs: readonly Pulled[] = [
  ofBlobs(
    'gauge',
    'gearmesh_blobs',
    'Payloads and results outside the log on the disk of this node.',
    (b) => b.held,
  ),
  ofBlobs('gauge', 'gearmesh_blob_bytes', 'Their size.', (b) => b.bytes),
  ofBlobs(
    'gauge',
    'gearmesh_blobs_missing',
    'Payloads and results outside the log that jobs have and this node lacks: it fetches them.',
    (b) => b.missing,
  ),
  ofBlobs('counter', 'gearmesh_blob_fetches_total', 'Blobs fetched from other nodes.', (b) => b.fetched),
  ofBlobs(
    'counter',
    'gearmesh_blob_fetches_failed_total',
    'Tries to fetch a blob from another node that failed; it is tried again.',
    (b) => b.failedFetches,
  ),
  ofBlobs(
    'gauge',
    'gearmesh_blob_uploads',
    'Payloads and results outside the log that are being sent to this node by clients and workers.',
    (b) => b.uploads,
  ),
];

const peers: readonly Pulled[] = [
  {
    name: 'gearmesh_peer_connected',
    type: 'gauge',
    help: '1 while all channels to the peer are open.',
    labels: ['peer'],
    read: ({ source }) =>
      source.peers().map((one) => ({ labels: { peer: one.peer }, value: one.connected ? 1 : 0 })),
  },
  {
    name: 'gearmesh_peer_clock_offset_seconds',
    type: 'gauge',
    help: 'Wall clock of the peer less the one here, at most half a round trip from the truth.',
    labels: ['peer'],
    read: ({ source }) =>
      source
        .peers()
        .flatMap((one) =>
          one.clockOffsetMs === null ? [] : [{ labels: { peer: one.peer }, value: one.clockOffsetMs / 1000 }],
        ),
  },
  {
    name: 'gearmesh_peer_lag_entries',
    type: 'gauge',
    help: 'Entries committed here that the peer has not applied, as far as it said.',
    labels: ['peer'],
    read: ({ source }) =>
      source
        .peers()
        .flatMap((one) =>
          one.lagEntries === null ? [] : [{ labels: { peer: one.peer }, value: one.lagEntries }],
        ),
  },
  traffic('gearmesh_peer_sent_bytes_total', 'Bytes of frames sent to a peer.', (t) => t.sentBytes),
  traffic(
    'gearmesh_peer_received_bytes_total',
    'Bytes of frames received from a peer.',
    (t) => t.receivedBytes,
  ),
  traffic('gearmesh_peer_sent_frames_total', 'Frames sent to a peer.', (t) => t.sentFrames),
  traffic('gearmesh_peer_received_frames_total', 'Frames received from a peer.', (t) => t.receivedFrames),
  {
    name: 'gearmesh_peer_refused_frames_total',
    type: 'counter',
    help: 'Frames not sent because a queue towards a peer was full or the frame was longer than its limit.',
    labels: [],
    read: ({ source }) => plain(source.refusedFrames()),
  },
  {
    name: 'gearmesh_peer_dropped_connections_total',
    type: 'counter',
    help: 'Connections at the peer port closed for what came, or did not come, on them.',
    labels: [],
    read: ({ source }) => plain(source.droppedConnections()),
  },
];

const gearman: readonly Pulled[] = [
  gauge('gearmesh_gearman_connections', 'Connections at the Gearman port of this node.', ({ source }) =>
    source.gearmanConnections(),
  ),
];

/** Everything that is read from the node at a scrape, in the order in which it is shown. */
export const PULLED: readonly Pulled[] = [
  ...about,
  ...jobs,
  ...raft,
  ...storage,
  ...blobs,
  ...peers,
  ...gearman,
];

const SHORT_SECONDS = [
  0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];
const LONG_SECONDS = [
  0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 3_600, 21_600,
  86_400,
];

/** What the node observes while it works: name, help, upper bounds of the buckets. */
export const HISTOGRAMS = {
  start: {
    name: 'gearmesh_job_start_wait_seconds',
    help: 'From a job’s coming into its queue (submitted, due, tried again, given back) to its assignment to a worker at this node.',
    bounds: LONG_SECONDS,
  },
  end: {
    name: 'gearmesh_job_total_seconds',
    help: 'From a job’s submission to its end by a worker at this node, completed or failed for good.',
    bounds: LONG_SECONDS,
  },
  proposal: {
    name: 'gearmesh_proposal_seconds',
    help: 'From the first send of a batch of this node until it was applied here.',
    bounds: SHORT_SECONDS,
  },
  batch: {
    name: 'gearmesh_batch_answers',
    help: 'Answers owed by one batch of this node: how many commands shared one log entry.',
    bounds: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 4_096],
  },
  sync: {
    name: 'gearmesh_wal_sync_seconds',
    help: 'One write of the log and its fdatasync.',
    bounds: SHORT_SECONDS,
  },
  snapshot: {
    name: 'gearmesh_snapshot_seconds',
    help: 'Taking a snapshot, from its beginning until it was durable.',
    bounds: LONG_SECONDS,
  },
} as const satisfies Record<string, { name: string; help: string; bounds: readonly number[] }>;

/** What the node and its edges count. */
export const COUNTERS = {
  applied: { name: 'gearmesh_entries_applied_total', help: 'Log entries applied.', labels: [] },
  leaderChanges: {
    name: 'gearmesh_raft_leader_changes_total',
    help: 'Times that this node came to know another leader.',
    labels: [],
  },
  leaderLosses: {
    name: 'gearmesh_raft_leader_losses_total',
    help: 'Times that this node lost its leader without knowing another.',
    labels: [],
  },
  elections: {
    name: 'gearmesh_raft_elections_total',
    help: 'Elections that this node noticed: terms begun since it started.',
    labels: [],
  },
  snapshotsFailed: {
    name: 'gearmesh_snapshots_failed_total',
    help: 'Snapshots given up because the disk was full: own ones, and those that another node sent.',
    labels: [],
  },
  rpc: {
    name: 'gearmesh_rpc_total',
    help: 'Calls that ended, by their status code.',
    labels: ['method', 'code'],
  },
  errors: {
    name: 'gearmesh_errors_total',
    help: 'Requests refused or failed, by the reason in the table of errors.',
    labels: ['reason'],
  },
  gearmanPackets: {
    name: 'gearmesh_gearman_packets_total',
    help: 'Requests at the Gearman port, by the name of the packet; `text` for text commands.',
    labels: ['type'],
  },
  gearmanErrors: {
    name: 'gearmesh_gearman_errors_total',
    help: 'ERROR packets and ERR lines sent to Gearman clients and workers, by their code.',
    labels: ['code'],
  },
} as const satisfies Record<string, { name: string; help: string; labels: readonly string[] }>;

export const EVENT_LOOP = {
  name: 'gearmesh_event_loop_delay_seconds',
  type: 'gauge',
  help: 'Delay of the event loop since the previous scrape: quantiles and maximum ("1").',
  labels: ['quantile'],
} as const satisfies MetricInfo;
