/**
 * A small world for a consensus core: nodes with a disk that can lose what was not synced, a network that can
 * lose and reorder, and judges that watch every output (at most one leader a term; one entry per index and term;
 * one committed entry per index; nothing committed that is not on the disk of who says so; a leader holds all
 * that was committed before its term).
 */
import { expect } from 'vitest';
import { LogOutline } from '../../../src/base/log-outline.js';
import type {
  Consensus,
  ConsensusOptions,
  HardState,
  InitialState,
  LogEntry,
  Membership,
  Output,
  RaftId,
  RaftMessage,
  SnapshotMark,
} from '../../../src/consensus/types.js';

export type Factory = (options: ConsensusOptions) => Consensus;

export interface Codec {
  toWire(message: RaftMessage): unknown;
  fromWire(wire: unknown): RaftMessage;
}

export interface ClusterOptions {
  readonly factory: Factory;
  readonly codec: Codec;
  readonly voters: readonly RaftId[];
  readonly learners?: readonly RaftId[];
  readonly seed?: number;
  readonly options?: Partial<ConsensusOptions>;
  /** Bytes of applied entries that stay in memory; all unless told. */
  readonly keepBytes?: number;
}

/** Mulberry32: a small generator that repeats by its seed. */
function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (data: Uint8Array): string => new TextDecoder().decode(data);

export function members(voters: readonly RaftId[], learners: readonly RaftId[] = []): Membership {
  return { voters, outgoing: [], learners, learnersNext: [], autoLeave: false };
}

interface Disk {
  hardState: HardState;
  mark: SnapshotMark;
  entries: LogEntry[];
  /** All that was synced and not replaced, also what lies before the mark. */
  readonly archive: Map<number, LogEntry>;
}

type Write = Pick<Output, 'hardState' | 'entries' | 'snapshot' | 'write'>;

export class Node {
  readonly id: RaftId;
  core: Consensus;
  disk: Disk;
  up = true;
  /** False: the driver never says `persisted` (by itself). */
  syncs = true;
  unsynced: Write[] = [];
  /** Commands applied since the birth of the node, also over restarts and snapshots. */
  appliedIndex: number;
  membership: Membership;
  contexts: string[] = [];
  reads: { context: string; index: number }[] = [];
  snapshots: SnapshotMark[] = [];

  constructor(id: RaftId, core: Consensus, disk: Disk) {
    this.id = id;
    this.core = core;
    this.disk = disk;
    this.appliedIndex = disk.mark.index;
    this.membership = disk.mark.membership;
  }

  get leads(): boolean {
    return this.up && this.core.status().role === 'leader';
  }
}

