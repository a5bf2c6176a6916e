import { UlidSource } from '../base/ulid.js';
import { GearmeshError } from '../core/errors.js';
import type { JobPage, JobQuery } from '../core/interface.js';
import type { JobSpec, JobState, JobView, Outcome, QueueView, Settings } from '../core/types.js';
import { DEFAULT_SETTINGS } from '../core/types.js';
import type { Hello, PeerFrame } from '../peer/types.js';
import { type DataDirectory, openDataDirectory } from '../storage/index.js';
import { Asking } from './asking.js';
import { type Booted, boot, DamagedDiskError, FORMATION_NOTE } from './boot.js';
import { clusterView } from './cluster-view.js';
import { Engine } from './engine.js';
import { FormationDesk, judgeHello } from './formation.js';
import type {
  Assignment,
  AttachSession,
  CallOptions,
  ChangeResult,
  ClusterView,
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
import { type Formation, type Member, readFormation } from './members.js';
import { replaceMember } from './membership.js';
import type { NodeOptions } from './options.js';
import { Polls } from './polls.js';
import { attachSession, openSession } from './session-calls.js';
import type { KnownStatus } from './status.js';

const QUEUES_CHANGED_MS = 100;
const LIST_BUDGET = 20_000;
const DISK_LOOK_MS = 1_000;
const TRANSFER_MS = 3_000;
const REPLACE_MS = 3_600_000;
const LOOK_MS = 20;

type Phase = NodeApi['phase'];

/** Everything of a formed node that calls need. */
interface Running {
  readonly booted: Booted;
  readonly engine: Engine;
  readonly polls: Polls;
}

/** A node from its start to its end: data directory, formation, engine, and the calls of the edges. */
export class GearmeshNode implements NodeApi {
  readonly #options: NodeOptions;
  readonly #asking: Asking;
  readonly #ulids: UlidSource;
  readonly #ready: Promise<void>;
  #directory: DataDirectory;
  #markReady: () => void = () => {};
  #formation: FormationDesk | null = null;
  #running: Running | null = null;
  #phase: Phase = 'starting';
  #listeners = new Set<() => void>();
  #changeWaits = false;
  #stopping: Promise<void> | null = null;
  #life: Promise<void> = Promise.resolve();

  constructor(options: NodeOptions, directory: DataDirectory) {
    this.#options = options;
    this.#directory = directory;
    this.#ulids = new UlidSource(options.random);
    this.#asking = new Asking(options.transport, options.clock, (from, topic, body) =>
      this.#answer(from, topic, body),
    );
    this.#ready = new Promise((resolve) => {
      this.#markReady = resolve;
    });
  }

  get name(): string {
    return this.#options.name;
  }

  get clusterName(): string {
    return this.#options.clusterName;
  }

  get clusterId(): string {
    return this.#directory.identity.cluster?.id ?? '';
  }

  get version(): string {
    return this.#options.version;
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Resolves once the node takes part and serves for the first time. */
  get ready(): Promise<void> {
    return this.#ready;
  }

  /** The engine, for metrics; null before the node belongs to a cluster. */
  get engine(): Engine | null {
    return this.#running?.engine ?? null;
  }

  get parts(): Booted | null {
    return this.#running?.booted ?? null;
  }

  /** Listens for peers and starts to form, join or recover; returns without waiting for that. */
  async start(): Promise<void> {
    const { transport, peers } = this.#options;
    this.#sayHello();
    await transport.listen({
      hello: (theirs) => this.#judge(theirs),
      connected: (name, hello) => this.#connected(name, hello),
      lost: (name) => this.#lost(name),
      frame: (from, frame) => this.#frame(from, frame),
    });
    transport.setPeers(peers);
    this.#life = this.#live().catch((error: unknown) => {
      if (this.#phase !== 'stopped') this.#options.onFatal(error as Error);
    });
  }

  /** Orderly end: no new work, leadership handed over, workers sent elsewhere, then everything is closed. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Ends at once, as far as a living process can: nothing is handed over. */
  async halt(): Promise<void> {
    this.#phase = 'stopped';
    this.#formation?.stop();
    this.#asking.close();
    const running = this.#running;
    if (running !== null) {
      await running.engine.stop();
      running.engine.watching.failAll(new GearmeshError('SHUTTING_DOWN'));
      running.engine.sessions.endAll(new GearmeshError('SHUTTING_DOWN'));
    }
    await this.#options.transport.close();
    if (running !== null) {
      await running.booted.wal.close();
      await running.booted.store.close();
    }
    await this.#directory.close();
  }

  wallMs(): number {
    return Math.max(this.#running?.booted.core.wall ?? 0, this.#options.clock.wallMs());
  }

  settings(): Settings {
    return this.#running?.booted.core.settings ?? { ...DEFAULT_SETTINGS, ...this.#options.settings };
  }

  newJobId(): string {
    return this.#ulids.next(this.wallMs());
  }

  u32(): number {
    return this.#options.random.below(2 ** 32);
  }

  async submit(
    namespace: string,
    specs: readonly JobSpec[],
    options: SubmitOptions,
  ): Promise<SubmitResult[]> {
    const { booted, engine } = this.#open();
    if (engine.diskLow) {
      throw new GearmeshError('LIMIT_REACHED', {
        message: 'the disk of this node or of the leader is nearly full',
        metadata: { limit: 'disk-reserve-bytes', value: String(this.#options.diskReserveBytes) },
        retryAfterMs: 5_000,
      });
    }
    return submit(
      { core: booted.core, origin: engine.origin, reads: engine.reads },
      namespace,
      specs,
      options,
    );
  }

  async getJob(namespace: string, id: string, read: ReadOptions): Promise<JobView> {
    const { booted, engine } = this.#formed();
    await readable(engine.reads, read);
    const job = booted.core.findJob(namespace, id);
    if (job === null) throw new GearmeshError('NOT_FOUND', { message: `there is no job ${id}` });
    return job;
  }

  async listJobs(query: JobQuery, read: ReadOptions): Promise<JobPage> {
    const { booted, engine } = this.#formed();
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
      this.#open().engine.origin,
      128 + (namespace.length + reason.length) * 3,
      (builder) => builder.cancel(namespace, id, reason, graceMs),
      call,
      true,
    );
  }

  async retryJob(namespace: string, id: string, call: CallOptions): Promise<ChangeResult> {
    return change(
      this.#open().engine.origin,
      128 + namespace.length * 3,
      (builder) => builder.retry(namespace, id),
      call,
    );
  }

  async deleteJob(namespace: string, id: string, call: CallOptions): Promise<ChangeResult> {
    return change(
      this.#open().engine.origin,
      128 + namespace.length * 3,
      (builder) => builder.delete(namespace, id),
      call,
    );
  }

  async watchJob(namespace: string, id: string, watcher: JobWatcher, read: ReadOptions): Promise<Watch> {
    const job = await this.getJob(namespace, id, read);
    return this.#open().engine.watching.add(job, watcher);
  }

  async listQueues(namespace: string | null, read: ReadOptions): Promise<readonly QueueView[]> {
    const { booted, engine } = this.#formed();
    await readable(engine.reads, read);
    return booted.core.queues(namespace);
  }

  async getQueue(namespace: string, fn: string, read: ReadOptions): Promise<QueueView> {
    const { booted, engine } = this.#formed();
    await readable(engine.reads, read);
    const queue = booted.core.queue(namespace, fn);
    if (queue === null) {
      throw new GearmeshError('NOT_FOUND', { message: `nobody has used the function ${fn} yet` });
    }
    return queue;
  }

  async pauseQueue(namespace: string, fn: string, paused: boolean, call: CallOptions): Promise<ChangeResult> {
    return change(
      this.#open().engine.origin,
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
      this.#open().engine.origin,
      64 + (namespace.length + fn.length) * 3,
      (builder) => builder.purge(namespace, fn, states),
      call,
    );
  }

  onQueuesChanged(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async openSession(o: OpenSession, port: SessionPort): Promise<WorkerSession> {
    const { engine } = this.#open();
    return openSession(engine, this.#options.random, o, port);
  }

  async attachSession(o: AttachSession, port: SessionPort): Promise<WorkerSession> {
    const { booted, engine } = this.#open();
    return attachSession(engine, booted.core, o, port);
  }

  async leaseJobs(o: LeaseRequest, call: CallOptions): Promise<readonly Assignment[]> {
    return this.#open().polls.lease(o, call);
  }

  async extendLeases(
    tokens: readonly number[],
    durationMs: number,
    call: CallOptions,
  ): Promise<(number | GearmeshError)[]> {
    const { booted, engine } = this.#formed();
    return extendLeases(engine.origin, booted.core, tokens, durationMs, call);
  }

  async settle(
    namespace: string,
    jobId: string,
    outcome: Outcome,
    call: CallOptions,
  ): Promise<OutcomeResult> {
    const { booted, engine } = this.#formed();
    return settleOne(engine.origin, booted.core, namespace, jobId, outcome, call);
  }

  async reportProgress(
    token: number,
    numerator: number,
    denominator: number,
    message: string,
  ): Promise<void> {
    const { booted, engine } = this.#formed();
    reportProgress(engine, booted.core, token, numerator, denominator, message);
  }

  async sendData(token: number, firstNumber: number, chunks: readonly Uint8Array[]): Promise<void> {
    const { booted, engine } = this.#formed();
    sendData(engine, booted.core, token, firstNumber, chunks);
  }

  async cluster(read: ReadOptions): Promise<ClusterView> {
    const { booted, engine } = this.#formed();
    await readable(engine.reads, read);
    return clusterView(this.#options, this.clusterId, booted, engine);
  }

  async transferLeadership(to: string, call: CallOptions): Promise<{ leader: string; term: number }> {
    const { engine } = this.#formed();
    if (engine.leaderName === '') throw new GearmeshError('NO_LEADER');
    if (engine.leaderName !== this.name) {
      return (await this.#atLeader('transfer', { to }, TRANSFER_MS * 2)) as { leader: string; term: number };
    }
    const target = to === '' ? this.#bestSuccessor() : to;
    if (target === this.name) return { leader: this.name, term: engine.standing.term };
    if (target === null || !engine.transferTo(target)) {
      throw new GearmeshError('NOT_FOUND', {
        message: to === '' ? 'no other member could take over' : `${to} is no member that could take over`,
      });
    }
    const done = await this.#until(
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
    const { booted, engine } = this.#formed();
    if (engine.leaderName === '') throw new GearmeshError('NO_LEADER');
    if (engine.leaderName !== this.name) {
      progress(`the leader ${engine.leaderName} does it`);
      await this.#atLeader('replace', { name }, REPLACE_MS);
      progress(`${name} has caught up and votes`);
      return;
    }
    await replaceMember(
      {
        clock: this.#options.clock,
        transport: this.#options.transport,
        asking: this.#asking,
        consensus: booted.consensus,
        engine,
        cluster: { id: this.clusterId, name: this.clusterName },
      },
      name,
      call.signal,
      (line) => {
        this.#options.log.info({ node: name }, line);
        progress(line);
      },
    );
  }

  async changeSettings(changes: Partial<Settings>, call: CallOptions): Promise<ChangeResult> {
    return change(this.#open().engine.origin, 1_024, (builder) => builder.settings(changes), call, true);
  }

  // Life.

  async #live(): Promise<void> {
    const { log } = this.#options;
    if (this.#directory.identity.cluster === null) {
      this.#phase = 'forming';
      await this.#form();
    }
    if (this.#phase === 'stopped') return;
    this.#phase = 'catching-up';
    let booted: Booted;
    try {
      booted = await boot(this.#options, this.#directory);
    } catch (error) {
      if (!(error instanceof DamagedDiskError)) throw error;
      // Rule: below what was synced, this identity never votes again. It comes back as a new disk, through a learner.
      const aside = await this.#directory.setAside();
      log.error(
        { reason: error.message, aside },
        'the disk is damaged: what was on it is set aside and this node waits to be added again (gearmesh cluster replace)',
      );
      this.#sayHello();
      return this.#live();
    }
    const membersChanged = (members: readonly Member[]): void => this.#membersChanged(members);
    const engine: Engine = new Engine({
      options: this.#options,
      ...booted,
      asking: this.#asking,
      membersChanged,
      ready: () => {
        if (this.#phase === 'catching-up') this.#phase = 'ready';
        this.#markReady();
      },
      reborn: () => {
        if (this.#phase === 'ready') this.#phase = 'catching-up';
      },
      installed: () => this.#directory.writeNote(FORMATION_NOTE, null),
      queuesChanged: () => this.#queuesChanged(),
      polled: (session) => this.#running?.polls.assigned(session),
      delivered: () => this.#running?.polls.deliver(),
    });
    const polls = new Polls({ core: booted.core, clock: this.#options.clock, origin: engine.origin });
    this.#running = { booted, engine, polls };
    membersChanged(engine.members);
    this.#sayHello();
    for (const peer of engine.members) {
      if (peer.name !== this.name && this.#options.transport.isConnected(peer.name))
        engine.peerConnected(peer.name);
    }
    engine.start();
    this.#watchDisk();
  }

  async #form(): Promise<void> {
    const { options, directory } = { options: this.#options, directory: this.#directory };
    const desk = new FormationDesk({
      name: options.name,
      clusterName: options.clusterName,
      peers: options.peers,
      settings: options.settings,
      memory: {
        diskId: directory.identity.diskId,
        prepared: async () => {
          const note = (await directory.readNote(FORMATION_NOTE)) as { formation?: unknown } | null;
          return readFormation(note?.formation);
        },
        prepare: (formation) => directory.writeNote(FORMATION_NOTE, { adopted: false, formation }),
        join: (formation) => this.#join(directory, formation),
      },
      clock: options.clock,
      random: options.random,
      log: options.log,
      asking: this.#asking,
      hello: (name) => (options.transport.isConnected(name) ? options.transport.hello(name) : null),
      ownPeerAddress: options.advertised.peer,
    });
    this.#formation = desk;
    await desk.run();
    this.#formation = null;
  }

  async #join(directory: DataDirectory, formation: Formation): Promise<void> {
    const { diskId } = directory.identity;
    const adopted = !formation.members.some((member) => member.diskId === diskId);
    await directory.writeNote(FORMATION_NOTE, { adopted, formation });
    await directory.join({ id: formation.clusterId, name: formation.clusterName });
    this.#sayHello();
  }

  async #stop(): Promise<void> {
    const { log, clock, drainMs } = this.#options;
    this.#phase = 'draining';
    const running = this.#running;
    if (running !== null) {
      const { engine } = running;
      log.info({}, 'stopping: handing over');
      if (engine.leaderName === this.name) {
        const target = this.#bestSuccessor();
        if (target !== null && engine.transferTo(target)) {
          await this.#until(
            () => engine.leaderName !== this.name && engine.leaderName !== '',
            TRANSFER_MS,
            {},
          );
        }
      }
      const others = engine.members
        .filter((member) => member.name !== this.name && this.#options.transport.isConnected(member.name))
        .map((member) => this.#options.transport.hello(member.name)?.grpc ?? '')
        .filter((address) => address !== '');
      if (others.length > 0) engine.sessions.redirect(others, 'the node is stopping');
      engine.sessions.drain('the node is stopping');
      const until = clock.monotonicMs() + drainMs;
      await this.#until(
        () => (engine.sessions.size === 0 && engine.origin.idle) || clock.monotonicMs() > until,
        drainMs,
        {},
      );
      if (engine.leaderName !== '' && engine.members.length > 1) {
        let left = false;
        void engine.leave().then(() => {
          left = true;
        });
        await this.#until(() => left, 1_000, {});
      }
    }
    await this.halt();
    await this.#life;
    log.info({}, 'stopped');
  }

  #watchDisk(): void {
    const { clock, disk, directory, diskReserveBytes, log } = this.#options;
    let low = false;
    const look = async (): Promise<void> => {
      const running = this.#running;
      if (running === null || this.#phase === 'stopped') return;
      const free = await disk.freeBytes(directory);
      if (free < diskReserveBytes !== low) {
        low = !low;
        running.engine.setDiskLow(low);
        if (low)
          log.error({ free, reserve: diskReserveBytes }, 'the disk is nearly full: new jobs are refused');
        else log.info({ free }, 'the disk has room again');
      }
      if (low && running.engine.isOpenLeader) {
        const target = this.#bestSuccessor();
        if (target !== null) running.engine.transferTo(target);
      }
    };
    const again = (): void => {
      if (this.#phase === 'stopped') return;
      look()
        .catch((error: unknown) =>
          log.warn({ reason: (error as Error).message }, 'free disk space is unknown'),
        )
        .finally(() => clock.setTimer(DISK_LOOK_MS, again));
    };
    again();
  }

  /** The connected voter whose log is the newest. */
  #bestSuccessor(): string | null {
    const running = this.#running;
    if (running === null) return null;
    const { engine, booted } = running;
    const { progress } = booted.consensus.status();
    let best: string | null = null;
    let match = -1;
    for (const member of engine.members) {
      const one = progress.find((p) => p.id === member.raftId);
      if (member.name === this.name || one === undefined || one.learner) continue;
      if (!this.#options.transport.isConnected(member.name) || one.match <= match) continue;
      const known: KnownStatus | null = engine.board.of(member.name);
      if (known?.status.diskLow === true) continue;
      best = member.name;
      match = one.match;
    }
    return best;
  }

  // Peers.

  #sayHello(): void {
    const { options, directory } = { options: this.#options, directory: this.#directory };
    const hello: Hello = {
      protocol: 1,
      featureLevel: 1,
      name: options.name,
      diskId: directory.identity.diskId,
      clusterId: directory.identity.cluster?.id ?? null,
      clusterName: options.clusterName,
      grpc: options.advertised.grpc,
      http: options.advertised.http,
      peer: options.advertised.peer,
      version: options.version,
    };
    options.transport.setHello(hello);
  }

  #judge(theirs: Hello): string | null {
    return judgeHello(
      {
        clusterName: this.clusterName,
        clusterId: this.#directory.identity.cluster?.id ?? null,
        members: this.#running?.engine.members ?? null,
      },
      theirs,
    );
  }

  #connected(name: string, hello: Hello): void {
    this.#options.log.info({ peer: name, address: hello.peer }, 'peer connected');
    const running = this.#running;
    running?.engine.peerConnected(name);
    // A member that has promised to form and never heard the decision.
    const member = running?.engine.members.find((one) => one.name === name);
    if (hello.clusterId === null && member?.diskId === hello.diskId && running !== null) {
      const formation: Formation = {
        clusterId: this.clusterId,
        clusterName: this.clusterName,
        members: running.engine.members,
        settings: running.booted.core.settings,
      };
      this.#asking.ask(name, 'form.commit', formation, TRANSFER_MS).catch(() => {});
    }
  }

  #lost(name: string): void {
    this.#asking.lost(name);
    this.#running?.engine.peerLost(name);
  }

  #frame(from: string, frame: PeerFrame): void {
    if (frame.type === 'ask' || frame.type === 'answer' || frame.type === 'refuse')
      this.#asking.frame(from, frame);
    else this.#running?.engine.frame(from, frame);
  }

  async #answer(from: string, topic: string, body: unknown): Promise<unknown> {
    switch (topic) {
      case 'status':
        this.#running?.engine.heardStatus(from, body);
        return null;
      case 'leader-lost':
        return this.#formed().engine.leaderLost(body);
      case 'form.decided':
        return this.#directory.identity.cluster?.id ?? null;
      case 'form.prepare':
      case 'form.commit':
      case 'adopt':
        if (this.#formation === null) throw new Error('this node already belongs to a cluster');
        return this.#formation.answer(topic, body);
      case 'transfer':
        return this.transferLeadership(field(body, 'to'), {});
      case 'replace':
        await this.replaceNode(field(body, 'name'), {}, () => {});
        return null;
      default:
        throw new Error(`unknown topic ${topic}`);
    }
  }

  async #atLeader(topic: string, body: unknown, timeoutMs: number): Promise<unknown> {
    const leader = this.#formed().engine.leaderName;
    try {
      return await this.#asking.ask(leader, topic, body, timeoutMs);
    } catch (error) {
      throw new GearmeshError('WRONG_STATE', { message: (error as Error).message, outcome: 'UNKNOWN' });
    }
  }

  #membersChanged(members: readonly Member[]): void {
    const { peers, transport } = this.#options;
    const known = new Map(peers.map((peer) => [peer.name, peer]));
    for (const member of members) {
      if (known.has(member.name)) continue;
      const at = member.peer.lastIndexOf(':');
      known.set(member.name, {
        name: member.name,
        host: member.peer.slice(0, at),
        port: Number(member.peer.slice(at + 1)),
      });
    }
    transport.setPeers([...known.values()]);
  }

  #queuesChanged(): void {
    if (this.#listeners.size === 0 || this.#changeWaits) return;
    this.#changeWaits = true;
    this.#options.clock.setTimer(QUEUES_CHANGED_MS, () => {
      this.#changeWaits = false;
      for (const listener of this.#listeners) listener();
    });
  }

  /** For reads and the ends of running work: allowed while draining. */
  #formed(): Running {
    if (this.#running === null || this.#phase === 'stopped') {
      throw this.#phase === 'stopped'
        ? new GearmeshError('SHUTTING_DOWN')
        : new GearmeshError('NO_LEADER', {
            message: 'this node does not belong to a cluster yet',
            retryAfterMs: 500,
          });
    }
    return this.#running;
  }

  /** For what begins new work. */
  #open(): Running {
    if (this.#phase === 'draining') throw new GearmeshError('SHUTTING_DOWN');
    return this.#formed();
  }

  async #until(condition: () => boolean, timeoutMs: number, call: CallOptions): Promise<boolean> {
    const { clock } = this.#options;
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

/** Opens the data directory and starts a node on it. Rejects where the directory cannot be used. */
export async function startNode(options: NodeOptions): Promise<GearmeshNode> {
  const directory = await openDataDirectory(options.disk, options.directory, {
    nodeName: options.name,
    random: options.random,
  });
  const node = new GearmeshNode(options, directory);
  await node.start();
  return node;
}

function field(body: unknown, name: string): string {
  if (typeof body !== 'object' || body === null) return '';
  const value = (body as Record<string, unknown>)[name];
  return typeof value === 'string' ? value : '';
}
