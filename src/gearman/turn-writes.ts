import type { Clock } from '../base/clock.js';

/** Asks for the end of the turn once for all connections, however many have something to say in it. */
export class TurnWrites {
  readonly #clock: Clock;
  #flushes: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `flush` is called once, when the turn is over. */
  add(flush: () => void): void {
    if (this.#flushes.push(flush) === 1) this.#clock.defer(this.#turnOver);
  }

  readonly #turnOver = (): void => {
    const flushes = this.#flushes;
    this.#flushes = [];
    for (const flush of flushes) flush();
  };
}
