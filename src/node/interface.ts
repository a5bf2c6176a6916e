import type { GearmeshError } from '../core/errors.js';
import type { JobPage, JobQuery, SchedulePage, ScheduleQuery } from '../core/interface.js';
import type {
  AssignedJob,
  BlobRef,
  Disposition,
  FunctionSpec,
  JobSpec,
  JobState,
  JobView,
  LeaseLostReason,
  NodeView,
  Outcome,
  QueueView,
  ScheduleSpec,
  ScheduleView,
  SessionView,
  Settings,
} from '../core/types.js';

/** What the edges (gRPC, Gearman, HTTP) may ask of a node. Every promise rejects with `GearmeshError` alone. */
export interface NodeApi {
  readonly name: string;
  readonly clusterName: string;
  readonly clusterId: string;
  readonly version: string;
  /** Where in its life the node is; probes and health answer from it. */
  readonly phase: 'starting' | 'forming' | 'catching-up' | 'ready' | 'draining' | 'stopped';
  /** Wall ms as stamped by the leaders, the best known server time. */
  wallMs(): number;
  settings(): Settings;
  newJobId(): string;
  u32(): number;

  /** One promise per call whatever the number of jobs; results by position. Resolves once applied here (durable on a majority). */
  submit(namespace: string, specs: readonly JobSpec[], options: SubmitOptions): Promise<SubmitResult[]>;

  /** A client whose submission said that it waits does so no longer; to be said once for each, whatever became of the job. */
  unwait(seq: number): void;

  getJob(namespace: string, id: string, read: ReadOptions): Promise<JobView>;
  /** Null: no job has this number, or none that has not ended has this unique key (of any function; the first found). */
  findJob(namespace: string, by: JobReference, read: ReadOptions): Promise<JobView | null>;
  listJobs(query: JobQuery, read: ReadOptions): Promise<JobPage>;
  cancelJob(
    namespace: string,
    id: string,
    reason: string,
    graceMs: number,
    call: CallOptions,
  ): Promise<ChangeResult>;
  retryJob(namespace: string, id: string, call: CallOptions): Promise<ChangeResult>;
  deleteJob(namespace: string, id: string, call: CallOptions): Promise<ChangeResult>;

  /** Follows a job from its state now; the watcher is told on this turn or later, never before the call returned. */
  watchJob(namespace: string, id: string, watcher: JobWatcher, read: ReadOptions): Promise<Watch>;

  listQueues(namespace: string | null, read: ReadOptions): Promise<readonly QueueView[]>;
  getQueue(namespace: string, fn: string, read: ReadOptions): Promise<QueueView>;
  pauseQueue(namespace: string, fn: string, paused: boolean, call: CallOptions): Promise<ChangeResult>;
  /** `value`: jobs that go. */
  purgeQueue(
    namespace: string,
    fn: string,
    states: readonly JobState[],
    call: CallOptions,
  ): Promise<ChangeResult>;
  /** Jobs of the function that have not ended at most, by the priority that is submitted: high, normal, low; 0: any. */
  limitQueue(
    namespace: string,
    fn: string,
    jobsMax: readonly [number, number, number],
    call: CallOptions,
  ): Promise<ChangeResult>;
  /** A function exists from its first use on, or from here. */
  createQueue(namespace: string, fn: string, call: CallOptions): Promise<ChangeResult>;
  /** `value`: ended jobs that go. WRONG_STATE: it has workers, or jobs that have not ended. */
  dropQueue(namespace: string, fn: string, call: CallOptions): Promise<ChangeResult>;
  /** Sessions that the cluster knows, ascending by id. */
  listSessions(namespace: string, read: ReadOptions): Promise<readonly SessionView[]>;
  /** Called (coalesced, at most about every 100 ms) after queues may have changed. Returns how to stop. */
  onQueuesChanged(listener: () => void): () => void;

  /** A worker that holds a connection to this node. */
  openSession(o: OpenSession, port: SessionPort): Promise<WorkerSession>;
  attachSession(o: AttachSession, port: SessionPort): Promise<WorkerSession>;

  /** The unary twins. Resolves with at least one job, or with none after `waitMs`. */
  leaseJobs(o: LeaseRequest, call: CallOptions): Promise<readonly Assignment[]>;
  extendLeases(tokens: readonly number[], durationMs: number, call: CallOptions): Promise<ExtendResult>;
  /** An outcome from a caller without a stream. `jobId` '' or the job's: needed to recognise a repeated outcome. */
  settle(namespace: string, jobId: string, outcome: Outcome, call: CallOptions): Promise<OutcomeResult>;
  /** Chunks and progress of a lease that is unknown here wait until this node has caught up: it may be newer. */
  reportProgress(
    token: number,
    numerator: number,
    denominator: number,
    message: string,
    call: CallOptions,
  ): Promise<void>;
  sendData(
    token: number,
    firstNumber: number,
    chunks: readonly Uint8Array[],
    call: CallOptions,
  ): Promise<void>;

