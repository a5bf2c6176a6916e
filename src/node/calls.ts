import { UlidSource } from '../base/ulid.js';
import { GearmeshError } from '../core/errors.js';
import type { JobPage, JobQuery } from '../core/interface.js';
import { limitReached } from '../core/limits.js';
import type { JobSpec, JobState, JobView, Outcome, QueueView, Settings } from '../core/types.js';
import { DEFAULT_SETTINGS } from '../core/types.js';
import type { Asking } from './asking.js';
import type { Booted } from './boot.js';
import { CallTimes } from './call-times.js';
import { clusterView } from './cluster-view.js';
import type { Engine } from './engine.js';
import type {
  Assignment,
  AttachSession,
  CallOptions,
  ChangeResult,
  ClusterView,
  ExtendResult,
  JobReference,
  JobWatcher,
  LeadershipResult,
  LeaseRequest,
  NodeApi,
  OpenSession,
  OutcomeResult,
  ReadOptions,
  SessionPort,
  SubmitOptions,
  SubmitResult,
  Watch,
  WorkerSession,
} from './interface.js';
import { type CallParts, change, readable, submit } from './job-calls.js';
import { LeaderCalls } from './leader-calls.js';
import { extendLeases, reportProgress, sendData, settleOne } from './lease-calls.js';
import type { NodeOptions } from './options.js';
import type { Polls } from './polls.js';
import { attachSession, openSession } from './session-calls.js';

const LIST_BUDGET = 20_000;

/** Everything of a formed node that calls need. */
export interface Running {
  readonly booted: Booted;
  readonly engine: Engine;
  readonly polls: Polls;
}

function callParts(booted: Booted, engine: Engine): CallParts {
  return { core: booted.core, origin: engine.origin, reads: engine.reads };
}

/** The calls of the edges, each of them one step: read the state, or propose a command and wait for its answer. */
export abstract class NodeCalls implements NodeApi {
  protected readonly options: NodeOptions;
  protected readonly ulids: UlidSource;
  protected readonly listeners = new Set<() => void>();
  readonly #times: CallTimes;
  readonly #leaderCalls: LeaderCalls;
  protected abstract readonly asking: Asking;
  /** Null before the node belongs to a cluster. */
  protected abstract readonly running: Running | null;
  abstract readonly clusterId: string;
  abstract readonly phase: NodeApi['phase'];

