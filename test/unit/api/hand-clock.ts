import type { Clock, Timer } from '../../../src/base/clock.js';
import { systemClock } from '../../../src/base/system-clock.js';

/** A clock whose time stands still until the test moves it; turns are real. */
export class HandClock implements Clock {
  #now = 0;
  #timers = new Set<{ at: number; fn: () => void }>();
  monotonicMs = () => this.#now;
  wallMs = () => 1_700_000_000_000 + this.#now;
  defer = (fn: () => void) => {
    setImmediate(fn);
  };
  conclude = systemClock.conclude;
  setTimer(delayMs: number, fn: () => void): Timer {
    const timer = { at: this.#now + delayMs, fn };
    this.#timers.add(timer);
    return { cancel: () => this.#timers.delete(timer) };
  }
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const next = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#now = next.at;
      next.fn();
    }
    this.#now = end;
  }

  /** The same in steps, with time for what each of them sets off. */
  async walk(ms: number, step: number): Promise<void> {
    for (let done = 0; done < ms; done += step) {
      this.advance(step);
      for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
    }
  }
}
