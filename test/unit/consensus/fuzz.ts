/**
 * Random lives of a small cluster, by seed: messages dropped, repeated and reordered, partitions, crashes that
 * lose what was not synced, slow disks, snapshots, membership changes, transfers, forced campaigns, reads. The
 * cluster's judges watch every output; at the end all heals and everybody must agree.
 */
import type { LogEntry, RaftId } from '../../../src/consensus/types.js';
import { bytes, Cluster, type Codec, type Factory, type Node, onDisk, text } from './cluster.js';

export interface FuzzOptions {
  readonly factory: Factory;
  readonly codec: Codec;
  readonly seed: number;
  readonly voters: readonly RaftId[];
  readonly steps: number;
  /** Adds, promotes, removes and replaces nodes as well. */
  readonly membership: boolean;
}

export interface FuzzReport {
  committed: number;
  crashes: number;
  leaders: number;
  snapshots: number;
  memberships: number;
  reads: number;
  /** Entries that were read back from disk. */
  readBack: number;
}

const nodesMax = 7;

export function fuzz(options: FuzzOptions): FuzzReport {
  const life = new Life(options);
  for (let i = 0; i < options.steps; i++) life.step();
  life.rest();
  return life.report;
}

class Life {
  readonly report: FuzzReport = {
    committed: 0,
    crashes: 0,
    leaders: 0,
    snapshots: 0,
    memberships: 0,
    reads: 0,
    readBack: 0,
  };
  readonly #options: FuzzOptions;
  readonly #cluster: Cluster;
  readonly #random: (below: number) => number;
  #proposed = 0;
  #asked = 0;
  /** Highest index committed anywhere when a read was asked, by context. */
  readonly #floor = new Map<string, number>();
  readonly #terms = new Set<number>();
  #highest = 1;

  constructor(options: FuzzOptions) {
    this.#options = options;
    const { factory, codec, seed, voters } = options;
    const limits = { maxMessageBytes: 200, maxInflight: 3, maxUncommittedBytes: 2_000 };
    const keepBytes = [Number.POSITIVE_INFINITY, 0, 500][seed % 3]!;
    this.#cluster = new Cluster({ factory, codec, seed, voters, options: limits, keepBytes });
    this.#random = this.#cluster.random;
    this.#cluster.judge = (_, entry) => this.#judgeCommit(entry);
    for (const node of this.#cluster.all) node.syncs = false;
  }

  step(): void {
    const cluster = this.#cluster;
    const dice = this.#random(10_000);
    if (dice < 5_700) this.#network();
    else if (dice < 7_500) this.#disk(this.#pick(cluster.running));
    else if (dice < 8_500) this.#pick(cluster.running)?.core.tick();
    else if (dice < 9_400) this.#propose();
    else if (dice < 9_600) this.#read(this.#pick(cluster.running));
    else if (dice < 9_620) this.#crash();
    else if (dice < 9_680) this.#restart();
    else if (dice < 9_700) this.#partition();
    else if (dice < 9_760) cluster.heal();
    else if (dice < 9_820) this.#compact(this.#pick(cluster.running));
    else if (dice < 9_835) this.#pick(cluster.running)?.core.campaign();
    else if (dice < 9_845) this.#transfer();
    else this.#member();
    for (const node of cluster.running) this.#observe(node);
  }

  /** All comes back; the cluster must find one history and go on. */
  rest(): void {
    const cluster = this.#cluster;
    cluster.heal();
    cluster.network = [];
    for (const node of cluster.all) {
      if (!node.up) cluster.restart(node.id);
      node.syncs = true;
    }
    const goal = 'the last word';
    for (let round = 0; round < 400; round++) {
      cluster.tick();
      for (const node of cluster.running) this.#observe(node);
      const leader = cluster.running.find((node) => node.leads);
      if (leader === undefined) continue;
      for (const peer of leader.core.status().progress) {
        if (peer.state === 'snapshot') leader.core.reportSnapshot(peer.id, false);
      }
      if (leader.core.status().snapshotWanted) this.#compact(leader);
      if (round % 20 === 0) leader.core.propose([bytes(goal)]);
      if (this.#agreed(leader)) break;
    }
    const { leader } = cluster;
    if (!this.#agreed(leader)) throw new Error('the cluster does not agree in the end');
    const end = [...cluster.committed.values()].some((entry) => text(entry.data) === goal);
    if (!end) throw new Error('the cluster accepts nothing in the end');
    this.report.committed = cluster.committed.size;
    this.report.leaders = this.#terms.size;
    this.report.readBack = cluster.readBack;
  }

  #agreed(leader: Node): boolean {
    const { commit, lastIndex, membership } = leader.core.status();
    if (commit !== lastIndex || membership.outgoing.length > 0) return false;
    const part = [...membership.voters, ...membership.learners];
    return (
      part.every((id) => this.#cluster.node(id).appliedIndex === commit) && commit > 1 && this.#said(commit)
    );
  }

  #said(commit: number): boolean {
    const last = this.#cluster.committed.get(commit);
    return last !== undefined && last.kind === 'command' && text(last.data) === 'the last word';
  }

  #pick<T>(from: readonly T[]): T | undefined {
    return from[this.#random(from.length)];
  }

  /** Takes one node's outputs, and moves, repeats or loses one message. */
  #network(): void {
    const cluster = this.#cluster;
    const node = this.#pick(cluster.running);
    if (node !== undefined) cluster.drain(node);
    const { network } = cluster;
    if (network.length === 0) return;
    const at = this.#random(Math.min(network.length, 12));
    const dice = this.#random(20);
    if (dice === 0) {
      network.splice(at, 1);
    } else if (dice === 1) {
      cluster.arrive(network[at]!);
    } else {
      cluster.deliver(at);
    }
    if (network.length > 400) network.splice(0, 200);
  }

  #disk(node: Node | undefined): void {
    if (node === undefined) return;
    this.#cluster.drain(node);
    if (node.unsynced.length > 0) this.#cluster.sync(node, 1 + this.#random(node.unsynced.length));
    this.#cluster.drain(node);
  }