  constructor(options: NodeOptions) {
    this.options = options;
    this.ulids = new UlidSource(options.random);
    this.#times = new CallTimes(options.observer);
    this.#leaderCalls = new LeaderCalls({
      options,
      asking: () => this.asking,
      running: () => this.running,
      formed: () => this.formed(),
      clusterId: () => this.clusterId,
    });
  }

  /** For reads and the ends of running work: allowed while draining. */
  protected abstract formed(): Running;
  /** For what begins new work. */
  protected abstract open(): Running;

  get name(): string {
    return this.options.name;
  }

  get clusterName(): string {
    return this.options.clusterName;
  }

  get version(): string {
    return this.options.version;
  }

  wallMs(): number {
    return Math.max(this.running?.booted.core.wall ?? 0, this.options.clock.wallMs());
  }

  settings(): Settings {
    return this.running?.booted.core.settings ?? { ...DEFAULT_SETTINGS, ...this.options.settings };
  }

  newJobId(): string {
    return this.ulids.next(this.wallMs());
  }

  u32(): number {
    return this.options.random.below(2 ** 32);
  }

  async submit(
    namespace: string,
    specs: readonly JobSpec[],
    options: SubmitOptions,
  ): Promise<SubmitResult[]> {
    const { booted, engine } = this.open();
    if (engine.diskLow) {
      const { diskReserveBytes } = this.options;
      const message = 'the disk of this node or of the leader is nearly full';
      throw limitReached('diskReserveBytes', diskReserveBytes, message, 5_000);
    }
    return submit(callParts(booted, engine), namespace, specs, options);
  }

  async getJob(namespace: string, id: string, read: ReadOptions): Promise<JobView> {
    const { booted, engine } = this.formed();
    await readable(engine.reads, read);
    const job = booted.core.findJob(namespace, id);
    if (job === null) throw new GearmeshError('NOT_FOUND', { message: `there is no job ${id}` });
    return job;
  }

  async findJob(namespace: string, by: JobReference, read: ReadOptions): Promise<JobView | null> {
    const { booted, engine } = this.formed();
    await readable(engine.reads, read);
    const { core } = booted;
    const job = core.job('seq' in by ? by.seq : core.seqOfUnique(namespace, by.uniqueKey));
    return job !== null && job.namespace === namespace ? job : null;
  }

  async listJobs(query: JobQuery, read: ReadOptions): Promise<JobPage> {
    const { booted, engine } = this.formed();
    await readable(engine.reads, read);
    return booted.core.listJobs({ ...query, budget: Math.min(query.budget, LIST_BUDGET) });
  }

  async cancelJob(
    namespace: string,
    id: string,
    reason: string,
    graceMs: number,
    call: CallOptions,
  ): Promise<ChangeResult> {
    return change(
      this.open().engine.origin,
      128 + (namespace.length + reason.length) * 3,
      (builder) => builder.cancel(namespace, id, reason, graceMs),
      call,
      true,
    );
  }

  async retryJob(namespace: string, id: string, call: CallOptions): Promise<ChangeResult> {
    return change(
      this.open().engine.origin,
      128 + namespace.length * 3,
      (builder) => builder.retry(namespace, id),
      call,
    );
  }

  async deleteJob(namespace: string, id: string, call: CallOptions): Promise<ChangeResult> {
    return change(
      this.open().engine.origin,
      128 + namespace.length * 3,
      (builder) => builder.delete(namespace, id),
      call,
    );
  }

  async watchJob(namespace: string, id: string, watcher: JobWatcher, read: ReadOptions): Promise<Watch> {
    const { booted, engine } = this.open();
    await readable(engine.reads, read);
    // Looked at and watched in one step: an end in between would never be told.
    const job = booted.core.findJob(namespace, id);
    if (job === null) throw new GearmeshError('NOT_FOUND', { message: `there is no job ${id}` });
    return engine.watching.add(job, watcher);
  }

  async listQueues(namespace: string | null, read: ReadOptions): Promise<readonly QueueView[]> {
    const { booted, engine } = this.formed();
    await readable(engine.reads, read);
    return booted.core.queues(namespace);
  }

  async getQueue(namespace: string, fn: string, read: ReadOptions): Promise<QueueView> {
    const { booted, engine } = this.formed();
    await readable(engine.reads, read);
    const queue = booted.core.queue(namespace, fn);
    if (queue === null) {
      throw new GearmeshError('NOT_FOUND', { message: `nobody has used the function ${fn} yet` });
    }
    return queue;
  }

  async pauseQueue(namespace: string, fn: string, paused: boolean, call: CallOptions): Promise<ChangeResult> {
    return change(
      this.open().engine.origin,
      64 + (namespace.length + fn.length) * 3,
      (builder) => builder.pause(namespace, fn, paused),
      call,
      true,
    );
  }

  async purgeQueue(
    namespace: string,
    fn: string,
    states: readonly JobState[],
    call: CallOptions,
  ): Promise<ChangeResult> {
    return change(
      this.open().engine.origin,
      64 + (namespace.length + fn.length) * 3,
      (builder) => builder.purge(namespace, fn, states),
      call,
    );
  }

  onQueuesChanged(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async openSession(o: OpenSession, port: SessionPort): Promise<WorkerSession> {
    const { engine } = this.open();
    return openSession(engine, this.options.random, o, port);
  }

  async attachSession(o: AttachSession, port: SessionPort): Promise<WorkerSession> {
    const { booted, engine } = this.open();
    return attachSession(engine, booted.core, o, port);
  }

  async leaseJobs(o: LeaseRequest, call: CallOptions): Promise<readonly Assignment[]> {
    const { polls, booted } = this.open();
    // A name that nobody else says: a caller that gave none takes other jobs each time.
    const asked = o.requestId === '' ? { ...o, requestId: this.newJobId() } : o;
    const jobs = await polls.lease(asked, call);
    this.#times.leased(booted.core, jobs);
    return jobs;
  }

  async extendLeases(
    tokens: readonly number[],
    durationMs: number,
    call: CallOptions,
  ): Promise<ExtendResult> {
    const { booted, engine } = this.formed();
    return extendLeases(engine.origin, booted.core, tokens, durationMs, call);
  }

  async settle(
    namespace: string,
    jobId: string,
    outcome: Outcome,
    call: CallOptions,
  ): Promise<OutcomeResult> {
    const { booted, engine } = this.formed();
    const answer = settleOne(callParts(booted, engine), namespace, jobId, outcome, call);
    return this.#times.settled(booted.core, outcome, answer);
  }

  async reportProgress(
    token: number,
    numerator: number,
    denominator: number,
    message: string,
    call: CallOptions,
  ): Promise<void> {
    const { booted, engine } = this.formed();
    return reportProgress(engine, booted.core, token, numerator, denominator, message, call);
  }

  async sendData(
    token: number,
    firstNumber: number,
    chunks: readonly Uint8Array[],
    call: CallOptions,
  ): Promise<void> {
    const { booted, engine } = this.formed();
    return sendData(engine, booted.core, token, firstNumber, chunks, call);
  }

  async cluster(read: ReadOptions): Promise<ClusterView> {
    const { booted, engine } = this.formed();
    await readable(engine.reads, read);
    return clusterView(this.options, this.clusterId, booted, engine);
  }

  transferLeadership(to: string, call: CallOptions): Promise<LeadershipResult> {
    return this.#leaderCalls.transfer(to, call);
  }

  replaceNode(
    name: string,
    call: CallOptions,
    progress: (line: string) => void,
  ): Promise<{ readonly revision: number }> {
    return this.#leaderCalls.replace(name, call, progress);
  }

  async changeSettings(changes: Partial<Settings>, call: CallOptions): Promise<ChangeResult> {
    return change(this.open().engine.origin, 1_024, (builder) => builder.settings(changes), call, true);
  }

  async readSettings(read: ReadOptions): Promise<Settings> {
    const { booted, engine } = this.formed();
    await readable(engine.reads, read);
    return booted.core.settings;
  }

  protected bestSuccessor(): string | null {
    return this.#leaderCalls.bestSuccessor();
  }
}
