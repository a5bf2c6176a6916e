import { DEFAULT_TIMINGS } from '../../node/index.js';
import type { SimNode } from '../cluster.js';
import { NAMESPACE } from '../workload/specs.js';
import type { Bed } from './bed.js';

/** Everybody is back within so long after the last fault, virtual milliseconds, or nobody is taken away. */
const BACK_MS = 30_000;
/** So long is waited for a moment in which somebody has much to lose. */
const MOMENT_MS = 3_000;
const LOOK_MS = 20;
/** With fewer nodes nothing is decided while one is dead. */
const VOTERS_MIN = 3;
/** Whoever died so short a time ago has not been declared down yet, virtual milliseconds. */
export const UNNOTICED_MS = DEFAULT_TIMINGS.nodeDownMs - 400;

/**
 * After the faults a minority may stay dead, and all that was accepted must end all the same. One node dies while workers
 * at it have jobs, leadership changes before that is noticed, and it does not come back before all has ended.
 */
export class Absence {
  readonly #bed: Bed;
  #node: SimNode | null = null;

  constructor(bed: Bed) {
    this.#bed = bed;
  }

  /** Who is missing, to be added to what is said of the end. */
  get told(): string {
    return this.#node === null ? '' : ` without ${this.#node.name}`;
  }

  /** To be called once the faults are over. */
  async begin(): Promise<void> {
    const { cluster, world, random } = this.#bed;
    if (cluster.nodes.length < VOTERS_MIN) return;
    if (!(await world.run(world.now + BACK_MS, () => this.#bed.whole))) return;
    const until = world.now + MOMENT_MS;
    let busy = this.#busiest();
    while (busy === null && world.now < until) {
      await world.run(world.now + LOOK_MS, () => false);
      busy = this.#busiest();
    }
    const node = busy ?? random.pick(cluster.nodes.filter((one) => one !== cluster.leader));
    const leader = cluster.leader;
    world.note(`${node.name} dies and does not come back`);
    this.#node = node;
    cluster.absent.add(node);
    node.kill();
    await world.run(world.now + random.between(0, UNNOTICED_MS), () => false);
    const others = cluster.running.filter((one) => one !== leader);
    if (leader === null || leader !== cluster.leader || others.length === 0) return;
    leader.node?.engine?.transferTo(random.pick(others).name);
  }

  /** It comes back. False where nobody was away. */
  end(): boolean {
    const node = this.#node;
    if (node === null) return false;
    this.#node = null;
    this.#bed.cluster.absent.delete(node);
    node.boot();
    return true;
  }

  /** One that is no leader, with jobs at a worker whose session ends with its connection; null where there is none. */
  #busiest(): SimNode | null {
    const { cluster } = this.#bed;
    const { leader } = cluster;
    const sessions = leader?.node?.parts?.core.sessions(NAMESPACE) ?? [];
    const busy = sessions.find((one) => one.reserves && one.held > 0 && one.node !== leader?.name);
    return cluster.nodes.find((node) => node.name === busy?.node && node.up) ?? null;
  }
}
