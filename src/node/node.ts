import { GearmeshError } from '../core/errors.js';
import { FEATURE_LEVEL } from '../core/index.js';
import { type Hello, type PeerFrame, PROTOCOL } from '../peer/types.js';
import { type DataDirectory, openDataDirectory } from '../storage/index.js';
import { type Asked, Asking } from './asking.js';
import { type Booted, boot, FORMATION_NOTE } from './boot.js';
import { NodeCalls, type Running } from './calls.js';
import { Engine } from './engine.js';
import { FormationDesk, judgeHello, type Promised } from './formation.js';
import type { NodeApi } from './interface.js';
import { type Member, readFormation } from './members.js';
import type { NodeOptions } from './options.js';
import { Polls } from './polls.js';
import { Relieving } from './relieving.js';
import { DamagedDiskError } from './restoring.js';
import { Returning } from './returning.js';
import { Stopping } from './stopping.js';

const QUEUES_CHANGED_MS = 100;
const DISK_LOOK_MS = 1_000;
/** Time for the other founders to come as far, milliseconds. */
const FIRST_CAMPAIGN_MS = 100;

type Phase = NodeApi['phase'];

/** A node from its start to its end: data directory, formation, engine, and the calls of the edges. */
export class GearmeshNode extends NodeCalls {
  protected readonly asking: Asking;
  readonly #ready: Promise<void>;
  readonly #returning: Returning;
  #directory: DataDirectory;
  #markReady: () => void = () => {};
  #formation: FormationDesk | null = null;
  protected running: Running | null = null;
  #phase: Phase = 'starting';
  #changeWaits = false;
  #stopping: Promise<void> | null = null;
  #life: Promise<void> = Promise.resolve();

