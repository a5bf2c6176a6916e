import type { Calendar } from '../base/calendar.js';

/** Shapes that enter and leave the state machine. Times: `*Us` counts the elapsed clock, `*Wall` the wall clock in ms. */

/** 0 high, 1 normal, 2 low. */
export type PriorityRank = 0 | 1 | 2;

/** `scheduled` waits for its time (run_at, delay, or a retry's backoff). */
export const JOB_STATES = [
  'scheduled',
  'queued',
  'running',
  'succeeded',
  'failed',
  'cancelled',
  'expired',
] as const;
export type JobState = (typeof JOB_STATES)[number];

export interface RetryPolicy {
  /** Attempts in all; 0: the namespace's default. */
  readonly maxAttempts: number;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  /** 2000 doubles the pause with each attempt. */
  readonly multiplierPermille: number;
  /** 200: up to 20 % more or less, by an integer hash of `seed` and the attempt. */
  readonly jitterPermille: number;
}

/** Again at once, as often as it takes: so frequent (Gearman's jobs) that such a job keeps no policy of its own. */
export const ENDLESS_RETRY: RetryPolicy = {
  maxAttempts: 2 ** 32 - 1,
  initialBackoffMs: 0,
  maxBackoffMs: 0,
  multiplierPermille: 1_000,
  jitterPermille: 0,
};

/** A payload or result that is kept outside the log. */
export interface BlobRef {
  /** 32 lower-case hex digits, random. */
  readonly id: string;
  /** Bytes. */
  readonly size: number;
  /** SHA-256 of all of it, 32 bytes. */
  readonly digest: Uint8Array;
}

/** Where and when a blob was found on a majority: what a command says of a blob that it names. */
export interface BlobCount {
  /** Log index of the membership by which the majority was counted. */
  readonly configuration: number;
  /** Wall ms, as applied where it was counted, before any of the nodes counted said that it has it. */
  readonly wall: number;
}

/** A job as submitted, checked by the edge. Absolute times are wall ms; 0 means "not set" for every number. */
export interface JobSpec {
  /** ULID, 26 characters. */
  readonly id: string;
  readonly function: string;
  /** Empty when there is a `payloadBlob`. */
  readonly payload: Uint8Array;
  /** Null: the payload is in `payload`. */
  readonly payloadBlob: BlobRef | null;
  readonly contentType: string;
  /** Ascending by key. */
  readonly metadata: readonly (readonly [string, string])[];
  readonly priority: PriorityRank;
  readonly runAtWall: number;
  readonly delayMs: number;
  /** '' never coalesces. */
  readonly uniqueKey: string;
  /** Null: the defaults in the replicated settings. */
  readonly retry: RetryPolicy | null;
  readonly runTimeoutMs: number;
  readonly startDeadlineWall: number;
  /** Milliseconds; -1: the default. */
  readonly retentionMs: number;
  readonly traceparent: string;
  /** A client follows this job: no other meaning in the core than being shown. */
  readonly foreground: boolean;
  /** Its submitter waits until it says otherwise; the job may be dropped before it runs, once nobody waits any more. */
  readonly waits?: boolean;
  /** Fixed by the proposer: source of the jitter. u32. */
  readonly seed: number;
}

/** What a schedule submits, and when: every minute (UTC) that its calendar names. */
export interface ScheduleSpec {
  /** `id` is the schedule's; `runAtWall`, `delayMs` and `startDeadlineWall` have no meaning here. */
  readonly job: JobSpec;
  readonly calendar: Calendar;
}

export type Disposition = 'created' | 'same-id' | 'coalesced';

/** Codes with which apply refuses; a subset of the error table. */
export type Refusal =
  | 'NOT_FOUND'
  | 'ID_REUSED'
  | 'ID_TOO_OLD'
  | 'ID_IN_FUTURE'
  | 'LEASE_LOST'
  | 'SESSION_UNKNOWN'
  | 'WRONG_STATE'
  | 'LIMIT_REACHED'
  | 'INVALID_FIELD'
  | 'BLOB_UNCOUNTED';

export interface FunctionSpec {
  readonly name: string;
  /** Jobs of this function that the session takes at once; 0: no limit but its credit. */
  readonly concurrency: number;
  /** Run timeout of this worker for this function; 0: the job's own. */
  readonly runTimeoutMs: number;
}

