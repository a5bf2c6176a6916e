import type {
  AssignedJob,
  BlobRef,
  Effects,
  FunctionSpec,
  JobSpec,
  JobState,
  JobView,
  NodeView,
  Outcome,
  QueueView,
  ScheduleSpec,
  ScheduleView,
  SessionView,
  Settings,
} from './types.js';

/**
 * Gathers the commands of one turn at their origin into one batch, encoded once and then opaque.
 * Methods that owe answers return the position of the first; `positions` counts all.
 */
export interface BatchBuilder {
  readonly length: number;
  readonly positions: number;
  /** Commands so far. */
  readonly commands: number;
  /** One position. Neighbouring submissions of one function share a header. */
  submit(namespace: string, spec: JobSpec): number;
  /** One position per spec; nothing changes unless all can be done. A spec's own refusal is reported at its position; the others then answer with seq 0 and no refusal. */
  submitAll(namespace: string, specs: readonly JobSpec[]): number;
  /**
   * One position per outcome. `credit`: cumulative within the epoch, taken into account after the outcomes.
   * Session 0: the tokens alone say whose they are. `begins`: the worker waits: what it is given with this command it
   * begins at once, although its session reserves; what comes later is reserved.
   */
  outcomes(
    session: number,
    epoch: number,
    credit: number,
    outcomes: readonly Outcome[],
    begins?: boolean,
  ): number;
  /** No position. */
  credit(session: number, epoch: number, credit: number): void;
  /** The worker has these; no position. */
  acks(session: number, epoch: number, tokens: readonly number[]): void;
  /** Progress worth keeping; no position. */
  progress(
    session: number,
    epoch: number,
    token: number,
    numerator: number,
    denominator: number,
    message: string,
  ): void;
  /** value: session id, epoch. `secretDigest`: 16 bytes. A session that is not resumable ends when it is detached. */
  sessionOpen(o: {
    namespace: string;
    name: string;
    secretDigest: Uint8Array;
    functions: readonly FunctionSpec[];
    resumable: boolean;
    /** Its jobs are reserved: they stay queued until `start`, or an outcome. */
    reserves?: boolean;
    credit: number;
  }): number;
  /** value: session id, epoch: the new one. Leases not in `held` are released. Credit starts at 0. */
  sessionAttach(session: number, secretDigest: Uint8Array, held: readonly number[]): number;
  sessionDetach(session: number, epoch: number): void;
  /** Held jobs go back to the queue at once. */
  sessionClose(session: number, epoch: number): void;
  sessionFunctions(session: number, epoch: number, functions: readonly FunctionSpec[]): number;
  /**
   * Long-poll lease: a session without connection that takes at most `max` jobs once. The same `requestId` answers
   * with the same session. value: session id. Its leases live for `durationMs` and by `leaseExtend`.
   */
  leaseRequest(o: {
    namespace: string;
    name: string;
    requestId: string;
    functions: readonly FunctionSpec[];
    max: number;
    durationMs: number;
  }): number;
  /** The poll is over: takes no more jobs. */
  leaseStop(session: number): void;
  /** One position per token: value is the new end in elapsed µs. */
  leaseExtend(tokens: readonly number[], durationMs: number): number;
  /** `graceMs` 0: a running job's lease ends at once. */
  cancel(namespace: string, id: string, reason: string, graceMs: number): number;
  /** A failed, cancelled or expired job is queued again with fresh attempts. */
  retry(namespace: string, id: string): number;
  /** Only ended jobs. */
  delete(namespace: string, id: string): number;
  pause(namespace: string, fn: string, paused: boolean): number;
  /** value: number of jobs that will go; goes on as a sweep. Running jobs cannot be purged: INVALID_FIELD. */
  purge(namespace: string, fn: string, states: readonly JobState[]): number;
  settings(changes: Partial<Settings>): number;
  /** Jobs that have not ended at most, by the priority that is submitted: high, normal, low; 0: no limit. */
  queueLimits(namespace: string, fn: string, jobsMax: readonly [number, number, number]): number;
  /** A function that exists already stays as it is. */
  queueCreate(namespace: string, fn: string): number;
  /** value: ended jobs that go with it. A function with live jobs or sessions: WRONG_STATE; an unknown one: NOT_FOUND. */
  queueDrop(namespace: string, fn: string): number;
  /** Reserved jobs begin, by their tokens; no position. */
  start(tokens: readonly number[]): void;
  /** By how much the number of this node's clients that wait for a job changes, by seq; no position. */
  waiters(changes: ReadonlyMap<number, number>): void;
  nodeDown(incarnation: number): void;
  nodeStalled(incarnation: number, stalled: boolean): void;
  /** value: 0 created, 1 there already under this id, 2 coalesced; seq: the schedule's. INVALID_FIELD: it never comes. */
  scheduleCreate(namespace: string, spec: ScheduleSpec): number;
  scheduleDelete(namespace: string, id: string): number;
  /** Remembers this place, in the stead of an earlier one. */
  mark(): void;
  /** Goes back to the place that `mark` remembered: what was said since, whole or in part, is void. */
  rewind(): void;
  /** Copies out the batch and starts anew. */
  finish(incarnation: number, seq: number): Buffer;
}