  #propose(): void {
    const node = this.#pick(this.#cluster.running);
    if (node === undefined) return;
    const count = 1 + this.#random(4);
    node.core.propose(Array.from({ length: count }, () => bytes(`c${++this.#proposed}`)));
  }

  #read(node: Node | undefined): void {
    if (node === undefined) return;
    const context = `r${++this.#asked}`;
    const floor = Math.max(1, ...this.#cluster.committed.keys());
    if (node.core.readIndex(context)) this.#floor.set(context, floor);
  }

  #crash(): void {
    const node = this.#pick(this.#cluster.running);
    if (node === undefined || this.#cluster.running.length * 2 <= this.#cluster.all.length) return;
    this.#cluster.crash(node.id);
    this.report.crashes++;
  }

  #restart(): void {
    const node = this.#pick(this.#cluster.all.filter((one) => !one.up));
    if (node !== undefined) this.#cluster.restart(node.id);
  }

  #partition(): void {
    for (const a of this.#cluster.nodes.keys()) {
      for (const b of this.#cluster.nodes.keys()) {
        if (a !== b && this.#random(3) === 0) this.#cluster.cut.add(`${a}>${b}`);
      }
    }
  }

  #compact(node: Node | undefined): void {
    if (node === undefined || node.appliedIndex <= node.disk.mark.index) return;
    const index = node.appliedIndex;
    const entry = this.#cluster.committed.get(index);
    if (entry === undefined || !onDisk(node, entry)) return;
    if (node.unsynced.some((write) => write.snapshot !== null)) return;
    const mark = { index, term: entry.term, membership: node.membership };
    node.core.compact(mark, Math.max(1, index - this.#random(4)));
    node.disk = { ...node.disk, mark, entries: node.disk.entries.filter((one) => one.index > index) };
    this.report.snapshots++;
  }

  #transfer(): void {
    const leader = this.#cluster.running.find((node) => node.leads);
    if (leader === undefined) return;
    if (this.#random(4) === 0) leader.core.stepDown();
    else leader.core.transferTo(this.#pick(leader.membership.voters)!);
  }

  #member(): void {
    const leader = this.#cluster.running.find((node) => node.leads);
    if (leader === undefined) return;
    for (const peer of leader.core.status().progress) {
      if (peer.state === 'snapshot') leader.core.reportSnapshot(peer.id, this.#random(2) === 0);
    }
    if (!this.#options.membership) return;
    const { voters, learners, outgoing } = leader.core.status().membership;
    if (outgoing.length > 0) return;
    const context = bytes('m');
    const learner = learners[0];
    const dice = this.#random(3);
    if (learner !== undefined && dice < 2) {
      leader.core.proposeMembership({ changes: [{ kind: 'promote', id: learner }], context });
    } else if (this.#cluster.nodes.size < nodesMax && learners.length === 0) {
      const id = this.#cluster.nodes.size + 1;
      const add = { kind: 'add-learner', id } as const;
      const away = this.#pick(voters)!;
      const changes = voters.length > 3 ? [{ kind: 'remove', id: away } as const, add] : [add];
      if (leader.core.proposeMembership({ changes, context }) === 'accepted') {
        this.#cluster.add(id, null).syncs = false;
      }
    } else if (voters.length > 3) {
      leader.core.proposeMembership({ changes: [{ kind: 'remove', id: this.#pick(voters)! }], context });
    }
  }

  #observe(node: Node): void {
    const status = node.core.status();
    if (status.role === 'leader') this.#terms.add(status.term);
    if (status.snapshotWanted && this.#random(10) === 0) this.#compact(node);
    for (const read of node.reads.splice(0)) {
      const floor = this.#floor.get(read.context);
      if (floor === undefined) throw new Error(`a read came back twice or was never asked: ${read.context}`);
      if (read.index < floor) throw new Error(`a stale read: ${read.index}, while ${floor} was committed`);
      this.#floor.delete(read.context);
      this.report.reads++;
    }
  }

  /** With fixed members, an entry is committed only when a majority of disks has it. */
  #judgeCommit(entry: LogEntry): void {
    if (entry.index > this.#highest) this.#highest = entry.index;
    if (entry.kind === 'membership') this.report.memberships++;
    if (this.#options.membership) return;
    const holders = this.#cluster.all.filter((node) => onDisk(node, entry)).length;
    if (holders * 2 <= this.#options.voters.length) {
      throw new Error(`entry ${entry.index} is committed while ${holders} disks have it`);
    }
  }
}