  cluster(read: ReadOptions): Promise<ClusterView>;
  /** '' lets the leader choose. */
  transferLeadership(to: string, call: CallOptions): Promise<LeadershipResult>;
  /** Brings a wiped or broken node back under its name: removed, added as learner, promoted when caught up. */
  replaceNode(
    name: string,
    call: CallOptions,
    progress: (line: string) => void,
  ): Promise<{ readonly revision: number }>;
  changeSettings(changes: Partial<Settings>, call: CallOptions): Promise<ChangeResult>;
  /** `settings` as new as the reader wants. */
  readSettings(read: ReadOptions): Promise<Settings>;

  /** The spec's id makes saying it again safe. */
  createSchedule(namespace: string, spec: ScheduleSpec, call: CallOptions): Promise<ScheduleResult>;
  getSchedule(namespace: string, id: string, read: ReadOptions): Promise<ScheduleView>;
  /** Null: no schedule has this number. */
  findSchedule(namespace: string, seq: number, read: ReadOptions): Promise<ScheduleView | null>;
  listSchedules(query: ScheduleQuery, read: ReadOptions): Promise<SchedulePage>;
  deleteSchedule(namespace: string, id: string, call: CallOptions): Promise<ChangeResult>;

  /** Begins a payload or result outside the log. `size`: bytes where known, or -1. */
  createBlob(size: number, call: CallOptions): Promise<BlobWriter>;
  /**
   * Chunks of a blob that a job refers to, at most 256 KiB each, from byte `offset` on: from this node's disk or,
   * while it lacks it, from another node. Throws NOT_FOUND when no node has it, NO_LEADER
   * while nodes that may have it do not answer.
   */
  readBlob(ref: BlobRef, offset: number, call: CallOptions): AsyncIterable<Uint8Array>;
}

export interface BlobWriter {
  /**
   * Takes the bytes over: the caller does not touch them afterwards. Resolves when more may be given (backpressure
   * from disk and peers), rejects once the blob cannot be completed. No bytes: more will come, however late.
   */
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves when a majority has synced all of it: it may be named in a submission or outcome in the next minutes. */
  finish(): Promise<BlobRef>;
  /** Gives it up at any moment, also after `finish`: every node deletes it. Once it is named by a job, does nothing. */
  abort(): void;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
}

/** A job named otherwise than by its id. */
export type JobReference = { readonly seq: number } | { readonly uniqueKey: string };

export interface SubmitOptions extends CallOptions {
  readonly allOrNothing: boolean;
}

export interface ReadOptions extends CallOptions {
  readonly consistency: 'linearizable' | 'eventual';
  /** Log index that must have been applied; 0: any. */
  readonly minRevision: number;
}

export interface SubmitResult {
  /** The job's own id: another one than asked for when coalesced. */
  readonly jobId: string;
  readonly seq: number;
  readonly disposition: Disposition;
  readonly state: JobState;
  readonly revision: number;
  readonly error: GearmeshError | null;
}

export interface ChangeResult {
  readonly revision: number;
  readonly value: number;
}

export interface ExtendResult {
  /** By position, wall ms at which the lease now ends; of a lost one its error. */
  readonly ends: readonly (number | GearmeshError)[];
  readonly revision: number;
}

export interface LeadershipResult {
  readonly leader: string;
  readonly term: number;
  readonly revision: number;
}

export interface ScheduleResult {
  /** The schedule's own id: another one than asked for when coalesced. */
  readonly id: string;
  readonly seq: number;
  readonly disposition: Disposition;
  readonly revision: number;
}

/** Told about one job in order; exactly one `ended` or `failed` comes last. */
export interface JobWatcher {
  /** The job changed: `accepted` comes first, also for a job that is older; `ended` last. */
  state(kind: JobEventKindForWatchers, job: JobView): void;
  progress(numerator: number, denominator: number, message: string): void;
  /** Chunks `first`, `first` + 1, … of the running attempt. */
  data(attempt: number, first: number, chunks: readonly Uint8Array[]): void;
  /** Chunks from..to (both inclusive) will not come. */
  dataGap(attempt: number, from: number, to: number): void;
  /** The watch is over without an end of the job: node draining, job deleted. */
  failed(error: GearmeshError): void;
}