/** First command of a node's life, in a batch of its own without a number; repeated with the same nonce it answers the same. */
export interface NodeUp {
  readonly name: string;
  readonly nonce: number;
  readonly grpc: string;
  readonly http: string;
  readonly version: string;
}

export interface BatchHead {
  readonly incarnation: number;
  readonly seq: number;
  readonly nodeUp: boolean;
}

/** A snapshot under way: frozen at `index` while apply goes on. */
export interface SnapshotCursor {
  readonly index: number;
  /** Next page, null at the end. `skip(key, version)` true: the page is wanted as a reference only (bytes null). */
  next(
    skip: (key: string, version: number) => boolean,
  ): { readonly key: string; readonly version: number; readonly bytes: Uint8Array | null } | null;
  /** Ends it early: copies kept for it are dropped. */
  cancel(): void;
}

export interface Restorer {
  /** Pages in any order. Throws MalformedBytesError. */
  page(key: string, bytes: Uint8Array): void;
  /** Rebuilds the indexes; the core is as it was at `index` once the last step is taken. A step is about a page's work. */
  steps(): Iterable<void>;
  /** All steps at once. */
  finish(): void;
  /** No state is made of them: what is kept of them goes. Behind `finish` it does nothing, unless that threw. */
  abandon(): void;
}

export interface JobQuery {
  readonly namespace: string;
  /** '' any. */
  readonly function: string;
  /** Empty: any. */
  readonly states: readonly JobState[];
  readonly uniqueKey: string;
  readonly pageSize: number;
  /** Job seq to go on behind; 0: from the start. */
  readonly after: number;
  /** Records looked at in this call at most. */
  readonly budget: number;
}

export interface JobPage {
  readonly jobs: readonly JobView[];
  /** Seq to go on behind, 0 at the end. */
  readonly next: number;
}

export interface ScheduleQuery {
  /** Null: of all namespaces. */
  readonly namespace: string | null;
  readonly pageSize: number;
  /** Schedule seq to go on behind; 0: from the start. */
  readonly after: number;
  /** Records looked at in this call at most. */
  readonly budget: number;
}

export interface SchedulePage {
  /** Ascending by seq. */
  readonly schedules: readonly ScheduleView[];
  /** Seq to go on behind, 0 at the end. */
  readonly next: number;
}

/** When the next timer is due by each clock; Infinity: never. */
export interface NextDue {
  readonly elapsedUs: number;
  readonly wall: number;
  /** From when on something is only kept for nothing, by the wall clock: any later entry drops it. */
  readonly tidyWall: number;
  /** Propose a Tick at once. */
  readonly sweeping: boolean;
}

/** The pure state machine. `createCore` makes one; every node's is the same at the same index. */
export interface Core {
  readonly appliedIndex: number;
  readonly elapsedUs: number;
  readonly wall: number;
  readonly settings: Settings;

