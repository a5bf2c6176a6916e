import type { ChannelCredentials, ChannelOptions } from '@grpc/grpc-js';

export type Priority = 'high' | 'normal' | 'low';

/** The last four are terminal. `scheduled` waits for its time, `queued` for a worker. */
export type JobState = 'scheduled' | 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled' | 'expired';

/** When and how often a failed job is tried again. What is absent is the cluster's default. */
export interface RetryPolicy {
  /** Attempts in all, the first included: 1 never retries. */
  readonly maxAttempts?: number;
  readonly initialBackoffMs?: number;
  readonly maxBackoffMs?: number;
  /** By how much each pause is longer than the one before. */
  readonly multiplier?: number;
  /** 0 to 1: by what share a pause is made longer or shorter at random. */
  readonly jitter?: number;
}

/** How a job is to be done. Everything is optional. */
export interface JobOptions {
  /** A ULID of your own. Absent: the SDK makes one, which is what makes its retries safe. */
  readonly id?: string;
  /** Replaces the media type that follows from the payload's type. */
  readonly contentType?: string;
  /** Small strings for the worker and for people: 8 KiB in all. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly priority?: Priority;
  /** Not before this time. Not together with `delayMs`. */
  readonly runAt?: Date;
  /** Not before this long after its acceptance. */
  readonly delayMs?: number;
  /** While a job of the function with this key waits or runs, submitting answers with that job. */
  readonly uniqueKey?: string;
  readonly retry?: RetryPolicy;
  /** How long one attempt may run. */
  readonly runTimeoutMs?: number;
  /** If no attempt has begun by then, the job expires. */
  readonly startDeadline?: Date;
  /** For how long the job and its result are kept after its end; 0: not at all. */
  readonly resultRetentionMs?: number;
  /** W3C trace context. */
  readonly traceparent?: string;
}

export interface CallOptions {
  /** Ends the call; it then rejects with an `AbortedError`. */
  readonly signal?: AbortSignal;
  /** For how long the call may try, in milliseconds, all retries included. Default: the client's `timeoutMs`. */
  readonly timeoutMs?: number;
}

export interface ReadOptions extends CallOptions {
  /** `eventual` shows what the asked node knows. Default `linearizable`. */
  readonly consistency?: 'linearizable' | 'eventual';
  /** A revision that an earlier answer named: the read shows at least that. */
  readonly minRevision?: string;
}

export interface SubmitOptions extends JobOptions, CallOptions {}

/** Which of the endpoints are used. */
export type EndpointOrder = 'listed' | 'random' | 'leader';

export interface ClientOptions {
  /** `host:port` of any nodes; more than one, so that the client survives the loss of a node. */
  readonly endpoints: string | readonly string[];
  /** Default `default`. */
  readonly namespace?: string;
  /** From `credentials` of @grpc/grpc-js. Default: no encryption. */
  readonly credentials?: ChannelCredentials;
  /** HTTP/2 connections for submissions. Jobs keep their order only within one. Default 1. */
  readonly connections?: number;
  /**
   * `listed` begins with the first endpoint; `random`, the default, spreads many clients over the nodes. `leader` goes to
   * the leader and follows it: shortest ways and least work for the cluster, all of it at one node.
   */
  readonly order?: EndpointOrder;
  /** For how long a call may try, all retries included. Default 30,000 ms. */
  readonly timeoutMs?: number;
  /** An endpoint that is not connected within this time counts as failed. Default 1,000 ms. */
  readonly connectTimeoutMs?: number;
  /** Bytes of a result that are taken into memory at once; for more there is `stream()`. Default 64 MiB. */
  readonly payloadBytesMax?: number;
  /** Given to @grpc/grpc-js, over the SDK's own choice. */
  readonly channelOptions?: ChannelOptions;
}

export interface SubmitResult {
  /** Another id than asked for when the job was coalesced. */
  readonly jobId: string;
  /** `same-id`: it had been accepted already. `coalesced`: another one with its unique key waits or runs. */
  readonly disposition: 'created' | 'same-id' | 'coalesced';
  readonly state: JobState;
  /** Where in the log that was; opaque, good for `minRevision`. */
  readonly revision: string;
}

/** Of a change that was made. */
export interface Change {
  readonly revision: string;
}

export interface JobProgress {
  readonly numerator: number;
  /** 0 when nobody knows. */
  readonly denominator: number;
  readonly message: string;
}

export interface JobErrorInfo {
  readonly code: string;
  readonly message: string;
  /** Empty unless the full view was asked for. */
  readonly details: Uint8Array;
}

export interface AttemptInfo {
  /** From 1. */
  readonly number: number;
  readonly worker: string;
  readonly node: string;
  readonly startedAt: Date | undefined;
  readonly endedAt: Date | undefined;
  readonly error: JobErrorInfo | undefined;
}

/** A payload or result that is too large for messages: see `Client.download`. */
export interface BlobInfo {
  readonly id: string;
  /** Bytes. */
  readonly size: number;
  readonly sha256: Uint8Array;
}

