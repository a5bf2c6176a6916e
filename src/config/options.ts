import { DEFAULT_SETTINGS, type Settings } from '../core/types.js';
import type { Option } from './option.js';
import { address, bytes, choice, count, ms, name, onOff, optionalAddress, peers, text } from './option.js';

const KiB = 2 ** 10;
const MiB = 2 ** 20;
const GiB = 2 ** 30;
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;

const seed = DEFAULT_SETTINGS;

/**
 * The one table of a server's settings. A key names the option in YAML (a dot is one level of nesting), its flag
 * (`--` and dashes for dots) and its environment variable (`GEARMESH_`, upper case, underscores).
 */
export const OPTIONS = {
  id: name('n1', {
    section: 'Node',
    help: 'Name of this node, unique in its cluster. It belongs to the data directory and never changes.',
  }),
  'id-from-hostname': onOff(false, {
    section: 'Node',
    help: "Take the node's name from the machine's host name up to its first dot, as a StatefulSet's pods need it.",
  }),
  'data-dir': text('.gearmesh/data', {
    section: 'Node',
    placeholder: 'DIR',
    expected: 'a path',
    valid: (value) => value !== '' && !value.includes('\0'),
    help: 'Directory for the log and the snapshots of this node; made when it is missing. No two nodes may share one.',
  }),
  'cluster-name': name('gearmesh', {
    section: 'Node',
    help: 'Name of the cluster, the same at all its nodes. Nodes of clusters with other names are refused.',
  }),

  'listen-grpc': address('127.0.0.1:7730', {
    section: 'Addresses',
    help: 'Where clients and workers connect (gRPC).',
  }),
  'listen-peer': address('127.0.0.1:7731', {
    section: 'Addresses',
    help: 'Where the other nodes of the cluster connect.',
  }),
  'listen-http': address('127.0.0.1:7732', {
    section: 'Addresses',
    help: 'Where /metrics, /livez, /readyz and /startupz are served.',
  }),
  'listen-gearman': optionalAddress(
    {
      section: 'Addresses',
      help: "Where Gearman's clients, workers and administrators connect. Nothing: no Gearman gateway.",
    },
    '127.0.0.1:4730',
  ),
  'advertise-grpc': optionalAddress({
    section: 'Addresses',
    help: 'Where clients and workers on other machines reach this node; by default the address it listens on.',
  }),
  'advertise-peer': optionalAddress({
    section: 'Addresses',
    help: 'Where other nodes reach this node; by default its own entry in the list of peers, or where it listens.',
  }),
  'advertise-http': optionalAddress({
    section: 'Addresses',
    help: 'Where monitoring reaches this node; by default the address it listens on.',
  }),
  insecure: onOff(false, {
    section: 'Addresses',
    help: 'Allow listeners that are not on loopback, without encryption or authentication. For trusted networks only.',
  }),

  peers: peers({
    section: 'Cluster',
    help: 'All nodes that form the cluster, this one included, by name and peer address. Empty: a cluster of one node.',
  }),
  'peers-template': text('', {
    section: 'Cluster',
    placeholder: 'HOST-{i}:PORT',
    expected: 'a peer address with {i} for the number of the node, e.g. gearmesh-{i}.gearmesh-peers:7731',
    valid: (value) => value === '' || value.includes('{i}'),
    help: 'The list of peers as a pattern: {i} runs from 0 to --replicas minus 1; a name is the host up to its first dot.',
  }),
  replicas: count(0, {
    section: 'Cluster',
    min: 0,
    max: 99,
    help: 'How many nodes the pattern of --peers-template stands for.',
  }),
  'election-timeout-ms': ms(400, {
    section: 'Cluster',
    min: 50,
    max: MINUTE,
    help: 'After this long without a word from the leader (and up to twice as long, by chance) a node stands for election.',
  }),
  'heartbeat-ms': ms(50, {
    section: 'Cluster',
    min: 5,
    max: 10 * SECOND,
    help: 'How often the leader says that it is there. At most a quarter of --election-timeout-ms.',
  }),
  'node-down-ms': ms(2 * SECOND, {
    section: 'Cluster',
    min: 100,
    max: 10 * MINUTE,
    help: 'After this long without a word from a node the leader declares it down: its workers have their grace from then on.',
  }),
  'node-stalled-ms': ms(SECOND, {
    section: 'Cluster',
    min: 100,
    max: 10 * MINUTE,
    help: 'A node that is this far behind with applying the log is given no more jobs for its workers.',
  }),
  'redirect-ms': ms(3 * SECOND, {
    section: 'Cluster',
    min: 100,
    max: 10 * MINUTE,
    help: 'After this long without a leader a node sends its workers to another node that has one.',
  }),
  'clock-skew-max-ms': ms(2 * SECOND, {
    section: 'Cluster',
    min: 100,
    max: 60 * MINUTE,
    help: 'A leader whose clock is further than this from the median of the voters hands leadership to one that is near.',
  }),
  'pending-bytes-max': bytes(64 * MiB, {
    section: 'Cluster',
    min: 2 * MiB,
    max: 4 * GiB,
    help: 'Most bytes of changes taken at this node that wait for their commit; beyond it new ones are refused.',
  }),

  'segment-bytes': bytes(64 * MiB, {
    section: 'Storage',
    min: 4 * MiB,
    max: GiB,
    help: 'Size of one file of the write-ahead log.',
  }),
  'snapshot-log-bytes': bytes(256 * MiB, {
    section: 'Storage',
    min: MiB,
    max: 64 * GiB,
    help: 'A snapshot is taken when the log has grown by this much since the last one.',
  }),
  'keep-log-bytes': bytes(32 * MiB, {
    section: 'Storage',
    min: 0,
    max: 16 * GiB,
    help: 'How much of the newest log stays on disk behind a snapshot, so that a node that lags a little needs no snapshot.',
  }),
  'log-memory-bytes': bytes(16 * MiB, {
    section: 'Storage',
    min: 0,
    max: 16 * GiB,
    help: 'How much of the newest log stays in memory. Older log is read from the disk where a node that lags needs it.',
  }),
  'jobs-memory-bytes': bytes(256 * MiB, {
    section: 'Storage',
    min: MiB,
    max: 1024 * GiB,
    help: 'Memory for the records, payloads and results of jobs. What is over it is put on disk: jobs deep in the queues first.',
  }),
  'disk-reserve-bytes': bytes(256 * MiB, {
    section: 'Storage',
    min: 0,
    max: 1024 * GiB,
    help: 'Free space below which the node takes no new jobs and hands leadership over, so that the log never runs full.',
  }),

  'peer-control-queue-bytes': bytes(4 * MiB, {
    section: 'Peers',
    min: 4 * MiB,
    max: GiB,
    help: 'Most bytes of votes and heartbeats waiting for one slow peer; more are dropped and sent anew.',
  }),
  'peer-data-queue-bytes': bytes(64 * MiB, {
    section: 'Peers',
    min: 32 * MiB,
    max: 4 * GiB,
    help: 'Most bytes of log and events waiting for one slow peer; more are dropped and sent anew.',
  }),
  'peer-bulk-queue-bytes': bytes(8 * MiB, {
    section: 'Peers',
    min: 8 * MiB,
    max: 4 * GiB,
    help: 'Most bytes of snapshot waiting for one slow peer.',
  }),

  'log-level': choice('info', ['debug', 'info', 'warn', 'error'], {
    section: 'Logs',
    help: 'The least important lines that are logged.',
  }),
  'log-format': choice('json', ['json', 'text'], {
    section: 'Logs',
    help: 'One JSON object a line, or text for people.',
  }),

  'drain-timeout-ms': ms(20 * SECOND, {
    section: 'Stopping',
    min: 0,
    max: 60 * MINUTE,
    help: 'How long an orderly stop waits for the jobs and calls under way before it closes their connections.',
  }),

  'jobs.retention-ms': ms(seed.retentionMs, {
    section: 'Jobs',
    min: 0,
    max: 365 * DAY,
    help: 'How long a job that succeeded, was cancelled or expired is kept with its result, unless it says otherwise.',
  }),
  'jobs.failed-retention-ms': ms(seed.failedRetentionMs, {
    section: 'Jobs',
    min: 0,
    max: 365 * DAY,
    help: 'How long a job that failed for good is kept, unless it says otherwise.',
  }),
  'jobs.cancel-grace-ms': ms(seed.cancelGraceMs, {
    section: 'Jobs',
    min: 0,
    max: 365 * DAY,
    help: 'How long a worker may go on with a job that is being cancelled before its lease is revoked.',
  }),
  'jobs.dedupe-window-ms': ms(seed.dedupeWindowMs, {
    section: 'Jobs',
    min: SECOND,
    max: DAY,
    help: 'How long after its submission the same job id finds the same job.',
  }),
  'jobs.dedupe-window-min-ms': ms(seed.dedupeWindowMinMs, {
    section: 'Jobs',
    min: SECOND,
    max: DAY,
    help: 'To how much that window may shrink when limits.dedupe-entries-max is reached.',
  }),

  'retry.max-attempts': count(seed.maxAttempts, {
    section: 'Retries',
    min: 1,
    max: 10_000,
    help: 'Attempts of a job in all, unless it says otherwise.',
  }),
  'retry.initial-backoff-ms': ms(seed.initialBackoffMs, {
    section: 'Retries',
    min: 1,
    max: 365 * DAY,
    help: 'Pause before the second attempt.',
  }),
  'retry.max-backoff-ms': ms(seed.maxBackoffMs, {
    section: 'Retries',
    min: 1,
    max: 365 * DAY,
    help: 'Longest pause between two attempts.',
  }),
  'retry.multiplier-permille': count(seed.multiplierPermille, {
    section: 'Retries',
    unit: 'permille',
    min: 1_000,
    max: 1_000_000,
    help: 'Growth of the pause from attempt to attempt: 2000 doubles it.',
  }),
  'retry.jitter-permille': count(seed.jitterPermille, {
    section: 'Retries',
    unit: 'permille',
    min: 0,
    max: 1_000,
    help: 'By how much the pause varies by chance: 200 is up to 20 % more or less.',
  }),

  'workers.session-grace-ms': ms(seed.sessionGraceMs, {
    section: 'Workers',
    min: 0,
    max: 60 * MINUTE,
    help: 'How long a worker that lost its connection keeps its jobs and may come back, on any node.',
  }),
  'workers.ack-timeout-ms': ms(seed.ackTimeoutMs, {
    section: 'Workers',
    min: 100,
    max: 10 * MINUTE,
    help: 'A job that its worker has not acknowledged after this long goes back to the queue.',
  }),

  'gearman-job-retries': count(0, {
    section: 'Gearman',
    min: 0,
    max: 10_000,
    help: 'A job that was submitted by Gearman fails when its worker was lost (or too slow) this often and once more. 0: no limit.',
  }),
  'gearman-shutdown': onOff(false, {
    section: 'Gearman',
    help: "Lets whoever can connect stop this node by the command `shutdown` of Gearman's text protocol.",
  }),

  'limits.payload-bytes-max': bytes(seed.payloadBytesMax, {
    section: 'Limits',
    min: 1,
    max: 512 * KiB,
    help: 'Largest payload or result inline, in messages and the log; larger ones go as blobs.',
  }),
  'limits.jobs-max': count(seed.jobsMax, {
    section: 'Limits',
    min: 1,
    max: 1_000_000_000,
    help: 'Jobs that wait or run, in the whole cluster.',
  }),
  'limits.jobs-per-function-max': count(seed.jobsPerFunctionMax, {
    section: 'Limits',
    min: 1,
    max: 1_000_000_000,
    help: 'Jobs of one function that wait or run.',
  }),
  'limits.retained-jobs-max': count(seed.retainedJobsMax, {
    section: 'Limits',
    min: 0,
    max: 1_000_000_000,
    help: 'Ended jobs that are kept with their results; the oldest go first.',
  }),
  'limits.dedupe-entries-max': count(seed.dedupeEntriesMax, {
    section: 'Limits',
    min: 1_000,
    max: 1_000_000_000,
    help: 'Job ids remembered to recognise a submission that is repeated.',
  }),
  'limits.functions-max': count(seed.functionsMax, {
    section: 'Limits',
    min: 1,
    max: 10_000_000,
    help: 'Functions (queues) in the cluster.',
  }),
  'limits.sessions-max': count(seed.sessionsMax, {
    section: 'Limits',
    min: 1,
    max: 10_000_000,
    help: 'Worker sessions in the cluster.',
  }),
  'limits.functions-per-session-max': count(seed.functionsPerSessionMax, {
    section: 'Limits',
    min: 1,
    max: 1_000_000,
    help: 'Functions that one worker may offer.',
  }),
  'limits.credits-per-session-max': count(seed.creditsPerSessionMax, {
    section: 'Limits',
    min: 1,
    max: 1_000_000,
    help: 'Jobs that one worker may hold at once.',
  }),
  'blob-uploads-max': count(64, {
    section: 'Limits',
    min: 1,
    max: 1_000,
    help: 'Payloads and results outside the log that clients and workers send to this node at a time.',
  }),
  'limits.blob-bytes-max': bytes(seed.blobBytesMax, {
    section: 'Limits',
    min: 1,
    // A packet of Gearman's tells its length in 32 bits, and names and handles are in it too.
    max: 4 * GiB - MiB,
    help: 'Largest payload or result that is kept outside the log, as all above limits.payload-bytes-max are.',
  }),
  'limits.blobs-total-bytes-max': bytes(seed.blobsTotalBytesMax, {
    section: 'Limits',
    min: 0,
    max: 1_024 * GiB,
    help: 'Bytes of all payloads and results outside the log that jobs have, in the whole cluster. Every node keeps all of them.',
  }),
  'limits.sweep-steps': count(seed.sweepSteps, {
    section: 'Limits',
    min: 100,
    max: 100_000,
    help: 'Steps of a large operation (a purge, the loss of a node) that one log entry carries out; the rest follows.',
  }),
  'limits.schedules-max': count(seed.schedulesMax, {
    section: 'Limits',
    min: 1,
    max: 1_000_000,
    help: 'Schedules in the cluster.',
  }),
} as const satisfies Readonly<Record<string, Option<unknown>>>;

