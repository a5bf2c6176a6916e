import { DEFAULT_TIMINGS } from '../node/index.js';
import type { SimCluster, SimNode } from './cluster.js';
import type { Inside } from './inside.js';

const LOOK_MS = 250;
/** A leader that decides is to have said so by then: it looks a few times a second, and the word has to be decided. */
const SAID_MS = DEFAULT_TIMINGS.nodeDownMs + 3_000;
/** Looks between which the leader had applied more: without a majority it cannot say anything. */
const DECIDED = 12;

/** A node that is dead, and how it went on under the leader of that time. */
interface Dead {
  readonly starts: number;
  leader: SimNode | null;
  leaderStarts: number;
  sinceMs: number;
  applied: number;
  decided: number;
}

/** What must hold about the dead: whoever leads long enough declares them down, whenever they died. */
export class DeadNodes {
  readonly #cluster: SimCluster;
  readonly #inside: Inside;
  readonly #dead = new Map<SimNode, Dead>();
  #nextMs = 0;

  constructor(cluster: SimCluster, inside: Inside) {
    this.#cluster = cluster;
    this.#inside = inside;
  }

  /** To be called after each event. */
  look(): void {
    const { nodes, world, leader } = this.#cluster;
    if (world.now < this.#nextMs) return;
    this.#nextMs = world.now + LOOK_MS;
    for (const node of nodes) {
      if (node.started) this.#dead.delete(node);
      else this.#judge(node, leader);
    }
  }

  #judge(node: SimNode, leader: SimNode | null): void {
    const { now } = this.#cluster.world;
    const core = leader?.node?.parts?.core;
    let dead = this.#dead.get(node);
    if (
      dead === undefined ||
      dead.starts !== node.starts ||
      dead.leader !== leader ||
      dead.leaderStarts !== leader?.starts
    ) {
      const { starts } = node;
      dead = { starts, leader, leaderStarts: leader?.starts ?? 0, sinceMs: now, applied: 0, decided: 0 };
      this.#dead.set(node, dead);
    }
    if (core === undefined) return;
    if (core.appliedIndex > dead.applied) dead.decided += 1;
    dead.applied = core.appliedIndex;
    if (now - dead.sinceMs < SAID_MS || dead.decided < DECIDED) return;
    if (!core.nodes().some(({ name, up }) => name === node.name && up)) return;
    this.#inside.broken(
      'node-down',
      `${node.name} is dead for ${Math.round(now - dead.sinceMs)} ms under ${leader?.name}, which decides all that time and has not declared it down`,
    );
    dead.sinceMs = now;
  }
}