/** A job as it stood at `revision`. */
export interface JobInfo {
  readonly id: string;
  readonly namespace: string;
  readonly function: string;
  readonly state: JobState;
  readonly priority: Priority;
  /** Empty unless the full view was asked for, and when there is a `payloadBlob`. */
  readonly payload: Uint8Array;
  readonly payloadBlob: BlobInfo | undefined;
  readonly payloadSize: number;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly traceparent: string;
  readonly uniqueKey: string;
  readonly foreground: boolean;
  readonly retry: RetryPolicy;
  readonly runTimeoutMs: number | undefined;
  readonly startDeadline: Date | undefined;
  readonly resultRetentionMs: number | undefined;
  /** Of the running or last attempt; 0 before the first. */
  readonly attempt: number;
  /** The newest ones, in order. */
  readonly attempts: readonly AttemptInfo[];
  /** 0 without a live lease. */
  readonly leaseToken: number;
  readonly createdAt: Date | undefined;
  readonly dueAt: Date | undefined;
  readonly startedAt: Date | undefined;
  readonly finishedAt: Date | undefined;
  readonly progress: JobProgress | undefined;
  readonly cancelRequested: boolean;
  readonly cancelReason: string;
  /** Empty unless the full view was asked for, and when there is a `resultBlob`. */
  readonly result: Uint8Array;
  readonly resultBlob: BlobInfo | undefined;
  readonly resultSize: number;
  readonly resultContentType: string;
  readonly error: JobErrorInfo | undefined;
  /** Data chunks of the attempt that ended it. */
  readonly dataCount: number;
  readonly gearmanHandle: string;
  readonly revision: string;
}

export interface QueueInfo {
  readonly namespace: string;
  readonly function: string;
  readonly waiting: { readonly high: number; readonly normal: number; readonly low: number };
  readonly scheduled: number;
  readonly running: number;
  /** Ended jobs that are still kept. */
  readonly kept: {
    readonly succeeded: number;
    readonly failed: number;
    readonly cancelled: number;
    readonly expired: number;
  };
  readonly oldestWaitingSince: Date | undefined;
  /** Sessions that can do the function. */
  readonly workers: number;
  /** Jobs that those could take now. */
  readonly credits: number;
  readonly paused: boolean;
  /** Jobs that have not ended at most, for one more of the priority to be accepted. 0: no limit. */
  readonly jobsMax: { readonly high: number; readonly normal: number; readonly low: number };
  /** Counts since the cluster was formed. */
  readonly totals: {
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
  };
}

/** Minutes in UTC: those that match every field. A field is a number; what is absent, or `*`, matches any. */
export interface Calendar {
  /** 0 to 59. */
  readonly minute?: number | string;
  /** 0 to 23. */
  readonly hour?: number | string;
  /** 1 to 31. */
  readonly dayOfMonth?: number | string;
  /** 1 to 12. */
  readonly month?: number | string;
  /** 0 (Monday) to 6 (Sunday). With `dayOfMonth`, both must match. */
  readonly dayOfWeek?: number | string;
}

/** How the jobs of a schedule are to be done. `id` is the schedule's. */
export interface ScheduleOptions
  extends Omit<JobOptions, 'runAt' | 'delayMs' | 'startDeadline'>,
    CallOptions {}

export interface ScheduleResult {
  /** Another id than asked for when the schedule was coalesced. */
  readonly scheduleId: string;
  /** `same-id`: it had been accepted already. `coalesced`: another one of the function has its unique key. */
  readonly disposition: 'created' | 'same-id' | 'coalesced';
  readonly gearmanHandle: string;
  /** Where in the log that was; opaque, good for `minRevision`. */
  readonly revision: string;
}

/** A schedule as it stood at `revision`. */
export interface ScheduleInfo {
  readonly id: string;
  readonly namespace: string;
  readonly calendar: Readonly<Record<keyof Calendar, string>>;
  readonly function: string;
  readonly priority: Priority;
  /** Empty unless the full view was asked for. */
  readonly payload: Uint8Array;
  readonly payloadSize: number;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly traceparent: string;
  readonly uniqueKey: string;
  /** Absent: the cluster's defaults. */
  readonly retry: RetryPolicy | undefined;
  readonly runTimeoutMs: number | undefined;
  readonly resultRetentionMs: number | undefined;
  readonly createdAt: Date | undefined;
  readonly nextAt: Date | undefined;
  /** The minute of the last submission, accepted or not. */
  readonly lastAt: Date | undefined;
  /** Jobs made. */
  readonly fired: number;
  /** Submissions that joined a job with the same unique key. */
  readonly coalesced: number;
  /** Submissions that the cluster refused; none is said again. */
  readonly skipped: number;
  /** Why the last of those was refused; '' while there was none. */
  readonly skippedBy: string;
  readonly gearmanHandle: string;
  readonly revision: string;
}

export interface NodeInfo {
  readonly name: string;
  readonly diskId: string;
  readonly role: 'leader' | 'follower' | 'candidate' | 'learner' | 'unknown';
  readonly reachable: boolean;
  readonly reachableSince: Date | undefined;
  readonly grpcAddress: string;
  readonly httpAddress: string;
  readonly peerAddress: string;
  readonly version: string;
  readonly appliedIndex: number;
  readonly commitIndex: number;
  readonly logBytes: number;
  readonly stateHash: string;
  readonly stateHashIndex: number;
  readonly up: boolean;
  readonly stalled: boolean;
}

export interface ClusterInfo {
  readonly id: string;
  readonly name: string;
  /** '' while none is known. */
  readonly leader: string;
  readonly term: number;
  readonly nodes: readonly NodeInfo[];
  /** '' while all replicas agree as far as compared. */
  readonly hashDisagreement: string;
  /** Name of the node that answers. */
  readonly answeredBy: string;
}
