import type { Clock } from '../base/clock.js';

/** For how long this node has had no leader that it can reach. To be looked at whenever that may have changed. */
export class LeaderContact {
  readonly #clock: Clock;
  readonly #inReach: () => boolean;
  #lostSince: number | null = null;

  constructor(clock: Clock, inReach: () => boolean) {
    this.#clock = clock;
    this.#inReach = inReach;
  }

  look(): void {
    if (this.#inReach()) this.#lostSince = null;
    else this.#lostSince ??= this.#clock.monotonicMs();
  }

  /** Milliseconds; 0 while there is one. */
  get lostMs(): number {
    this.look();
    return this.#lostSince === null ? 0 : this.#clock.monotonicMs() - this.#lostSince;
  }
}
