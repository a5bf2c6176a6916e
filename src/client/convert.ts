import { NodeRole, type Cluster as WireCluster } from '../../proto/gen/gearmesh/v1/cluster.js';
import {
  Consistency,
  type Job as WireJob,
  type JobError as WireJobError,
  Priority as WirePriority,
  type RetryPolicy as WireRetry,
  type JobState as WireState,
} from '../../proto/gen/gearmesh/v1/common.js';
import { Disposition, JobSpec, type SubmitResult as WireResult } from '../../proto/gen/gearmesh/v1/job.js';
import type { Queue as WireQueue } from '../../proto/gen/gearmesh/v1/queue.js';
import type {
  Calendar as WireCalendar,
  Schedule as WireSchedule,
} from '../../proto/gen/gearmesh/v1/schedule.js';
import type { Duration } from '../../proto/gen/google/protobuf/duration.js';
import type { Timestamp } from '../../proto/gen/google/protobuf/timestamp.js';
import { encodePayload, type PayloadInput } from './payload.js';
import type {
  Calendar,
  ClusterInfo,
  JobErrorInfo,
  JobInfo,
  JobOptions,
  JobState,
  NodeInfo,
  Priority,
  QueueInfo,
  ReadOptions,
  RetryPolicy,
  ScheduleInfo,
  SubmitResult,
} from './types.js';

/** Milliseconds as the proto's duration. Throws RangeError for what is no number. */
export function toDuration(ms: number): Duration;
export function toDuration(ms: number | undefined): Duration | undefined;
export function toDuration(ms: number | undefined): Duration | undefined {
  if (ms === undefined) return undefined;
  if (!Number.isSafeInteger(Math.trunc(ms))) throw new RangeError(`${ms} is not a number of milliseconds`);
  const seconds = Math.trunc(ms / 1_000);
  return { seconds, nanos: Math.round((ms - seconds * 1_000) * 1e6) };
}

export function fromDuration(duration: Duration): number;
export function fromDuration(duration: Duration | undefined): number | undefined;
export function fromDuration(duration: Duration | undefined): number | undefined {
  return duration === undefined ? undefined : duration.seconds * 1_000 + duration.nanos / 1e6;
}

/** Milliseconds since 1970-01-01 UTC. */
export function timestampMs(time: Timestamp): number {
  return time.seconds * 1_000 + Math.floor(time.nanos / 1e6);
}

export function fromTimestamp(time: Timestamp | undefined): Date | undefined {
  return time === undefined ? undefined : new Date(timestampMs(time));
}

function toTimestamp(date: Date | undefined): Timestamp | undefined {
  if (date === undefined) return undefined;
  const ms = date.getTime();
  if (Number.isNaN(ms)) throw new RangeError('an invalid Date');
  const seconds = Math.floor(ms / 1_000);
  return { seconds, nanos: (ms - seconds * 1_000) * 1e6 };
}

const STATES: readonly JobState[] = [
  'scheduled',
  'queued',
  'running',
  'succeeded',
  'failed',
  'cancelled',
  'expired',
];

/** A state that this SDK does not know yet is shown as `queued`: never as an end. */
export function fromState(state: WireState): JobState {
  return STATES[state - 1] ?? 'queued';
}

export function toState(state: JobState): WireState {
  const at = STATES.indexOf(state);
  if (at < 0) throw new RangeError(`'${state}' is not a state of a job`);
  return (at + 1) as WireState;
}

const TO_PRIORITY: Readonly<Record<Priority, WirePriority>> = {
  high: WirePriority.HIGH,
  normal: WirePriority.NORMAL,
  low: WirePriority.LOW,
};

export function fromPriority(priority: WirePriority): Priority {
  return priority === WirePriority.HIGH ? 'high' : priority === WirePriority.LOW ? 'low' : 'normal';
}