  /** Applies one entry made by `encodeEntry`. Throws UnknownCommandError for a version it does not know: the node stops. */
  apply(index: number, entry: Uint8Array, effects: Effects): void;
  /** Entries that carry no commands still count. */
  skip(index: number): void;
  /** The membership changed. `members`: its opaque description, kept with the state; null: as it was. */
  setMembers(index: number, members: Uint8Array | null): void;
  readonly members: Uint8Array;
  /** Index of the last `setMembers`: majorities for blobs are counted by it. */
  readonly configuration: number;

  /** Jobs take more memory than they should, and something can be done: see `relieve`. */
  readonly isCrowded: boolean;
  /**
   * Puts some jobs on disk. Only between entries, and when nobody holds views on payloads any more. True: call it
   * again soon.
   */
  relieve(): boolean;

  nextDue(): NextDue;
  /** Number of the last batch applied for this incarnation, -1 for an unknown or retired one. */
  lastBatch(incarnation: number): number;

  findJob(namespace: string, id: string): JobView | null;
  job(seq: number): JobView | null;
  /** The part of `job` that a worker is told: cheaper. */
  assignedJob(seq: number): AssignedJob | null;
  /** What is still known of a job whose record is gone (dedupe window): for answers to repeated submissions. */
  ended(seq: number): { readonly id: string; readonly state: JobState; readonly revision: number } | null;
  /** Seq of the job, 0 when there is none: cheaper than `findJob`. */
  seqOf(namespace: string, id: string): number;
  /** Seq of a job with this unique key that has not ended, of any function; 0: none. Looks at each function. */
  seqOfUnique(namespace: string, uniqueKey: string): number;
  /** Seq of the running or reserved job that holds this lease, 0 when there is none. */
  seqOfToken(token: number): number;
  /**
   * Seq of the job that an outcome is about: of the one that holds the lease, else of the one with this id, also where
   * its record is gone (dedupe window), since what ended it may be said again. 0: none is known; '' names none.
   */
  seqToSettle(namespace: string, id: string, token: number): number;
  /** State of a job without building its view; null when its record is gone. */
  stateOf(seq: number): JobState | null;
  /** How long the job with this lease had been in its queue when it began, or, reserved, has been until now: µs. */
  waitedUs(token: number): number;
  /** Wall ms at which a lease of the unary calls ends by its duration, 0 for one that lives by its session. */
  leaseEndWall(token: number): number;
  listJobs(query: JobQuery): JobPage;
  queue(namespace: string, fn: string): QueueView | null;
  /** Ascending by namespace and function. */
  queues(namespace: string | null): readonly QueueView[];
  schedule(seq: number): ScheduleView | null;
  findSchedule(namespace: string, id: string): ScheduleView | null;
  listSchedules(query: ScheduleQuery): SchedulePage;
  session(id: number): SessionView | null;
  /** Those of a namespace, ascending by id. */
  sessions(namespace: string): readonly SessionView[];
  /** Tokens held by the session, ascending. */
  heldTokens(id: number): readonly number[];
  nodes(): readonly NodeView[];
  counts(): {
    readonly jobs: number;
    readonly waiting: number;
    readonly running: number;
    readonly sessions: number;
    readonly functions: number;
    readonly dedupeEntries: number;
    readonly payloadBytes: number;
    /** Those whose records, payloads and results are on this node's disk alone. */
    readonly spilledJobs: number;
    /** Pages of such jobs that came back into memory, since the state was made. */
    readonly spillLoads: number;
    readonly schedules: number;
    /** Since the cluster formed, of schedules that are gone too. */
    readonly firings: { readonly created: number; readonly coalesced: number; readonly skipped: number };
    /** Payloads and results outside the log that jobs refer to. */
    readonly blobs: number;
    readonly blobBytes: number;
  };

  /** All blobs that jobs refer to, in no certain order. */
  blobs(): Iterable<BlobRef>;
  /** Null: no job refers to a blob of this id. */
  blob(id: string): BlobRef | null;

  /** Hex, equal on all replicas at the same index. Incremental: costs what changed since the last call. */
  stateHash(): string;
  /** Per page, for finding where two replicas differ. */
  pageHashes(): ReadonlyMap<string, string>;

  beginSnapshot(): SnapshotCursor;
  /** Drops the present state. */
  beginRestore(): Restorer;
}
