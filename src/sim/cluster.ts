import { invariant } from '../base/invariant.js';
import type { Settings } from '../core/types.js';
import { DEFAULT_TIMINGS, type GearmeshNode, type Log, type NodeObserver, startNode } from '../node/index.js';
import { HASHES_DIFFER } from '../node/rounds.js';
import { LATEST } from '../node/snapshot-turns.js';
import type { PeerAddress } from '../peer/types.js';
import { type Disk, type DiskFile, MemoryDisk } from '../storage/index.js';
import { SimNetwork } from './network.js';
import type { SeededRandom } from './random.js';
import { SyncTime } from './sync-time.js';
import type { SimClock, World } from './world.js';

const SEGMENT_BYTES = 256 * 1024;
const SNAPSHOT_LOG_BYTES = 512 * 1024;
const KEEP_LOG_BYTES = 64 * 1024;
const JOBS_MEMORY_BYTES = 256 * 1024 * 1024;
/** What the least entry counts for the next snapshot, and what the least batch takes in the log. */
const ENTRY_BYTES_MIN = 64;
const BLOCK_BYTES = 4 * 1024;
const DIRECTORY = '/data';
/** What a disk takes for anything but a sync, from and to, virtual milliseconds; and a sync that counts as slow. */
const OTHER_MS = [0.01, 0.01] as const;
const SLOW_MS = 200;
/** States are compared at indexes that are multiples of this: nodes apply several entries at once, so not all show. */
const COMPARE_INDEXES = 16;

export interface SimClusterOptions {
  readonly nodes: number;
  readonly settings?: Partial<Settings>;
  /** A lie told on purpose, to see that the checks notice: a sync of the log returns before anything is durable. */
  readonly plant?: 'acknowledge-before-sync';
  readonly snapshotLogBytes?: number;
  /** On disk behind a snapshot, and in memory. */
  readonly keepLogBytes?: number;
  readonly jobsMemoryBytes?: number;
  readonly maxSyncMs?: number;
  /** Longest wait of an orderly stop for what is under way; default 1,000. */
  readonly drainMs?: number;
  /** Hears what nodes tell their metrics, by name. */
  readonly observer?: (name: string) => Partial<NodeObserver>;
  readonly blobUploadsMax?: number;
  /** Free bytes below which a disk counts as nearly full; default 0, never. */
  readonly diskReserveBytes?: number;
}

/** One simulated machine: its disk outlives the processes that run on it. */
export class SimNode {
  readonly name: string;
  disk = new MemoryDisk();
  readonly #cluster: SimCluster;
  readonly #random: SeededRandom;
  #clock: SimClock | null = null;
  #node: GearmeshNode | null = null;
  #gone: Set<() => void> = new Set();
  starts = 0;
  fatal: Error | null = null;
  readonly syncTime: SyncTime;
  /** Operations of its disk that are under way. */
  diskBusy = 0;
  /** Syncs of the log that were done, and syncs that took long. */
  logSyncs = 0;
  slowSyncs = 0;
  /** How far its wall clock was set from the right time, milliseconds. */
  #setMs = 0;
  #started = false;
  /** Settings that this process is started with, where they are not the cluster's. */
  settings: Partial<Settings> | null = null;

  constructor(cluster: SimCluster, name: string) {
    this.#cluster = cluster;
    this.name = name;
    this.#random = cluster.world.random.fork();
    this.syncTime = new SyncTime([0.1, cluster.options.maxSyncMs ?? 2]);
  }

  /** The running process, null while it is down. */
  get node(): GearmeshNode | null {
    return this.#node;
  }

  get up(): boolean {
    return this.#node !== null;
  }

  /** True from its start to its end, also while it is not yet `up`. */
  get started(): boolean {
    return this.#started;
  }

  get paused(): boolean {
    return this.#clock?.paused === true;
  }

  get wallOffMs(): number {
    return this.#setMs;
  }