function toPriority(priority: Priority | undefined): WirePriority {
  if (priority === undefined) return WirePriority.UNSPECIFIED;
  const wire = TO_PRIORITY[priority] as WirePriority | undefined;
  if (wire === undefined) throw new RangeError(`'${String(priority)}' is not a priority`);
  return wire;
}

function toRetry(retry: RetryPolicy | undefined): WireRetry | undefined {
  if (retry === undefined) return undefined;
  const { maxAttempts = 0 } = retry;
  if (maxAttempts !== maxAttempts >>> 0) throw new RangeError(`${maxAttempts} is not a number of attempts`);
  return {
    maxAttempts,
    initialBackoff: toDuration(retry.initialBackoffMs),
    maxBackoff: toDuration(retry.maxBackoffMs),
    multiplier: retry.multiplier ?? 0,
    jitter: retry.jitter,
  };
}

const NO_OPTIONS: JobOptions = {};
const NO_METADATA: { [key: string]: string } = {};

/**
 * A submission as it goes out. Throws RangeError or TypeError for what cannot be encoded: a bad job must not cost the
 * frame that it shares with others.
 */
export function toSpec(id: string, fn: string, payload: PayloadInput | undefined, o = NO_OPTIONS): JobSpec {
  if (typeof fn !== 'string') throw new TypeError('the name of a function must be a string');
  const { bytes, contentType } = encodePayload(payload, o.contentType);
  return {
    id,
    function: fn,
    payload: bytes,
    contentType,
    metadata: o.metadata === undefined ? NO_METADATA : copyMetadata(o.metadata),
    priority: toPriority(o.priority),
    runAt: toTimestamp(o.runAt),
    delay: toDuration(o.delayMs),
    uniqueKey: o.uniqueKey ?? '',
    retry: toRetry(o.retry),
    runTimeout: toDuration(o.runTimeoutMs),
    startDeadline: toTimestamp(o.startDeadline),
    resultRetention: toDuration(o.resultRetentionMs),
    traceparent: o.traceparent ?? '',
    payloadBlob: undefined,
  };
}

function copyMetadata(metadata: Readonly<Record<string, string>>): { [key: string]: string } {
  const copy: { [key: string]: string } = {};
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string') throw new TypeError(`metadata '${key}' is not a string`);
    copy[key] = value;
  }
  return copy;
}

export function fromDisposition(disposition: Disposition): SubmitResult['disposition'] {
  if (disposition === Disposition.SAME_ID) return 'same-id';
  return disposition === Disposition.COALESCED ? 'coalesced' : 'created';
}

export function fromSubmitResult(result: WireResult): SubmitResult {
  return {
    jobId: result.jobId,
    disposition: fromDisposition(result.disposition),
    state: fromState(result.state),
    revision: result.revision,
  };
}

export function toConsistency(read: ReadOptions): Consistency {
  return read.consistency === 'eventual' ? Consistency.EVENTUAL : Consistency.UNSPECIFIED;
}

export function fromJobError(error: WireJobError | undefined): JobErrorInfo | undefined {
  return error === undefined
    ? undefined
    : { code: error.code, message: error.message, details: error.details };
}

function fromRetry(retry: WireRetry | undefined): RetryPolicy {
  return {
    maxAttempts: retry?.maxAttempts,
    initialBackoffMs: fromDuration(retry?.initialBackoff),
    maxBackoffMs: fromDuration(retry?.maxBackoff),
    multiplier: retry?.multiplier,
    jitter: retry?.jitter,
  };
}

export function fromJob(job: WireJob): JobInfo {
  return {
    ...job,
    state: fromState(job.state),
    priority: fromPriority(job.priority),
    retry: fromRetry(job.retry),
    runTimeoutMs: fromDuration(job.runTimeout),
    startDeadline: fromTimestamp(job.startDeadline),
    resultRetentionMs: fromDuration(job.resultRetention),
    attempts: job.attempts.map((attempt) => ({
      number: attempt.number,
      worker: attempt.worker,
      node: attempt.node,
      startedAt: fromTimestamp(attempt.startedAt),
      endedAt: fromTimestamp(attempt.endedAt),
      error: fromJobError(attempt.error),
    })),
    createdAt: fromTimestamp(job.createdAt),
    dueAt: fromTimestamp(job.dueAt),
    startedAt: fromTimestamp(job.startedAt),
    finishedAt: fromTimestamp(job.finishedAt),
    error: fromJobError(job.error),
  };
}

