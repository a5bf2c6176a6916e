import type { Clock, Timer } from '../base/clock.js';

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

/** Work that is done again and again, a pause after each time, until `stop`. */
export class Repeated {
  readonly #clock: Clock;
  readonly #timers: Timer[] = [];
  #stopped = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  every(ms: number, work: () => void): void {
    const at = this.#timers.length;
    const again = (): void => {
      this.#timers[at] = this.#clock.setTimer(ms, () => {
        if (this.#stopped) return;
        work();
        again();
      });
    };
    again();
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) timer.cancel();
  }
}