export interface JobError {
  /** Chosen by the worker, or TIMEOUT, LEASE_LOST, WORKER_LOST, EXPIRED, CANCELLED. */
  readonly code: string;
  readonly message: string;
  readonly details: Uint8Array;
}

/** What a worker says at the end of an attempt. */
export type Outcome =
  | {
      readonly kind: 'complete';
      readonly seq: number;
      readonly token: number;
      /** Empty when there is a `resultBlob`. */
      readonly result: Uint8Array;
      /** Null: the result is in `result`. */
      readonly resultBlob: BlobRef | null;
      readonly resultContentType: string;
      readonly dataCount: number;
    }
  | {
      readonly kind: 'fail';
      readonly seq: number;
      readonly token: number;
      readonly error: JobError;
      readonly retryable: boolean;
      /** 0: the job's backoff. */
      readonly retryAfterMs: number;
      readonly dataCount: number;
    }
  | { readonly kind: 'release'; readonly seq: number; readonly token: number; readonly reason: string };

export interface Attempt {
  readonly number: number;
  readonly worker: string;
  readonly node: string;
  readonly startedWall: number;
  /** 0 while it runs. */
  readonly endedWall: number;
  readonly error: JobError | null;
}

export interface Progress {
  readonly numerator: number;
  readonly denominator: number;
  readonly message: string;
}

/** What a worker is told of a job that is assigned to it; a copy, except for `payload`, which is a view valid in this turn. */
export interface AssignedJob {
  readonly seq: number;
  readonly id: string;
  readonly namespace: string;
  readonly function: string;
  readonly state: JobState;
  readonly priority: PriorityRank;
  readonly payload: Uint8Array;
  readonly payloadBlob: BlobRef | null;
  readonly contentType: string;
  readonly metadata: readonly (readonly [string, string])[];
  readonly traceparent: string;
  readonly uniqueKey: string;
  readonly maxAttempts: number;
  readonly runTimeoutMs: number;
  readonly attempt: number;
  /** Token of the live lease, 0 when there is none. A queued job that has one is reserved. */
  readonly token: number;
  readonly createdWall: number;
  readonly createdUs: number;
  readonly startedWall: number;
  /** Log index of the last change. */
  readonly revision: number;
}

/** A job as it stands at `revision`; a copy, except for `payload` and `result`, which are views valid in this turn. */
export interface JobView extends AssignedJob {
  readonly foreground: boolean;
  /** Clients that wait for its end, of those that said so. */
  readonly waiters: number;
  readonly retry: RetryPolicy;
  readonly startDeadlineWall: number;
  readonly retentionMs: number;
  /** Ended attempts (the newest ones, within a limit) and the running one. */
  readonly attempts: readonly Attempt[];
  readonly session: number;
  /** Scheduled: when it becomes queued. Running: when its run timeout or its lease ends. 0: never. */
  readonly dueWall: number;
  readonly startedUs: number;
  readonly finishedWall: number;
  readonly progress: Progress;
  readonly cancelRequested: boolean;
  readonly cancelReason: string;
  readonly result: Uint8Array;
  readonly resultBlob: BlobRef | null;
  readonly resultContentType: string;
  readonly error: JobError | null;
  readonly dataCount: number;
}

/** A schedule as it stands at `revision`; a copy, except for `payload`, which is a view valid in this turn. */
export interface ScheduleView {
  /** From the same counter as the jobs'. */
  readonly seq: number;
  readonly id: string;
  readonly namespace: string;
  readonly calendar: Calendar;
  readonly function: string;
  readonly priority: PriorityRank;
  readonly payload: Uint8Array;
  readonly contentType: string;
  readonly metadata: readonly (readonly [string, string])[];
  readonly traceparent: string;
  readonly uniqueKey: string;
  /** Null: the defaults in the replicated settings. */
  readonly retry: RetryPolicy | null;
  readonly runTimeoutMs: number;
  /** Milliseconds; -1: the default. */
  readonly retentionMs: number;
  readonly createdWall: number;
  readonly nextWall: number;
  /** The minute for which it fired last; 0: it has not yet. */
  readonly lastWall: number;
  /** Firings that made a job, that joined one with the same unique key, and that were refused. */
  readonly fired: number;
  readonly coalesced: number;
  readonly skipped: number;
  /** What refused the last of those: the key of a setting, or a refusal. '' while there was none. */
  readonly skippedBy: string;
  readonly revision: number;
}