  constructor(options: NodeOptions, directory: DataDirectory) {
    super(options);
    this.#directory = directory;
    this.asking = new Asking(options.transport, options.clock, (from, topic, body, asked) =>
      this.#answer(from, topic, body, asked),
    );
    this.#ready = new Promise((resolve) => {
      this.#markReady = resolve;
    });
    this.#returning = new Returning({
      options,
      directory,
      asking: this.asking,
      booted: () => this.running?.booted ?? null,
      isOver: () => this.#isOver(),
    });
  }

  get clusterId(): string {
    return this.#directory.identity.cluster?.id ?? '';
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
    return this.running?.engine ?? null;
  }

  get parts(): Booted | null {
    return this.running?.booted ?? null;
  }

  /** Listens for peers and starts to form, join or recover; returns without waiting for that. */
  async start(): Promise<void> {
    const { transport, peers } = this.options;
    this.#sayHello();
    await transport.listen({
      hello: (theirs) => this.#judge(theirs),
      connected: (name, hello) => this.#connected(name, hello),
      lost: (name) => this.#lost(name),
      frame: (from, frame) => this.#frame(from, frame),
    });
    transport.setPeers(peers);
    this.#begin(() => this.#live());
  }

  #begin(life: () => Promise<void>): void {
    this.#life = life().catch((error: unknown) => {
      if (this.#phase !== 'stopped') this.options.onFatal(error as Error);
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
    this.asking.close();
    const running = this.running;
    if (running !== null) await endWork(running);
    await this.options.transport.close();
    if (running !== null) await closeFiles(running.booted);
    await this.#directory.close();
  }

  // Life.

  async #live(): Promise<void> {
    const { log } = this.options;
    await this.#returning.goOn();
    const formed = this.#directory.identity.cluster === null;
    if (formed) {
      this.#phase = 'forming';
      await this.#form();
    }
    if (this.#isOver()) return;
    this.#phase = 'catching-up';
    let booted: Booted;
    try {
      booted = await boot(this.options, this.#directory);
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
    if (this.#isOver()) {
      await closeFiles(booted);
      return;
    }
    const membersChanged = (members: readonly Member[]): void => this.#membersChanged(members);
    const { clock, onFatal } = this.options;
    const relieving = new Relieving({ core: booted.core, clock, fatal: onFatal });
    booted.spill.whenRead = () => relieving.soon();
    const engine: Engine = new Engine({
      options: this.options,
      ...booted,
      asking: this.asking,
      membersChanged,
      ready: () => {
        if (this.#phase === 'catching-up') this.#phase = 'ready';
        this.#markReady();
      },
      reborn: () => {
        if (this.#phase === 'ready') this.#phase = 'catching-up';
        this.running?.polls.resync();
      },
      installed: () => this.#directory.writeNote(FORMATION_NOTE, null),
      astray: (index) => this.#astray(index),
      queuesChanged: () => this.#queuesChanged(),
      polled: (session) => this.running?.polls.assigned(session),
      polling: () => this.running?.polls.waiting === true,
      delivered: () => {
        this.running?.polls.deliver();
        relieving.check();
      },
    });
    const polls = new Polls({ core: booted.core, clock: this.options.clock, origin: engine.origin });
    this.running = { booted, engine, polls };
    membersChanged(engine.members);
    for (const peer of engine.members) {
      if (peer.name !== this.name && this.options.transport.isConnected(peer.name))
        engine.peerConnected(peer.name);
    }
    engine.start();
    // A young cluster need not wait for an election timeout: the node that proposed it stands for office.
    if (formed && engine.members.length > 1 && engine.members[0]?.name === this.name) {
      this.options.clock.setTimer(FIRST_CAMPAIGN_MS, () => engine.campaignIfLeaderless());
    }
    this.#watchDisk(this.running);
  }

  /** Rule: a replica in the minority stops serving at once, and takes its state anew from the others. */
  #astray(index: number): void {
    const running = this.running;
    if (running === null || this.#phase === 'draining' || this.#isOver()) return;
    this.running = null;
    this.#phase = 'catching-up';
    this.#begin(async () => {
      await endWork(running);
      await closeFiles(running.booted);
      if (this.#isOver()) return;
      await this.#returning.setAside(index);
      this.#sayHello();
      return this.#live();
    });
  }

  async #form(): Promise<void> {
    const { options, directory } = { options: this.options, directory: this.#directory };
    const desk = new FormationDesk({
      name: options.name,
      clusterName: options.clusterName,
      peers: options.peers,
      settings: options.settings,
      memory: {
        diskId: directory.identity.diskId,
        promised: async () => {
          const note = (await directory.readNote(FORMATION_NOTE)) as Partial<Promised> | null;
          const formation = readFormation(note?.formation);
          return formation === null ? null : { formation, adopted: note?.adopted === true };
        },
        promise: (formation) => directory.writeNote(FORMATION_NOTE, { adopted: false, formation }),
        join: (promised) => this.#join(directory, promised),
      },
      clock: options.clock,
      random: options.random,
      log: options.log,
      asking: this.asking,
      hello: (name) => (options.transport.isConnected(name) ? options.transport.hello(name) : null),
      ownPeerAddress: options.advertised.peer,
    });
    this.#formation = desk;
    await desk.run();
    this.#formation = null;
  }

  async #join(directory: DataDirectory, promised: Promised): Promise<void> {
    const { clusterId, clusterName } = promised.formation;
    await directory.writeNote(FORMATION_NOTE, promised);
    await directory.join({ id: clusterId, name: clusterName });
    this.#sayHello();
  }

  async #stop(): Promise<void> {
    const { log, clock, transport, drainMs } = this.options;
    this.#phase = 'draining';
    const running = this.running;
    if (running !== null) {
      const { engine, polls } = running;
      log.info({}, 'stopping: handing over');
      const stopping = new Stopping({
        name: this.name,
        engine,
        transport,
        clock,
        log,
        drainMs,
        successor: () => this.bestSuccessor(),
        endPolls: () => polls.close(),
      });
      await stopping.run();
    }
    await this.halt();
    await this.#life;
    log.info({}, 'stopped');
  }

  #watchDisk(running: Running): void {
    const { clock, disk, directory, diskReserveBytes, log } = this.options;
    let low = false;
    const look = async (): Promise<void> => {
      const free = await disk.freeBytes(directory);
      if (free < diskReserveBytes !== low) {
        low = !low;
        running.engine.setDiskLow(low);
        running.booted.spill.setLow(low);
        if (low)
          log.error({ free, reserve: diskReserveBytes }, 'the disk is nearly full: new jobs are refused');
        else log.info({ free }, 'the disk has room again');
      }
      if (low && running.engine.isOpenLeader) {
        const target = this.bestSuccessor();
        if (target !== null) running.engine.transferTo(target);
      }
    };
    const again = (): void => {
      if (this.running !== running || this.#phase === 'stopped') return;
      look()
        .catch((error: unknown) =>
          log.warn({ reason: (error as Error).message }, 'free disk space is unknown'),
        )
        .finally(() => clock.setTimer(DISK_LOOK_MS, again));
    };
    again();
  }

  // Peers.

  #sayHello(): void {
    const { options, directory } = { options: this.options, directory: this.#directory };
    const hello: Hello = {
      protocol: PROTOCOL,
      featureLevel: FEATURE_LEVEL,
      name: options.name,
      diskId: directory.identity.diskId,
      clusterId: directory.identity.cluster?.id ?? null,
      clusterName: options.clusterName,
      configuration: this.#configuration(),
      grpc: options.advertised.grpc,
      http: options.advertised.http,
      peer: options.advertised.peer,
      version: options.version,
    };
    options.transport.setHello(hello);
  }

  /** Of the list of members that names this node's disk; 0 while it has none. */
  #configuration(): number {
    if (this.running === null) return 0;
    const { engine, booted } = this.running;
    const { diskId } = this.#directory.identity;
    return engine.members.some((member) => member.diskId === diskId) ? booted.core.configuration : 0;
  }

  #judge(theirs: Hello): string | null {
    return judgeHello(
      {
        name: this.name,
        clusterName: this.clusterName,
        clusterId: this.#directory.identity.cluster?.id ?? null,
        members: this.running?.engine.members ?? null,
        configuration: this.running?.booted.core.configuration ?? 0,
      },
      theirs,
    );
  }

  #connected(name: string, hello: Hello): void {
    this.options.log.info({ peer: name, address: hello.peer }, 'peer connected');
    this.running?.engine.peerConnected(name);
  }

  #lost(name: string): void {
    this.asking.lost(name);
    this.running?.engine.peerLost(name);
  }

  #frame(from: string, frame: PeerFrame): void {
    switch (frame.type) {
      case 'ask':
      case 'answer':
      case 'refuse':
      case 'told':
      case 'unask':
        this.asking.frame(from, frame);
        return;
      default:
        this.running?.engine.frame(from, frame);
    }
  }

  async #answer(from: string, topic: string, body: unknown, asked: Asked): Promise<unknown> {
    switch (topic) {
      case 'status':
        this.running?.engine.heardStatus(from, body);
        return { wall: this.options.clock.wallMs() };
      case 'blobs': {
        const { booted, engine } = this.formed();
        return { applied: booted.core.appliedIndex, missing: engine.blobs.statistics.wanted };
      }
      case 'leader-lost':
        return this.formed().engine.leaderLost(body);
      case 'form.decided':
        return this.#directory.identity.cluster?.id ?? null;
      case 'form.prepare':
      case 'form.commit':
      case 'adopt':
        if (this.#formation === null) throw new Error('this node already belongs to a cluster');
        return this.#formation.answer(topic, body);
      case 'transfer':
        return this.transferLeadership(field(body, 'to'), { signal: asked.signal });
      case 'replace':
        return this.replaceNode(field(body, 'name'), { signal: asked.signal }, asked.tell);
      default:
        throw new Error(`unknown topic ${topic}`);
    }
  }

  #membersChanged(members: readonly Member[]): void {
    const { peers, transport } = this.options;
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
    this.#sayHello();
  }

  #queuesChanged(): void {
    if (this.listeners.size === 0 || this.#changeWaits) return;
    this.#changeWaits = true;
    this.options.clock.setTimer(QUEUES_CHANGED_MS, () => {
      this.#changeWaits = false;
      for (const listener of this.listeners) listener();
    });
  }

  /** For reads and the ends of running work: allowed while draining. */
  protected formed(): Running {
    if (this.running === null || this.#phase === 'stopped') {
      throw this.#phase === 'stopped'
        ? new GearmeshError('SHUTTING_DOWN')
        : new GearmeshError('NO_LEADER', {
            message: 'this node does not belong to a cluster yet',
            retryAfterMs: 500,
          });
    }
    if (this.running.engine.installing) {
      throw new GearmeshError('NO_LEADER', {
        message: 'this node is taking over the state from another one',
        retryAfterMs: 500,
      });
    }
    return this.running;
  }

  #isOver(): boolean {
    return this.#phase === 'stopped';
  }

  /** For what begins new work. */
  protected open(): Running {
    if (this.#phase === 'draining') throw new GearmeshError('SHUTTING_DOWN');
    return this.formed();
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

/** Calls and connections learn that this node does not serve them any more. */
async function endWork(running: Running): Promise<void> {
  await running.engine.stop();
  running.engine.watching.failAll(new GearmeshError('SHUTTING_DOWN'));
  running.engine.sessions.endAll(new GearmeshError('SHUTTING_DOWN'));
  running.polls.close();
}

async function closeFiles({ wal, store, spill }: Booted): Promise<void> {
  await wal.close();
  await store.close();
  await spill.close();
}
