import type { Clock } from '../base/clock.js';

/**
 * Puts the work of one event-loop turn together: however often it is asked, `work` runs once, after the turn's I/O.
 * No timer is involved, so an idle node answers at once and a busy one batches by itself.
 */
export class Turn {
  readonly #clock: Clock;
  readonly #work: () => void;
  #asked = false;

  constructor(clock: Clock, work: () => void) {
    this.#clock = clock;
    this.#work = work;
  }

  ask(): void {
    if (this.#asked) return;
    this.#asked = true;
    this.#clock.defer(() => {
      this.#asked = false;
      this.#work();
    });
  }
}