export type OptionKey = keyof typeof OPTIONS;

/** The value of every option, by its key. */
export type Values = {
  readonly [K in OptionKey]: (typeof OPTIONS)[K] extends Option<infer T> ? T : never;
};

/**
 * Options that only seed the formation of a cluster: from then on these settings are part of the replicated state,
 * the same on every node, and a node's flags for them have no effect.
 */
export const SEEDS = {
  sessionGraceMs: 'workers.session-grace-ms',
  ackTimeoutMs: 'workers.ack-timeout-ms',
  cancelGraceMs: 'jobs.cancel-grace-ms',
  retentionMs: 'jobs.retention-ms',
  failedRetentionMs: 'jobs.failed-retention-ms',
  dedupeWindowMs: 'jobs.dedupe-window-ms',
  dedupeWindowMinMs: 'jobs.dedupe-window-min-ms',
  dedupeEntriesMax: 'limits.dedupe-entries-max',
  maxAttempts: 'retry.max-attempts',
  initialBackoffMs: 'retry.initial-backoff-ms',
  maxBackoffMs: 'retry.max-backoff-ms',
  multiplierPermille: 'retry.multiplier-permille',
  jitterPermille: 'retry.jitter-permille',
  jobsMax: 'limits.jobs-max',
  jobsPerFunctionMax: 'limits.jobs-per-function-max',
  retainedJobsMax: 'limits.retained-jobs-max',
  payloadBytesMax: 'limits.payload-bytes-max',
  functionsMax: 'limits.functions-max',
  sessionsMax: 'limits.sessions-max',
  functionsPerSessionMax: 'limits.functions-per-session-max',
  creditsPerSessionMax: 'limits.credits-per-session-max',
  sweepSteps: 'limits.sweep-steps',
  schedulesMax: 'limits.schedules-max',
  blobBytesMax: 'limits.blob-bytes-max',
  blobsTotalBytesMax: 'limits.blobs-total-bytes-max',
} as const satisfies { readonly [K in keyof Settings]: OptionKey };

const SEED_KEYS: ReadonlySet<string> = new Set(Object.values(SEEDS));

export function isSeed(key: string): boolean {
  return SEED_KEYS.has(key);
}

export function flagOf(key: string): string {
  return `--${key.replaceAll('.', '-')}`;
}

export function environmentNameOf(key: string): string {
  return `GEARMESH_${key.replaceAll(/[.-]/g, '_').toUpperCase()}`;
}
