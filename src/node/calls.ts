import { UlidSource } from '../base/ulid.js';
import { GearmeshError } from '../core/errors.js';
import type { JobPage, JobQuery } from '../core/interface.js';
import type { BlobRef, JobSpec, JobState, JobView, Outcome, QueueView, Settings } from '../core/types.js';
import { DEFAULT_SETTINGS } from '../core/types.js';
import type { Asking } from './asking.js';
import type { Booted } from './boot.js';
import { clusterView } from './cluster-view.js';
import type { Engine } from './engine.js';
import type {
  Assignment,
  AttachSession,
  BlobWriter,
  CallOptions,
  ChangeResult,
  ClusterView,
  JobReference,
  JobWatcher,
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
import { change, readable, submit } from './job-calls.js';
import { extendLeases, reportProgress, sendData, settleOne } from './lease-calls.js';
import { replaceMember } from './membership.js';
import type { NodeOptions } from './options.js';
import type { Polls } from './polls.js';
import { attachSession, openSession } from './session-calls.js';
import type { KnownStatus } from './status.js';

const LIST_BUDGET = 20_000;
const TRANSFER_MS = 3_000;
const REPLACE_MS = 3_600_000;
const LOOK_MS = 20;

/** Everything of a formed node that calls need. */
export interface Running {
  readonly booted: Booted;
  readonly engine: Engine;
  readonly polls: Polls;
}

/** The calls of the edges, each of them one step: read the state, or propose a command and wait for its answer. */
export abstract class NodeCalls implements NodeApi {
  protected readonly options: NodeOptions;
  protected readonly ulids: UlidSource;
  protected readonly listeners = new Set<() => void>();
  protected abstract readonly asking: Asking;
  /** Null before the node belongs to a cluster. */
  protected abstract readonly running: Running | null;
  abstract readonly clusterId: string;
  abstract readonly phase: NodeApi['phase'];

  constructor(options: NodeOptions) {
    this.options = options;
    this.ulids = new UlidSource(options.random);
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
      throw new GearmeshError('LIMIT_REACHED', {
        message: 'the disk of this node or of the leader is nearly full',
        metadata: { limit: 'disk-reserve-bytes', value: String(this.options.diskReserveBytes) },
        retryAfterMs: 5_000,
      });
    }
    return submit(
      { core: booted.core, origin: engine.origin, reads: engine.reads, naming: engine.blobs },
      namespace,
      specs,
      options,
    );
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
    return this.open().polls.lease(o, call);
  }

  async extendLeases(
    tokens: readonly number[],
    durationMs: number,
    call: CallOptions,
  ): Promise<(number | GearmeshError)[]> {
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
    return settleOne(engine.origin, booted.core, engine.blobs, namespace, jobId, outcome, call);
  }

  async reportProgress(
    token: number,
    numerator: number,
    denominator: number,
    message: string,
  ): Promise<void> {
    const { booted, engine } = this.formed();
    reportProgress(engine, booted.core, token, numerator, denominator, message);
  }

  async sendData(token: number, firstNumber: number, chunks: readonly Uint8Array[]): Promise<void> {
    const { booted, engine } = this.formed();
    sendData(engine, booted.core, token, firstNumber, chunks);
  }

  async cluster(read: ReadOptions): Promise<ClusterView> {
    const { booted, engine } = this.formed();
    await readable(engine.reads, read);
    return clusterView(this.options, this.clusterId, booted, engine);
  }

  async transferLeadership(to: string, call: CallOptions): Promise<{ leader: string; term: number }> {
    await this.someLeader(call);
    const { engine } = this.formed();
    if (engine.leaderName !== this.name) {
      return (await this.atLeader('transfer', { to }, TRANSFER_MS * 2)) as { leader: string; term: number };
    }
    const target = to === '' ? this.bestSuccessor() : to;
    if (target === this.name) return { leader: this.name, term: engine.standing.term };
    if (target === null || !engine.transferTo(target)) {
      throw new GearmeshError('NOT_FOUND', {
        message: to === '' ? 'no other member could take over' : `${to} is no member that could take over`,
      });
    }
    const done = await this.until(
      () => engine.leaderName !== '' && engine.leaderName !== this.name,
      TRANSFER_MS,
      call,
    );
    if (!done)
      throw new GearmeshError('WRONG_STATE', {
        message: `${target} did not take over in time: is it up to date?`,
      });
    return { leader: engine.leaderName, term: engine.standing.term };
  }

  async replaceNode(name: string, call: CallOptions, progress: (line: string) => void): Promise<void> {
    await this.someLeader(call);
    const { booted, engine } = this.formed();
    if (engine.leaderName !== this.name) {
      progress(`the leader ${engine.leaderName} does it`);
      await this.atLeader('replace', { name }, REPLACE_MS);
      progress(`${name} has caught up and votes`);
      return;
    }
    await replaceMember(
      {
        ownName: this.name,
        clock: this.options.clock,
        transport: this.options.transport,
        asking: this.asking,
        consensus: booted.consensus,
        engine,
        cluster: { id: this.clusterId, name: this.clusterName },
      },
      name,
      call.signal,
      (line) => {
        this.options.log.info({ peer: name }, line);
        progress(line);
      },
    );
  }

  async changeSettings(changes: Partial<Settings>, call: CallOptions): Promise<ChangeResult> {
    return change(this.open().engine.origin, 1_024, (builder) => builder.settings(changes), call, true);
  }

  async createBlob(size: number, call: CallOptions): Promise<BlobWriter> {
    this.open();
    await this.someLeader(call);
    return this.open().engine.blobs.create(size, call);
  }

  readBlob(ref: BlobRef, offset: number, call: CallOptions): AsyncIterable<Uint8Array> {
    return this.formed().engine.blobs.read(ref, offset, call);
  }

  /** The connected voter whose log is the newest; one that stops itself only where all others do. */
  protected bestSuccessor(): string | null {
    const running = this.running;
    if (running === null) return null;
    const { engine, booted } = running;
    const { progress } = booted.consensus.status();
    const off = engine.board.clocks.judge()?.off ?? [];
    let best: string | null = null;
    let bestDrains = true;
    let match = -1;
    for (const member of engine.members) {
      const one = progress.find((p) => p.id === member.raftId);
      if (member.name === this.name || one === undefined || one.learner) continue;
      if (!this.options.transport.isConnected(member.name)) continue;
      const known: KnownStatus | null = engine.board.of(member.name);
      if (known?.status.diskLow === true || off.includes(member.name)) continue;
      const drains = known?.status.draining === true;
      if (drains !== bestDrains ? drains : one.match <= match) continue;
      best = member.name;
      bestDrains = drains;
      match = one.match;
    }
    return best;
  }

  protected async atLeader(topic: string, body: unknown, timeoutMs: number): Promise<unknown> {
    const leader = this.formed().engine.leaderName;
    try {
      return await this.asking.ask(leader, topic, body, timeoutMs);
    } catch (error) {
      throw new GearmeshError('WRONG_STATE', { message: (error as Error).message, outcome: 'UNKNOWN' });
    }
  }

  /** Resolves while this node knows a leader. */
  protected async someLeader(call: CallOptions): Promise<void> {
    if (await this.until(() => this.formed().engine.leaderName !== '', Number.POSITIVE_INFINITY, call))
      return;
    throw new GearmeshError('NO_LEADER', { message: 'the deadline passed before there was a leader' });
  }

  protected async until(condition: () => boolean, timeoutMs: number, call: CallOptions): Promise<boolean> {
    const { clock } = this.options;
    const until = clock.monotonicMs() + timeoutMs;
    while (!condition()) {
      if (clock.monotonicMs() > until || call.signal?.aborted === true) return false;
      await new Promise<void>((resolve) => {
        clock.setTimer(LOOK_MS, resolve);
      });
    }
    return true;
  }
}
