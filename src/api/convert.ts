import {
  type Blob,
  type Job,
  Priority,
  type Attempt as ProtoAttempt,
  type JobError as ProtoJobError,
  type RetryPolicy as ProtoRetry,
  JobState as ProtoState,
  JobView as ViewKind,
} from '../../proto/gen/gearmesh/v1/common.js';
import { Disposition as ProtoDisposition } from '../../proto/gen/gearmesh/v1/job.js';
import type { Queue } from '../../proto/gen/gearmesh/v1/queue.js';
import {
  type Assignment as ProtoAssignment,
  LeaseLostReason as ProtoLost,
} from '../../proto/gen/gearmesh/v1/worker.js';
import { gearmanHandle } from '../base/gearman-handle.js';
import type {
  Attempt,
  BlobRef,
  Disposition,
  JobError,
  JobState,
  JobView,
  LeaseLostReason,
  QueueView,
  RetryPolicy,
} from '../core/types.js';
import type { Assignment } from '../node/interface.js';
import { toRevision } from './revision.js';
import { toDuration, toDurationIfSet, toTimestamp, toTimestampIfSet } from './time.js';

const NOTHING = new Uint8Array(0);

export const STATES: { readonly [state in JobState]: ProtoState } = {
  scheduled: ProtoState.SCHEDULED,
  queued: ProtoState.QUEUED,
  running: ProtoState.RUNNING,
  succeeded: ProtoState.SUCCEEDED,
  failed: ProtoState.FAILED,
  cancelled: ProtoState.CANCELLED,
  expired: ProtoState.EXPIRED,
};

const FROM_STATE = new Map(Object.entries(STATES).map(([ours, theirs]) => [theirs, ours as JobState]));

export function fromState(state: ProtoState): JobState | undefined {
  return FROM_STATE.get(state);
}

export const DISPOSITIONS: { readonly [disposition in Disposition]: ProtoDisposition } = {
  created: ProtoDisposition.CREATED,
  'same-id': ProtoDisposition.SAME_ID,
  coalesced: ProtoDisposition.COALESCED,
};

export const PRIORITIES = [Priority.HIGH, Priority.NORMAL, Priority.LOW] as const;

export const LOST_REASONS: { readonly [reason in LeaseLostReason]: ProtoLost } = {
  timeout: ProtoLost.TIMEOUT,
  cancelled: ProtoLost.CANCELLED,
  detached: ProtoLost.DETACHED,
  released: ProtoLost.RELEASED,
  unacknowledged: ProtoLost.UNACKNOWLEDGED,
  deleted: ProtoLost.DELETED,
};

export function toMetadata(pairs: readonly (readonly [string, string])[]): { [key: string]: string } {
  const map: { [key: string]: string } = {};
  for (const [key, value] of pairs) {
    // A key named __proto__ is a key like any other.
    if (key === '__proto__') Object.defineProperty(map, key, { value, enumerable: true });
    else map[key] = value;
  }
  return map;
}

export function toBlob(ref: BlobRef): Blob;
export function toBlob(ref: BlobRef | null): Blob | undefined;
export function toBlob(ref: BlobRef | null): Blob | undefined {
  return ref === null ? undefined : { id: ref.id, size: ref.size, sha256: ref.digest };
}

export function toJobError(error: JobError | null, full = true): ProtoJobError | undefined {
  if (error === null) return undefined;
  return { code: error.code, message: error.message, details: full ? error.details : NOTHING };
}

function toAttempt(attempt: Attempt, full: boolean): ProtoAttempt {
  return {
    number: attempt.number,
    worker: attempt.worker,
    node: attempt.node,
    startedAt: toTimestampIfSet(attempt.startedWall),
    endedAt: toTimestampIfSet(attempt.endedWall),
    error: toJobError(attempt.error, full),
  };
}