export class Cluster {
  readonly nodes = new Map<RaftId, Node>();
  readonly random: (below: number) => number;
  network: { from: RaftId; to: RaftId; wire: unknown }[] = [];
  readonly committed = new Map<number, LogEntry>();
  /** Pairs `from>to` that lose everything. */
  readonly cut = new Set<string>();
  /** False: a message that the test does not want to arrive. */
  filter: (message: RaftMessage) => boolean = () => true;
  readonly logged: string[] = [];
  judge: (node: Node, entry: LogEntry) => void = () => {};
  /** Entries that a core read back from its disk. */
  readBack = 0;
  readonly #options: ClusterOptions;
  readonly #leaders = new Map<number, RaftId>();
  readonly #entries = new Map<string, string>();

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.random = seeded(options.seed ?? 1);
    const membership = members(options.voters, options.learners);
    for (const id of [...options.voters, ...(options.learners ?? [])]) this.add(id, membership);
  }

  /** A node with an empty log behind the cluster's first mark; one that joins later knows of nobody. */
  add(id: RaftId, membership: Membership | null): Node {
    const first = membership !== null;
    const place = first ? 1 : 0;
    const disk: Disk = {
      hardState: { term: place, vote: 0, commit: place },
      mark: { index: place, term: place, membership: membership ?? members([]) },
      entries: [],
      archive: new Map(),
    };
    const node = new Node(id, this.#start(id, disk), disk);
    this.nodes.set(id, node);
    return node;
  }

  node(id: RaftId): Node {
    const node = this.nodes.get(id);
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }

  get all(): Node[] {
    return [...this.nodes.values()];
  }

  get running(): Node[] {
    return this.all.filter((node) => node.up);
  }

  /** The leader of the highest term. */
  get leader(): Node {
    const leaders = this.running.filter((node) => node.leads);
    leaders.sort((a, b) => b.core.status().term - a.core.status().term);
    expect(leaders.length).toBeGreaterThan(0);
    return leaders[0]!;
  }

  /** Loses what was not synced, and the process. */
  crash(id: RaftId): void {
    const node = this.node(id);
    node.up = false;
    node.unsynced = [];
  }

  restart(id: RaftId): void {
    const node = this.node(id);
    node.up = true;
    node.unsynced = [];
    node.core = this.#start(id, node.disk);
    node.appliedIndex = node.disk.mark.index;
    node.membership = node.disk.mark.membership;
    node.reads = [];
  }

  isolate(id: RaftId): void {
    for (const other of this.nodes.keys()) {
      if (other !== id) this.cut.add(`${id}>${other}`).add(`${other}>${id}`);
    }
  }

  heal(): void {
    this.cut.clear();
  }

  /** Takes all that the node has to hand out; with `syncs`, its disk is instant. */
  drain(node: Node): void {
    for (;;) {
      const output = node.core.take();
      if (output === null) {
        if (!node.syncs || node.unsynced.length === 0) return;
        this.sync(node);
        continue;
      }
      this.#handle(node, output);
    }
  }

  /** Completes the first `count` writes, by default all. */
  sync(node: Node, count = node.unsynced.length): void {
    const writes = node.unsynced.splice(0, count);
    for (const write of writes) store(node.disk, write);
    const last = writes[writes.length - 1];
    if (last !== undefined) node.core.persisted(last.write);
  }

  /** Hands one message over. */
  deliver(index: number): void {
    const [frame] = this.network.splice(index, 1);
    this.arrive(frame!);
  }

  arrive(frame: { from: RaftId; to: RaftId; wire: unknown }): void {
    const node = this.nodes.get(frame.to);
    if (node === undefined || !node.up || this.cut.has(`${frame.from}>${frame.to}`)) return;
    const message = this.#options.codec.fromWire(frame.wire);
    if (!this.filter(message)) return;
    node.core.step(message);
  }

  /** Until nobody has anything to do or say. */
  settle(): void {
    for (let round = 0; round < 10_000; round++) {
      for (const node of this.running) this.drain(node);
      if (this.network.length === 0) return;
      this.deliver(0);
    }
    throw new Error('the cluster does not come to rest');
  }

  tick(count = 1): void {
    for (let i = 0; i < count; i++) {
      for (const node of this.running) node.core.tick();
      this.settle();
    }
  }

  /** Makes this node the leader, by its own campaign. */
  elect(id: RaftId): Node {
    const node = this.node(id);
    node.core.campaign();
    this.settle();
    expect(node.core.status().role).toBe('leader');
    return node;
  }

  propose(node: Node, ...commands: string[]): void {
    expect(node.core.propose(commands.map(bytes))).toBe('accepted');
    this.settle();
  }

  /** Commands that this node has applied, in order. */
  commands(node: Node): string[] {
    const found: string[] = [];
    for (let index = 2; index <= node.appliedIndex; index++) {
      const entry = this.committed.get(index)!;
      if (entry.kind === 'command' && entry.data.length > 0) found.push(text(entry.data));
    }
    return found;
  }

  #start(id: RaftId, disk: Disk): Consensus {
    const { keepBytes = Number.POSITIVE_INFINITY } = this.#options;
    return this.#options.factory({
      electionTicks: 10,
      heartbeatTicks: 1,
      maxMessageBytes: 64 * 1024,
      maxInflight: 16,
      maxUncommittedBytes: 1024 * 1024,
      random: this.random,
      log: (level, message) => {
        if (level === 'error') throw new Error(message);
        this.logged.push(`${id} ${level} ${message}`);
      },
      ...this.#options.options,
      id,
      initial: found(disk, keepBytes),
      archive: { source: { read: (from, to, most) => this.#read(disk.archive, from, to, most) }, keepBytes },
    });
  }

  #read(archive: Disk['archive'], from: number, to: number, most: number): LogEntry[] {
    const found: LogEntry[] = [];
    let size = 0;
    for (let index = from; index <= to && (size < most || found.length === 0); index++) {
      const entry = archive.get(index);
      if (entry === undefined) throw new Error(`entry ${index} is not on disk`);
      size += entry.data.length;
      found.push(entry);
    }
    this.readBack += found.length;
    return found;
  }

  #handle(node: Node, output: Output): void {
    if (output.write > 0) {
      node.unsynced.push(output);
      for (const entry of output.entries) this.#judgeEntry(entry);
    }
    if (output.snapshot !== null) {
      node.snapshots.push(output.snapshot);
      node.appliedIndex = output.snapshot.index;
      node.membership = output.snapshot.membership;
    }
    for (const message of output.messages) {
      const wire = this.#options.codec.toWire(message);
      this.network.push({ from: message.from, to: message.to, wire });
    }
    if (output.standing?.role === 'leader') this.#judgeLeader(node, output.standing.term);
    for (const entry of output.committed) this.#apply(node, entry);
    const last = output.committed[output.committed.length - 1];
    if (last !== undefined) node.core.applied(last.index);
    node.reads.push(...output.reads);
  }

  #apply(node: Node, entry: LogEntry): void {
    expect(entry.index).toBe(node.appliedIndex + 1);
    this.#judgeEntry(entry);
    const known = this.committed.get(entry.index);
    if (known === undefined) {
      this.judge(node, entry);
      this.committed.set(entry.index, entry);
    } else if (known.term !== entry.term) {
      throw new Error(`two entries committed at ${entry.index}: of terms ${known.term} and ${entry.term}`);
    }
    if (!onDisk(node, entry)) throw new Error(`node ${node.id} applies ${entry.index}, not on its disk`);
    node.appliedIndex = entry.index;
    if (entry.kind === 'membership') {
      const { membership, context } = node.core.applyMembership(entry);
      node.membership = membership;
      node.contexts.push(text(context));
    }
  }

  #judgeEntry(entry: LogEntry): void {
    const key = `${entry.index}/${entry.term}`;
    const is = `${entry.kind} ${text(entry.data)}`;
    const known = this.#entries.get(key);
    if (known === undefined) this.#entries.set(key, is);
    else if (known !== is) throw new Error(`two entries at ${key}: ${known} and ${is}`);
  }

  #judgeLeader(node: Node, term: number): void {
    const other = this.#leaders.get(term);
    if (other !== undefined && other !== node.id)
      throw new Error(`two leaders in term ${term}: ${other}, ${node.id}`);
    this.#leaders.set(term, node.id);
    const log = new Map(node.disk.entries.map((entry) => [entry.index, entry.term]));
    let start = node.disk.mark.index;
    for (const write of node.unsynced) {
      if (write.snapshot !== null) {
        log.clear();
        start = write.snapshot.index;
      }
      const first = write.entries[0];
      if (first !== undefined)
        for (const index of [...log.keys()]) if (index >= first.index) log.delete(index);
      for (const entry of write.entries) log.set(entry.index, entry.term);
    }
    for (const entry of this.committed.values()) {
      if (entry.index > start && entry.term < term && log.get(entry.index) !== entry.term) {
        throw new Error(`leader ${node.id} of term ${term} lacks the committed entry ${entry.index}`);
      }
    }
  }
}