export interface QueueView {
  readonly namespace: string;
  readonly function: string;
  /** Waiting per priority. */
  readonly waiting: readonly [number, number, number];
  readonly scheduled: number;
  readonly running: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly expired: number;
  /** Wall ms at which the oldest waiting job was created, 0 when none waits. */
  readonly oldestWaitingWall: number;
  readonly workers: number;
  readonly credits: number;
  readonly paused: boolean;
  /** Jobs that have not ended at most, by the priority that is submitted: high, normal, low; 0: no limit. */
  readonly jobsMax: readonly [number, number, number];
  /** Totals since the cluster formed, the same on every node. */
  readonly totals: QueueTotals;
}

export interface QueueTotals {
  readonly submitted: number;
  readonly coalesced: number;
  readonly started: number;
  readonly succeeded: number;
  readonly failedAttempts: number;
  readonly failed: number;
  readonly retried: number;
  readonly cancelled: number;
  readonly expired: number;
  readonly leasesLost: number;
}

export type SessionState = 'attached' | 'detached';

export interface SessionView {
  readonly id: number;
  readonly epoch: number;
  readonly namespace: string;
  readonly name: string;
  readonly incarnation: number;
  readonly node: string;
  readonly state: SessionState;
  /** Jobs are reserved for it, until it says that it begins them. */
  readonly reserves: boolean;
  readonly credit: number;
  readonly held: number;
  readonly functions: readonly FunctionSpec[];
}

export interface NodeView {
  readonly name: string;
  readonly incarnation: number;
  readonly up: boolean;
  readonly stalled: boolean;
  readonly grpc: string;
  readonly http: string;
  readonly version: string;
}

/** What happened to a job, for those who watch it. */
export type JobEventKind =
  | 'accepted'
  | 'queued'
  | 'started'
  | 'progress'
  | 'attempt-failed'
  | 'cancelling'
  | 'ended'
  | 'deleted';

export type LeaseLostReason =
  | 'timeout'
  | 'cancelled'
  | 'detached'
  | 'released'
  | 'unacknowledged'
  | 'deleted';

/** Answer to a command that is not a submission or an outcome; fields that do not apply are 0 or ''. */
export interface CommandResult {
  readonly refusal: Refusal | null;
  /** For LIMIT_REACHED: the limit's key and value. */
  readonly limit: string;
  readonly limitValue: number;
  /** Session id, incarnation, or count of jobs touched, by the command's kind. */
  readonly value: number;
  readonly epoch: number;
  readonly seq: number;
}

/**
 * What an apply has to say, called synchronously and in order. An implementation must only take notes: it may
 * read the core, and must not apply. Nothing here feeds back but as a new command. `position` counts the answers
 * that a batch's commands owe, in the order in which `BatchBuilder` handed the positions out.
 */
export interface Effects {
  /** False: nobody here wants this batch's results (another node's). */
  batchStart(incarnation: number, seq: number): boolean;
  batchEnd(incarnation: number, seq: number): void;
  /** The batch was not applied: `expected` is the next number that would be. An unknown or retired incarnation: 0. */
  batchSkipped(incarnation: number, seq: number, expected: number): void;
  /** `seq` is the job's, 0 on refusal. Revision: the index being applied, or the existing job's. */
  submitted(
    position: number,
    disposition: Disposition,
    seq: number,
    refusal: Refusal | null,
    limit: string,
    limitValue: number,
  ): void;
  /** One call per outcome of an `outcomes` command. `refusal` null: accepted (now or before, at `revision`). */
  outcome(position: number, token: number, refusal: Refusal | null, revision: number): void;
  command(position: number, result: CommandResult): void;
  /** Session `session` in `epoch` got the lease `token` of job `seq`. */
  assigned(session: number, epoch: number, seq: number, token: number): void;
  leaseLost(session: number, epoch: number, seq: number, token: number, reason: LeaseLostReason): void;
  cancelRequested(
    session: number,
    epoch: number,
    seq: number,
    token: number,
    reason: string,
    graceMs: number,
  ): void;
  job(seq: number, kind: JobEventKind): void;
  sessionDetached(session: number, epoch: number, incarnation: number): void;
  /** Gone for good: closed, expired, or its functions were refused. */
  sessionClosed(session: number, incarnation: number): void;
  nodeUp(name: string, nonce: number, incarnation: number): void;
  nodeRetired(incarnation: number): void;
  /** A job refers to this blob from now on: every node is to have it. */
  blobTaken(ref: BlobRef): void;
  /** No job refers to it any more: nobody needs it. */
  blobReleased(id: string): void;
}

