import type { SeededRandom } from '../../../src/sim/random.js';
import { Pace } from '../pace.js';
import type { Stage } from '../stage.js';
import { CLOCK } from './clock.js';
import { DISK_FAULTS } from './disk.js';
import { type Fault, shuffled } from './fault.js';
import { KILLS } from './kill.js';
import type { FaultKind } from './kinds.js';
import { NETWORK_FAULTS } from './network.js';
import { RESTART, TRANSFER } from './orderly.js';
import { PAUSE } from './pause.js';

const FAULTS: readonly Fault[] = [
  ...KILLS,
  PAUSE,
  RESTART,
  TRANSFER,
  ...NETWORK_FAULTS,
  CLOCK,
  ...DISK_FAULTS,
];
/** Between two faults of one lane, so that some of them meet a cluster that is whole. */
const REST_MS = [200, 2_500] as const;

export interface Count {
  injected: number;
  /** It was seen to have done something. */
  effective: number;
}

/**
 * Faults, one after the other in each of two lanes, drawn by the seed: every kind once in a random order, then all of
 * them again. The seed fixes which come in which order and for how long; when exactly, the machine has its share in.
 */
export class FaultSchedule {
  readonly counts = new Map<FaultKind, Count>();
  /** Kind and why it cannot be had here. */
  readonly skipped = new Map<FaultKind, string>();
  readonly #stage: Stage;
  readonly #random: SeededRandom;
  readonly #usable: Fault[] = [];
  readonly #pace = new Pace();
  readonly #cutOff: (since: number) => void;

  /** `cutOff`: until now, since then, nodes may have been taken for dead while their workers noticed nothing. */
  constructor(
    stage: Stage,
    kinds: readonly FaultKind[],
    random: SeededRandom,
    cutOff: (since: number) => void,
  ) {
    this.#stage = stage;
    this.#random = random;
    this.#cutOff = cutOff;
    for (const kind of kinds) {
      const fault = FAULTS.find((one) => one.kind === kind)!;
      const why = fault.whyNot(stage);
      if (why !== '') this.skipped.set(kind, why);
      else {
        this.#usable.push(fault);
        this.counts.set(kind, { injected: 0, effective: 0 });
      }
    }
  }

  /** Resolves after so many milliseconds, or `end`, once everything has healed. */
  async run(ms: number): Promise<void> {
    const timer = setTimeout(() => this.end(), ms);
    await Promise.all([this.#lane('nodes'), this.#lane('beside')]);
    clearTimeout(timer);
  }

  end(): void {
    this.#pace.end();
  }

  async #lane(lane: Fault['lane']): Promise<void> {
    const random = this.#random.fork();
    const faults = this.#usable.filter((fault) => fault.lane === lane);
    while (faults.length > 0 && !this.#over) {
      for (const fault of shuffled(faults, random)) {
        await this.#pace.sleep(random.between(...REST_MS));
        if (this.#over) return;
        await this.#one(fault, random.fork());
      }
    }
  }

  get #over(): boolean {
    return this.#pace.over;
  }

  async #one(fault: Fault, random: SeededRandom): Promise<void> {
    const since = this.#stage.now();
    const injected = await fault.inject(this.#stage, random);
    if (injected === null) return;
    const count = this.counts.get(fault.kind)!;
    count.injected++;
    this.#stage.say(`${fault.kind}: ${injected.what}`);
    await this.#pace.sleep(injected.lastsMs);
    const effective = await injected.heal();
    if (effective) count.effective++;
    if (fault.lane === 'nodes' || fault.kind === 'loss') this.#cutOff(since);
    this.#stage.say(`${fault.kind}: healed${effective ? '' : ' (no effect was seen)'}`);
  }
}