export type JobEventKindForWatchers =
  | 'accepted'
  | 'queued'
  | 'started'
  | 'attempt-failed'
  | 'cancelling'
  | 'ended';

export interface Watch {
  close(): void;
}

export interface OpenSession {
  readonly namespace: string;
  readonly name: string;
  readonly functions: readonly FunctionSpec[];
  readonly resumable: boolean;
  /** Its jobs stay queued until `start` or an outcome. */
  readonly reserves?: boolean;
  readonly credit: number;
}

export interface AttachSession {
  readonly session: number;
  readonly secret: Uint8Array;
  readonly heldTokens: readonly number[];
}

/** What a session's connection must be able to carry to its worker. All are called from the node's loop: only queue. */
export interface SessionPort {
  /** Jobs assigned in this turn. Payloads are views valid until the next turn. */
  assigned(jobs: readonly Assignment[]): void;
  leasesLost(lost: readonly { readonly token: number; readonly reason: LeaseLostReason }[]): void;
  cancelRequested(token: number, reason: string, graceMs: number): void;
  /** The node stops or has lost the cluster: attach to one of these (`host:port`). */
  redirect(endpoints: readonly string[], reason: string): void;
  /** Finish or hand back what is running; no new jobs come. */
  drain(reason: string): void;
  /** The session is over. */
  closed(error: GearmeshError | null): void;
}

export interface Assignment {
  readonly token: number;
  /** Of a reserved job, the attempts before. */
  readonly attempt: number;
  /** Wall ms at which the run timeout or the lease ends, 0: never, or not begun. */
  readonly deadlineWall: number;
  readonly job: AssignedJob;
}

export interface OutcomeResult {
  readonly token: number;
  readonly revision: number;
  /** Null: accepted. */
  readonly error: GearmeshError | null;
}

export interface WorkerSession {
  readonly id: number;
  readonly epoch: number;
  readonly secret: Uint8Array;
  readonly graceMs: number;
  /** Tokens that were claimed at the attach and are no longer held. */
  readonly lostTokens: readonly number[];
  /**
   * One promise per call; results by position. Outcomes and the credit that comes back with them are one command.
   * `begins`: the worker waits; a job that there is for it at once is begun, not reserved.
   */
  settle(outcomes: readonly OutcomeBySession[], credit: number, begins?: boolean): Promise<OutcomeResult[]>;
  /** Cumulative since this attach. */
  credit(total: number): void;
  ack(tokens: readonly number[]): void;
  /** The worker begins a job that was reserved for it. Said once; an outcome says it as well. */
  start(token: number): void;
  progress(token: number, numerator: number, denominator: number, message: string): void;
  /** Chunks `first`, `first` + 1, … of this lease. */
  data(token: number, first: number, chunks: readonly Uint8Array[]): void;
  changeFunctions(functions: readonly FunctionSpec[]): Promise<void>;
  /** The connection broke: a resumable session waits for its grace. */
  detach(): void;
  /** The worker says goodbye: what it still holds goes back at once. */
  close(): Promise<void>;
}

/** An outcome as a session says it: by token; `jobId` ('' unknown) lets a repeated one be recognised after a resume. */
export type OutcomeBySession = Outcome extends infer O
  ? O extends Outcome
    ? Omit<O, 'seq'> & { readonly jobId: string }
    : never
  : never;

export interface LeaseRequest {
  readonly namespace: string;
  readonly worker: string;
  readonly functions: readonly FunctionSpec[];
  readonly maxJobs: number;
  readonly waitMs: number;
  readonly durationMs: number;
  readonly requestId: string;
}

export interface ClusterMember {
  readonly name: string;
  readonly diskId: string;
  readonly role: 'leader' | 'follower' | 'candidate' | 'learner' | 'unknown';
  readonly reachable: boolean;
  /** Wall ms since when. */
  readonly reachableSince: number;
  readonly grpc: string;
  readonly http: string;
  readonly peer: string;
  readonly version: string;
  readonly appliedIndex: number;
  readonly commitIndex: number;
  readonly logBytes: number;
  readonly stateHash: string;
  readonly stateHashIndex: number;
}

export interface ClusterView {
  readonly id: string;
  readonly name: string;
  /** '' while none is known. */
  readonly leader: string;
  readonly term: number;
  readonly members: readonly ClusterMember[];
  readonly nodes: readonly NodeView[];
  /** Null: agree as far as compared. */
  readonly hashDisagreement: string | null;
}
