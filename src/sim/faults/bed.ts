import type { SimCluster, SimNode } from '../cluster.js';
import type { Coverage } from '../coverage.js';
import type { Heard } from '../heard.js';
import type { FaultKind } from '../plan.js';
import type { SeededRandom } from '../random.js';
import { replaceUntilDone } from './replacing.js';

/** A supervisor of services starts a process that ended again after so long. */
const AGAIN_MS = 1_000;
/** An error that a disk gave is heard of within so long. */
const EXCUSE_MS = 2_000;
const LOOK_MS = 20;

/** One thing that can be done to a cluster. */
export interface Fault {
  readonly kind: FaultKind;
  /** How often it is drawn, beside the others. */
  readonly weight: number;
  /** False: not now. */
  strike(): boolean;
}

/** Something that is to be done in the very moment in which a test says yes. */
interface Awaited {
  readonly test: () => boolean;
  readonly work: () => void;
}

/**
 * What all faults share: who is down for how long, whose data is gone, and what must be undone at the end. At most one
 * disk is lost at a time, and the next one only when its node votes again: what a majority lost would be lost.
 */
export class Bed {
  readonly cluster: SimCluster;
  readonly random: SeededRandom;
  readonly coverage: Coverage;
  readonly heard: Heard;
  /** The faults are over: nothing new begins. */
  over = false;
  /** A process ended that no fault accounts for. */
  unexcused: (node: SimNode, error: Error) => void = () => {};
  /** Nodes whose disk may be damaged without their knowing: nothing else may happen to them. */
  readonly frail = new Set<SimNode>();
  #lost: SimNode | null = null;
  #undo: { readonly work: () => void; done: boolean }[] = [];
  #awaited: Awaited[] = [];
  readonly #excused = new Map<SimNode, number>();
  readonly #ownEnds = new Map<SimNode, number>();

  constructor(cluster: SimCluster, coverage: Coverage, heard: Heard) {
    this.cluster = cluster;
    this.coverage = coverage;
    this.heard = heard;
    this.random = cluster.world.random.fork();
    cluster.died = (node, error) => this.#died(node, error);
  }

  get world(): SimCluster['world'] {
    return this.cluster.world;
  }

  /** A running node, now and then the leader on purpose; null when there is none. */
  target(leaderPermille = 400): SimNode | null {
    const { leader } = this.cluster;
    const free = this.cluster.running.filter((node) => !this.frail.has(node));
    if (free.length === 0) return null;
    if (leader !== null && free.includes(leader) && this.random.chance(leaderPermille)) return leader;
    return this.random.pick(free);
  }

  /** Two different nodes, running or not. */
  pair(): [SimNode, SimNode] {
    const { nodes } = this.cluster;
    const one = this.random.below(nodes.length);
    const other = (one + 1 + this.random.below(nodes.length - 1)) % nodes.length;
    return [nodes[one]!, nodes[other]!];
  }

  /** What a fault began is undone after `ms`, or when the faults end. */
  lasting(ms: number, work: () => void): void {
    const entry = { work, done: false };
    this.#undo.push(entry);
    this.world.after(ms, () => {
      if (entry.done) return;
      entry.done = true;
      this.#undo = this.#undo.filter((one) => one !== entry);
      work();
    });
  }

  /** Everything that lasts is undone now, and whoever is down comes back. */
  end(): void {
    this.over = true;
    const undo = this.#undo;
    this.#undo = [];
    for (const entry of undo) {
      entry.done = true;
      entry.work();
    }
    for (const node of this.cluster.nodes) if (!this.frail.has(node)) node.boot();
  }

  bootAfter(node: SimNode, ms: number): void {
    this.lasting(ms, () => node.boot());
  }

  /** How long something is down: mostly a moment, now and then long enough for the log to go on without it. */
  downMs(): number {
    return this.random.chance(150) ? this.random.between(3_000, 10_000) : this.random.between(50, 1_500);
  }

  /** `test` is asked until it says yes or the time is over; then the fault counts as effective. */
  effectWithin(kind: FaultKind, ms: number, test: () => boolean): void {
    const endMs = this.world.now + ms;
    const look = (): void => {
      if (test()) this.coverage.effective(kind);
      else if (this.world.now < endMs) this.world.after(LOOK_MS, look);
    };
    look();
  }

  /** Calls `work` once `test` says yes, however long that takes. */
  when(test: () => boolean, work: () => void): void {
    if (test()) work();
    else this.world.after(LOOK_MS, () => this.when(test, work));
  }

  /** To be called after each event. */
  look(): void {
    if (this.#awaited.length === 0) return;
    for (const one of this.#awaited) {
      if (!this.#awaited.includes(one) || !one.test()) continue;
      this.#forget(one);
      one.work();
    }
  }

  /**
   * Calls `work` behind the event that makes `test` say yes, before anything that follows from it; `late` where that
   * has not come within `ms`, or when the faults end.
   */
  within(ms: number, test: () => boolean, work: () => void, late: () => void): void {
    const one: Awaited = { test, work };
    this.#awaited = [...this.#awaited, one];
    this.lasting(ms, () => {
      if (this.#forget(one)) late();
    });
  }

  #forget(one: Awaited): boolean {
    const { length } = this.#awaited;
    this.#awaited = this.#awaited.filter((other) => other !== one);
    return this.#awaited.length < length;
  }

  /** Its process is asked to end; where it fails in that, as it may on a disk that gives errors, it is gone as well. */
  stop(node: SimNode): void {
    const life = node.starts;
    node.stop().catch((error: unknown) => {
      if (node.starts === life) node.die(error as Error);
    });
  }

  /** How often its process ended by its own hand. */
  ownEnds(node: SimNode): number {
    return this.#ownEnds.get(node) ?? 0;
  }

  /** The disk of this node gives errors until then: its process may end of it. */
  excuse(node: SimNode, ms: number): void {
    this.#excused.set(node, Math.max(this.#excused.get(node) ?? 0, this.world.now + ms + EXCUSE_MS));
  }

  /** True where another disk may be lost now. */
  get mayLose(): boolean {
    return this.#lost === null && !this.over && this.cluster.allReady();
  }

  /** True where every disk is sound, and every node at work with it. */
  get whole(): boolean {
    return this.#lost === null && this.frail.size === 0 && this.cluster.allReady();
  }

  lose(node: SimNode): void {
    this.#lost = node;
  }

  kept(node: SimNode): void {
    if (this.#lost === node) this.#lost = null;
  }

  /** Brings a node with an empty disk back, as an operator does: for as long as it takes. */
  replace(node: SimNode, done: () => void): void {
    void replaceUntilDone(this, node).then(() => {
      this.coverage.reached('replacements');
      this.kept(node);
      done();
    });
  }

  #died(node: SimNode, error: Error): void {
    this.coverage.reached('ownEnds');
    this.#ownEnds.set(node, this.ownEnds(node) + 1);
    if ((this.#excused.get(node) ?? 0) < this.world.now) this.unexcused(node, error);
    else node.fatal = null;
    this.world.after(AGAIN_MS, () => {
      if (!this.frail.has(node)) node.boot();
    });
  }
}