const NO_TOTALS: QueueInfo['totals'] = {
  submitted: 0,
  coalesced: 0,
  started: 0,
  succeeded: 0,
  failedAttempts: 0,
  failed: 0,
  retried: 0,
  cancelled: 0,
  expired: 0,
  leasesLost: 0,
};

export function fromQueue(queue: WireQueue): QueueInfo {
  return {
    namespace: queue.namespace,
    function: queue.function,
    waiting: { high: queue.waitingHigh, normal: queue.waitingNormal, low: queue.waitingLow },
    scheduled: queue.scheduled,
    running: queue.running,
    kept: {
      succeeded: queue.succeeded,
      failed: queue.failed,
      cancelled: queue.cancelled,
      expired: queue.expired,
    },
    oldestWaitingSince: fromTimestamp(queue.oldestWaitingSince),
    workers: queue.workers,
    credits: queue.credits,
    paused: queue.paused,
    jobsMax: { high: queue.jobsMaxHigh, normal: queue.jobsMaxNormal, low: queue.jobsMaxLow },
    totals: queue.totals ?? NO_TOTALS,
  };
}

/** The server says what is wrong with a field. */
export function toCalendar(calendar: Calendar): WireCalendar {
  return {
    minute: String(calendar.minute ?? ''),
    hour: String(calendar.hour ?? ''),
    dayOfMonth: String(calendar.dayOfMonth ?? ''),
    month: String(calendar.month ?? ''),
    dayOfWeek: String(calendar.dayOfWeek ?? ''),
  };
}

const NO_CALENDAR: WireCalendar = { minute: '', hour: '', dayOfMonth: '', month: '', dayOfWeek: '' };

export function fromSchedule(schedule: WireSchedule): ScheduleInfo {
  const job = schedule.job ?? JobSpec.create();
  return {
    id: schedule.id,
    namespace: schedule.namespace,
    calendar: schedule.calendar ?? NO_CALENDAR,
    function: job.function,
    priority: fromPriority(job.priority),
    payload: job.payload,
    payloadSize: schedule.payloadSize,
    contentType: job.contentType,
    metadata: job.metadata,
    traceparent: job.traceparent,
    uniqueKey: job.uniqueKey,
    retry: job.retry === undefined ? undefined : fromRetry(job.retry),
    runTimeoutMs: fromDuration(job.runTimeout),
    resultRetentionMs: fromDuration(job.resultRetention),
    createdAt: fromTimestamp(schedule.createdAt),
    nextAt: fromTimestamp(schedule.nextAt),
    lastAt: fromTimestamp(schedule.lastAt),
    fired: schedule.fired,
    coalesced: schedule.coalesced,
    skipped: schedule.skipped,
    skippedBy: schedule.skippedBy,
    gearmanHandle: schedule.gearmanHandle,
    revision: schedule.revision,
  };
}

const ROLES: Readonly<Partial<Record<NodeRole, NodeInfo['role']>>> = {
  [NodeRole.LEADER]: 'leader',
  [NodeRole.FOLLOWER]: 'follower',
  [NodeRole.CANDIDATE]: 'candidate',
  [NodeRole.LEARNER]: 'learner',
};

export function fromCluster(cluster: WireCluster): ClusterInfo {
  return {
    ...cluster,
    nodes: cluster.nodes.map((node) => ({
      ...node,
      role: ROLES[node.role] ?? 'unknown',
      reachableSince: fromTimestamp(node.reachableSince),
    })),
  };
}
