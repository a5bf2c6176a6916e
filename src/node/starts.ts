import type { Clock, Timer } from '../base/clock.js';
import { Gathered } from './gathered.js';
import type { Origin } from './origin.js';

/**
 * A job that began is said to have begun once or twice so long after, milliseconds. Most are over before: their outcome
 * says it too, and does not have to wait behind the sync of an entry that says no more than that.
 */
const SAY_AFTER_MS = 4;

/** Reserved jobs that workers of this node have begun, by lease token, on their way into the log. */
export class Starts {
  readonly #clock: Clock;
  readonly #said: Gathered;
  #recent = new Set<number>();
  #older = new Set<number>();
  #timer: Timer | null = null;

  constructor(clock: Clock, origin: Origin) {
    this.#clock = clock;
    this.#said = new Gathered(origin, (builder, tokens) => builder.start(Array.from(tokens.keys())));
  }

  add(token: number): void {
    this.#recent.add(token);
    this.#timer ??= this.#clock.setTimer(SAY_AFTER_MS, this.#turnOver);
  }

  /** Those of them that were not said yet are said at once. */
  say(tokens: Iterable<number>): void {
    for (const token of tokens) {
      if (this.#recent.delete(token) || this.#older.delete(token)) this.#said.add(token, 1);
    }
  }

  /** Its outcome is there. */
  remove(token: number): void {
    if (!this.#recent.delete(token) && !this.#older.delete(token)) this.#said.remove(token);
  }

  /** Whatever was not applied yet shall not be. */
  void(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#recent.clear();
    this.#older.clear();
    this.#said.void();
  }

  readonly #turnOver = (): void => {
    this.#timer = null;
    for (const token of this.#older) this.#said.add(token, 1);
    this.#older.clear();
    [this.#older, this.#recent] = [this.#recent, this.#older];
    if (this.#older.size > 0) this.#timer = this.#clock.setTimer(SAY_AFTER_MS, this.#turnOver);
  };
}