  /** Rejects where the data directory cannot be used; then the process is gone. */
  async start(): Promise<void> {
    // A second one would take the network from the first, and then fail at the lock of the directory.
    invariant(!this.#started, 'a machine runs one process at a time', { node: this.name });
    const { world, network, options, peers } = this.#cluster;
    this.starts += 1;
    this.#started = true;
    const life = this.starts;
    const clock = world.clock(this.#random.between(-50, 50) + this.#setMs);
    this.#clock = clock;
    this.disk.before = async (operation) => {
      const isSync = operation.kind === 'sync';
      await this.#wait(isSync ? this.syncTime.ms : OTHER_MS, clock);
      if (isSync && operation.path.includes('/wal/')) this.logSyncs += 1;
    };
    const disk = this.disk.mount();
    const log: Log = {
      debug: () => {},
      info: (fields, message) => this.#said(fields, message),
      warn: (fields, message) => this.#said(fields, message),
      error: (fields, message) => this.#said(fields, message),
    };
    const address = { grpc: `${this.name}:7730`, http: `${this.name}:7732`, peer: `${this.name}:7731` };
    const node = await startNode({
      name: this.name,
      clusterName: 'sim',
      version: '0.0.0',
      disk: options.plant === 'acknowledge-before-sync' ? hasty(disk, world) : disk,
      directory: DIRECTORY,
      clock,
      random: this.#random,
      transport: network.transport(this.name, clock),
      peers,
      advertised: address,
      settings: this.settings ?? options.settings ?? {},
      timings: DEFAULT_TIMINGS,
      segmentBytes: SEGMENT_BYTES,
      snapshotLogBytes: options.snapshotLogBytes ?? SNAPSHOT_LOG_BYTES,
      keepLogBytes: options.keepLogBytes ?? KEEP_LOG_BYTES,
      logMemoryBytes: options.keepLogBytes ?? KEEP_LOG_BYTES,
      jobsMemoryBytes: options.jobsMemoryBytes ?? JOBS_MEMORY_BYTES,
      diskReserveBytes: options.diskReserveBytes ?? 0,
      pendingBytesMax: 16 * 1024 * 1024,
      drainMs: options.drainMs ?? 1_000,
      blobUploadsMax: options.blobUploadsMax ?? 64,
      log,
      observer: {
        ...silent,
        ...options.observer?.(this.name),
        applied: () => this.#cluster.wasApplied(this),
      },
      onFatal: (error) => {
        if (this.starts === life) this.die(error);
      },
    });
    if (this.starts !== life) return;
    this.#node = node;
    this.#cluster.booted(this);
  }

  /** Starts it where it is down; what became of a start that failed is heard by `died`. */
  boot(): void {
    if (this.#started) return;
    const life = this.starts + 1;
    this.start().catch((error: unknown) => {
      if (this.starts === life) this.die(error as Error);
    });
  }

  #said(fields: object, message: string): void {
    const line = `${this.name} ${message} ${JSON.stringify(fields)}`;
    if (message === 'state replaced by a snapshot') this.#cluster.installs += 1;
    if (message === HASHES_DIFFER) this.#cluster.diverged.push(line);
    this.#cluster.world.note(line);
    this.#cluster.heard(this, message, fields);
  }

  /** What the disk takes, and longer where the process stands still when it is done. */
  async #wait([from, to]: readonly [number, number], clock: SimClock): Promise<void> {
    const ms = from === to ? from : this.#random.between(from, to);
    this.diskBusy += 1;
    if (ms >= SLOW_MS) this.slowSyncs += 1;
    await this.#cluster.world.sleep(ms);
    this.diskBusy -= 1;
    if (clock.paused) await new Promise<void>((resolve) => clock.run(resolve));
  }

  /** The process ends by its own hand. */
  die(error: Error): void {
    if (!this.#started) return;
    this.#cluster.world.note(`${this.name} fatal ${error.message}`);
    this.fatal = error;
    this.kill();
    this.#cluster.died(this, error);
  }

  /** The process dies; with `powerLoss` the machine does, and what was not synced may be gone. Returns the bytes lost. */
  kill(powerLoss = false, tear = true): number {
    const { world, network } = this.#cluster;
    world.note(`${this.name} killed${powerLoss ? ' by power loss' : ''}`);
    this.#node = null;
    this.#started = false;
    this.starts += 1;
    this.#clock?.kill();
    network.kill(this.name);
    const lost = powerLoss ? this.disk.crash({ random: this.#random, tear }) : 0;
    this.#cluster.unsyncedLost += lost;
    if (!powerLoss) this.disk.stop();
    const gone = [...this.#gone];
    this.#gone = new Set();
    for (const tell of gone) tell();
    return lost;
  }

  /** The process stands still, as one that was sent SIGSTOP does. */
  pause(): void {
    if (this.#clock === null || !this.#started || this.paused) return;
    this.#cluster.world.note(`${this.name} stands still`);
    this.#clock.pause();
    this.#cluster.network.paused(this.name);
  }

  resume(): void {
    if (!this.paused) return;
    this.#cluster.world.note(`${this.name} goes on`);
    this.#clock!.resume();
  }

  /** Somebody sets the machine's wall clock, so many milliseconds forward (or back). */
  setClock(forwardMs: number): void {
    this.#cluster.world.note(`${this.name} clock ${forwardMs}`);
    this.#setMs += forwardMs;
    if (this.#clock !== null) this.#clock.wallOffsetMs += forwardMs;
  }

  /** The process ends in order. Returns the virtual milliseconds that it took. */
  async stop(): Promise<number> {
    const { world } = this.#cluster;
    const node = this.#node;
    const life = this.starts;
    const began = world.now;
    await node?.stop();
    if (node !== null && this.starts === life) this.kill();
    return world.now - began;
  }

  /** A new, empty disk is put into the machine; to be called while it is down. */
  wipe(): void {
    this.disk = new MemoryDisk();
  }

  /**
   * Rejects when the process dies before `work` is done: what a client sees as a lost connection. One that stands still
   * hears of it when it goes on.
   */
  attached<T>(work: (node: GearmeshNode) => Promise<T>): Promise<T> {
    const node = this.#node;
    if (node === null) return Promise.reject(new Error('connection refused'));
    return new Promise((resolve, reject) => {
      const tell = (): void => reject(new Error('connection lost'));
      this.#gone.add(tell);
      this.#clock!.run(() => {
        work(node)
          .then(resolve, reject)
          .finally(() => this.#gone.delete(tell));
      });
    });
  }
}

/** A whole cluster in virtual time, of the code that ships: core, consensus, storage, frames and node. */
export class SimCluster {
  readonly world: World;
  readonly network: SimNetwork;
  readonly options: SimClusterOptions;
  readonly nodes: SimNode[] = [];
  readonly peers: PeerAddress[] = [];
  /** Snapshots of one node that took the place of another's state. */
  installs = 0;
  /** What nodes said about states that differ; one that did is mended by itself, so nothing else may be left of it. */
  readonly diverged: string[] = [];
  readonly #hashes = new Map<number, { readonly node: string; readonly hash: string }>();
  /** Bytes written and not yet synced that power losses took. */
  unsyncedLost = 0;
  /** Nodes that stay dead for now: nobody waits for them. */
  readonly absent = new Set<SimNode>();
  /** Hears what nodes say in their logs. */
  heard: (node: SimNode, message: string, fields: object) => void = () => {};
  /** Hears of a process that is up. */
  booted: (node: SimNode) => void = () => {};
  /** Hears of a process that ended by its own hand. */
  died: (node: SimNode, error: Error) => void = () => {};
  /** Hears that a node has applied entries. */
  applied: (node: SimNode) => void = () => {};

  constructor(world: World, options: SimClusterOptions) {
    this.world = world;
    this.options = options;
    this.network = new SimNetwork(world);
    this.network.uncaught = (name, error) => this.nodes.find((node) => node.name === name)?.die(error);
    for (let i = 1; i <= options.nodes; i++) {
      this.peers.push({ name: `n${i}`, host: `n${i}`, port: 7731 });
    }
    for (const peer of this.peers) this.nodes.push(new SimNode(this, peer.name));
  }

  wasApplied(node: SimNode): void {
    this.compare(node);
    this.applied(node);
  }

  /** Every state that a node ever had is to be that of all others at the same index, also of those that died since. */
  compare(node: SimNode): void {
    const core = node.node?.parts?.core;
    if (core === undefined || core.appliedIndex % COMPARE_INDEXES !== 0) return;
    const hash = core.stateHash();
    const seen = this.#hashes.get(core.appliedIndex);
    if (seen === undefined) this.#hashes.set(core.appliedIndex, { node: node.name, hash });
    else if (seen.hash !== hash) {
      this.diverged.push(
        `at index ${core.appliedIndex} ${node.name} has state ${hash}, ${seen.node} had ${seen.hash}`,
      );
    }
  }

  /**
   * Bytes that a log has at most when all is at rest: the entries that start the next snapshot and those that are kept
   * behind it, each synced by itself and so in a block of its own, and the segments at both ends, which go as a whole.
   */
  get logBytesMax(): number {
    const { snapshotLogBytes = SNAPSHOT_LOG_BYTES, keepLogBytes = KEEP_LOG_BYTES } = this.options;
    const entries = (snapshotLogBytes * LATEST + keepLogBytes) / ENTRY_BYTES_MIN;
    return entries * BLOCK_BYTES + 3 * SEGMENT_BYTES;
  }

  get running(): SimNode[] {
    return this.nodes.filter((node) => node.up);
  }

  /** All that are to be there: without those that stay dead. */
  get expected(): readonly SimNode[] {
    return this.absent.size === 0 ? this.nodes : this.nodes.filter((node) => !this.absent.has(node));
  }

  get leader(): SimNode | null {
    // Asked after each event.
    for (const node of this.nodes) if (node.node?.engine?.isOpenLeader === true) return node;
    return null;
  }

  allReady(): boolean {
    return this.expected.every((node) => node.node?.phase === 'ready');
  }
}

const silent: NodeObserver = {
  synced: () => {},
  proposed: () => {},
  applied: () => {},
  leaderChanged: () => {},
  started: () => {},
  ended: () => {},
  snapshotTaken: () => {},
  snapshotFailed: () => {},
};

/** How long after the lie the log is synced in truth, virtual milliseconds. */
const LIE_MS = 30;

/**
 * A disk whose writes and syncs of log files return at once and happen a moment later, in their order: what a power
 * loss takes is the end of the log and nothing else, so the log that is found afterwards looks sound.
 */
function hasty(disk: Disk, world: World): Disk {
  let behind: Promise<unknown> = Promise.resolve();
  const later = (work: () => Promise<unknown>): Promise<void> => {
    // Nobody hears of a failure, as nobody waits: the machine is gone by then.
    behind = behind.then(work).catch(() => {});
    return Promise.resolve();
  };
  const after = <T>(work: () => Promise<T>): Promise<T> => behind.then(work);
  const wrap = (file: DiskFile, waiting: { at: number; bytes: Buffer }[] = []): DiskFile => ({
    path: file.path,
    write: (parts, position) => {
      const bytes = Buffer.concat(parts as Uint8Array[]);
      waiting.push({ at: position, bytes });
      return later(() => file.write([bytes], position).finally(() => waiting.shift()));
    },
    read: (position, length) => after(() => file.read(position, length)),
    readNow: (position, target) => {
      let got = file.readNow(position, target);
      // Who reads sees what was written, as from a page cache.
      for (const { at, bytes } of waiting) {
        const from = Math.max(position, at);
        const to = Math.min(position + target.length, at + bytes.length);
        if (from >= to) continue;
        target.set(bytes.subarray(from - at, to - at), from - position);
        got = Math.max(got, to - position);
      }
      return got;
    },
    sync: () => later(() => world.sleep(LIE_MS).then(() => file.sync())),
    truncate: (length) => after(() => file.truncate(length)),
    size: () => after(() => file.size()),
    close: () => later(() => file.close()),
  });
  return {
    open: (path, options) =>
      disk.open(path, options).then((file) => (path.includes('/wal/') ? wrap(file) : file)),
    exists: (path) => disk.exists(path),
    list: (path) => disk.list(path),
    makeDirectory: (path) => disk.makeDirectory(path),
    rename: (from, to) => after(() => disk.rename(from, to)),
    remove: (path) => after(() => disk.remove(path)),
    syncDirectory: (path) => after(() => disk.syncDirectory(path)),
    lock: (path) => disk.lock(path),
    freeBytes: (path) => disk.freeBytes(path),
  };
}