/** Off-heap bytes, by node-local handles that are never part of the replicated state. 0 is no handle. */
export interface PayloadStore {
  put(bytes: Uint8Array): number;
  /** A view, valid until `release` of this handle. */
  get(handle: number): Uint8Array;
  /** How many bytes `get` gives, without a view on them. */
  length(handle: number): number;
  release(handle: number): void;
  readonly bytes: number;
}

/**
 * Where pages of jobs go that memory has no room for: by node-local handles that are never part of the replicated
 * state. 0 is no handle. What is in it does not outlive the process.
 */
export interface SpillStore {
  /** False: nothing may be put now, as the disk is full or too slow. */
  readonly accepts: boolean;
  /** Takes a copy. */
  put(bytes: Uint8Array): number;
  /** A view on the `length` bytes that were put, valid until the next `get`. Throws where the disk fails. */
  get(handle: number, length: number): Uint8Array;
  release(handle: number, length: number): void;
  /** Some of what was put is scattered. */
  readonly isWasteful: boolean;
  /** What lies here should be put again, and this be released: little else is left of the file around it. */
  isScattered(handle: number): boolean;
}

export interface SpillOptions {
  readonly store: SpillStore;
  /** About how much memory records and payloads may take before some go to `store`. */
  readonly memoryBytes: number;
}

/** Everything that apply reads and that an operator may set: part of the state, changed by a command. */
export interface Settings {
  readonly sessionGraceMs: number;
  readonly ackTimeoutMs: number;
  readonly cancelGraceMs: number;
  readonly retentionMs: number;
  readonly failedRetentionMs: number;
  readonly dedupeWindowMs: number;
  readonly dedupeWindowMinMs: number;
  readonly dedupeEntriesMax: number;
  readonly maxAttempts: number;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly multiplierPermille: number;
  readonly jitterPermille: number;
  readonly jobsMax: number;
  readonly jobsPerFunctionMax: number;
  readonly retainedJobsMax: number;
  readonly payloadBytesMax: number;
  readonly functionsMax: number;
  readonly sessionsMax: number;
  readonly functionsPerSessionMax: number;
  readonly creditsPerSessionMax: number;
  /** Steps that a single apply may do in sweeps (NodeDown, purge, due timers). */
  readonly sweepSteps: number;
  readonly schedulesMax: number;
  /** Bytes of one payload or result outside the log, and of all that jobs refer to. */
  readonly blobBytesMax: number;
  readonly blobsTotalBytesMax: number;
}

export const DEFAULT_SETTINGS: Settings = {
  sessionGraceMs: 10_000,
  ackTimeoutMs: 5_000,
  cancelGraceMs: 30_000,
  retentionMs: 60_000,
  failedRetentionMs: 7 * 86_400_000,
  dedupeWindowMs: 300_000,
  dedupeWindowMinMs: 60_000,
  dedupeEntriesMax: 8_000_000,
  maxAttempts: 5,
  initialBackoffMs: 1_000,
  maxBackoffMs: 300_000,
  multiplierPermille: 2_000,
  jitterPermille: 200,
  jobsMax: 20_000_000,
  jobsPerFunctionMax: 20_000_000,
  retainedJobsMax: 200_000,
  payloadBytesMax: 256 * 1024,
  functionsMax: 100_000,
  sessionsMax: 100_000,
  functionsPerSessionMax: 10_000,
  creditsPerSessionMax: 10_000,
  sweepSteps: 2_000,
  schedulesMax: 10_000,
  blobBytesMax: 64 * 1024 * 1024,
  blobsTotalBytesMax: 10 * 1024 * 1024 * 1024,
};