export function toRetry(retry: RetryPolicy): ProtoRetry {
  return {
    maxAttempts: retry.maxAttempts,
    initialBackoff: toDuration(retry.initialBackoffMs),
    maxBackoff: toDuration(retry.maxBackoffMs),
    multiplier: retry.multiplierPermille / 1000,
    jitter: retry.jitterPermille / 1000,
  };
}

export function toJob(job: JobView, view: ViewKind, cluster: string): Job {
  const full = view === ViewKind.FULL;
  const p = job.progress;
  return {
    id: job.id,
    namespace: job.namespace,
    function: job.function,
    state: STATES[job.state],
    priority: PRIORITIES[job.priority],
    payload: full ? job.payload : NOTHING,
    payloadSize: job.payloadBlob?.size ?? job.payload.length,
    contentType: job.contentType,
    metadata: toMetadata(job.metadata),
    traceparent: job.traceparent,
    uniqueKey: job.uniqueKey,
    foreground: job.foreground,
    retry: toRetry(job.retry),
    runTimeout: toDurationIfSet(job.runTimeoutMs),
    startDeadline: toTimestampIfSet(job.startDeadlineWall),
    resultRetention: job.retentionMs < 0 ? undefined : toDuration(job.retentionMs),
    attempt: job.attempt,
    attempts: job.attempts.map((attempt) => toAttempt(attempt, full)),
    // One that is reserved is queued, for whoever looks.
    leaseToken: job.state === 'queued' ? 0 : job.token,
    createdAt: toTimestamp(job.createdWall),
    dueAt: job.state === 'scheduled' ? toTimestampIfSet(job.dueWall) : undefined,
    startedAt: toTimestampIfSet(job.startedWall),
    finishedAt: toTimestampIfSet(job.finishedWall),
    progress: hasProgress(job)
      ? { numerator: p.numerator, denominator: p.denominator, message: p.message }
      : undefined,
    cancelRequested: job.cancelRequested,
    cancelReason: job.cancelReason,
    result: full ? job.result : NOTHING,
    resultSize: job.resultBlob?.size ?? job.result.length,
    resultContentType: job.resultContentType,
    error: toJobError(job.error, full),
    dataCount: job.dataCount,
    gearmanHandle: gearmanHandle(cluster, job.seq),
    revision: toRevision(job.revision),
    payloadBlob: toBlob(job.payloadBlob),
    resultBlob: toBlob(job.resultBlob),
  };
}

export function hasProgress(job: JobView): boolean {
  const { numerator, denominator, message } = job.progress;
  return numerator !== 0 || denominator !== 0 || message !== '';
}

export function toAssignment(assignment: Assignment): ProtoAssignment {
  const job = assignment.job;
  return {
    leaseToken: assignment.token,
    jobId: job.id,
    namespace: job.namespace,
    function: job.function,
    payload: job.payload,
    contentType: job.contentType,
    metadata: toMetadata(job.metadata),
    attempt: assignment.attempt,
    maxAttempts: job.maxAttempts,
    deadline: toTimestampIfSet(assignment.deadlineWall),
    traceparent: job.traceparent,
    priority: PRIORITIES[job.priority],
    createdAt: toTimestamp(job.createdWall),
    uniqueKey: job.uniqueKey,
    payloadBlob: toBlob(job.payloadBlob),
  };
}

export function toQueue(queue: QueueView): Queue {
  return {
    namespace: queue.namespace,
    function: queue.function,
    waitingHigh: queue.waiting[0],
    waitingNormal: queue.waiting[1],
    waitingLow: queue.waiting[2],
    scheduled: queue.scheduled,
    running: queue.running,
    succeeded: queue.succeeded,
    failed: queue.failed,
    cancelled: queue.cancelled,
    expired: queue.expired,
    oldestWaitingSince: toTimestampIfSet(queue.oldestWaitingWall),
    workers: queue.workers,
    credits: queue.credits,
    paused: queue.paused,
    totals: { ...queue.totals },
    jobsMaxHigh: queue.jobsMax[0],
    jobsMaxNormal: queue.jobsMax[1],
    jobsMaxLow: queue.jobsMax[2],
  };
}
