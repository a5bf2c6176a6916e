import type { SimPlan } from '../plan.js';
import type { Bed, Fault } from './bed.js';
import { clockFaults } from './clock.js';
import { diskFaults } from './disk.js';
import { leaderFaults } from './leader.js';
import { membershipFaults } from './membership.js';
import { networkFaults } from './network.js';
import { oldEntriesFaults } from './old-entries.js';
import { processFaults } from './process.js';

/** Pauses between two faults, from and to, virtual milliseconds: some lives are rough, others let things come to rest. */
const PAUSES_MS = [
  [100, 800],
  [200, 1_600],
  [500, 4_000],
] as const;
const FIRST_MS = 500;
/** Draws of another kind where the first cannot strike now. */
const DRAWS = 4;
/** How often a fault strikes while there is no leader. */
const WITHOUT_LEADER_PERMILLE = 150;

/** Draws faults of the kinds that the plan has, until stopped. */
export class Faults {
  readonly #bed: Bed;
  readonly #enabled: readonly Fault[];
  readonly #total: number;
  readonly #pauseMs: readonly [number, number];

  constructor(bed: Bed, plan: SimPlan) {
    this.#bed = bed;
    const { random } = bed;
    const all = [
      ...processFaults(bed),
      ...diskFaults(bed),
      ...networkFaults(bed),
      ...clockFaults(bed),
      ...membershipFaults(bed),
      ...leaderFaults(bed),
      ...oldEntriesFaults(bed),
    ];
    // Each life has its own preferences.
    this.#enabled = all
      .filter(({ kind }) => plan.faults.includes(kind))
      .map((fault) => ({ ...fault, weight: fault.weight * random.pick([1, 1, 3]) }));
    this.#total = this.#enabled.reduce((sum, { weight }) => sum + weight, 0);
    this.#pauseMs = random.pick(PAUSES_MS);
  }

  start(): void {
    this.#again(FIRST_MS);
  }

  /** Everything heals; who is down comes back. */
  stop(): void {
    this.#bed.end();
  }

  #again(ms: number): void {
    this.#bed.world.after(ms, () => {
      if (this.#bed.over) return;
      // Where nothing can be done any more, mostly nothing more is done: what comes next is to hit something.
      const calm = this.#bed.cluster.leader !== null || this.#bed.random.chance(WITHOUT_LEADER_PERMILLE);
      for (let draw = 0; calm && draw < DRAWS && !this.#draw().strike(); draw++);
      this.#again(this.#bed.random.between(...this.#pauseMs));
    });
  }

  #draw(): Fault {
    let left = this.#bed.random.below(this.#total);
    for (const fault of this.#enabled) {
      left -= fault.weight;
      if (left < 0) return fault;
    }
    return this.#enabled[0]!;
  }
}
