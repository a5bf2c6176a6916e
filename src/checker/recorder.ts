import type { History, HistoryEvent, Promises } from './history.js';

/** Collects what is seen during a run, in the order in which it is noted: a call when it has ended. */
export class Recorder {
  readonly #promises: Promises;
  readonly #events: HistoryEvent[] = [];

  constructor(promises: Promises) {
    this.#promises = promises;
  }

  note(event: HistoryEvent): void {
    this.#events.push(event);
  }

  get events(): readonly HistoryEvent[] {
    return this.#events;
  }

  /** What was noted so far, to be judged; what is noted later does not change it. */
  history(): History {
    return { events: [...this.#events], promises: this.#promises };
  }
}
