import type { SimCluster, SimNode } from '../cluster.js';

/** Who hears whom, as one fault has it. */
export class Groups {
  readonly #cluster: SimCluster;
  #undo: (() => void)[] = [];

  constructor(cluster: SimCluster) {
    this.#cluster = cluster;
  }

  /**
   * From now on only those of one group hear each other; who is in none hears nobody. With `broken` the connections that
   * are cut break at once, else they stand until the others lose patience.
   */
  be(groups: readonly (readonly SimNode[])[], broken: boolean): void {
    const { nodes, network, world } = this.#cluster;
    world.note(`groups ${groups.map((group) => group.map(({ name }) => name).join(' ')).join(' | ')}`);
    const before = this.#undo;
    this.#undo = [];
    for (const [i, one] of nodes.entries()) {
      for (const other of nodes.slice(i + 1)) {
        if (groups.some((group) => group.includes(one) && group.includes(other))) continue;
        this.#undo.push(network.cut(one.name, other.name), network.cut(other.name, one.name));
        if (broken) network.disconnect(one.name, other.name);
      }
    }
    for (const heal of before) heal();
  }

  /** Everybody hears everybody again, as far as this fault goes. */
  heal(): void {
    for (const heal of this.#undo) heal();
    this.#undo = [];
  }
}