/** True when the synced disk holds the entry, or a snapshot behind it. */
export function onDisk(node: Node, entry: LogEntry): boolean {
  const { mark, entries } = node.disk;
  if (entry.index <= mark.index) return true;
  return entries[entry.index - mark.index - 1]?.term === entry.term;
}

/** As a start finds it: of what is committed, only the newest is in memory. */
function found({ hardState, mark, entries }: Disk, keepBytes: number): InitialState {
  let from = entries.length;
  let bytes = 0;
  while (from > 0) {
    const { index, data } = entries[from - 1]!;
    bytes += data.length;
    if (bytes > keepBytes && index <= hardState.commit) break;
    from--;
  }
  const older = new LogOutline(mark.index + 1);
  for (const { index, term, kind } of entries.slice(0, from)) older.add(index, term, kind === 'membership');
  return { hardState, mark, entries: entries.slice(from), older };
}

function store(disk: Disk, write: Write): void {
  if (write.snapshot !== null) {
    disk.mark = write.snapshot;
    disk.entries = [];
    disk.archive.clear();
  }
  if (write.hardState !== null) disk.hardState = write.hardState;
  const first = write.entries[0];
  if (first === undefined) return;
  const at = first.index - disk.mark.index - 1;
  if (at < 0 || at > disk.entries.length) throw new Error(`a gap on disk before ${first.index}`);
  disk.entries.length = at;
  for (const index of disk.archive.keys()) if (index >= first.index) disk.archive.delete(index);
  for (const entry of write.entries) {
    disk.entries.push(entry);
    disk.archive.set(entry.index, entry);
  }
}
