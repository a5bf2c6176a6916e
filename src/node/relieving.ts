import type { Clock } from '../base/clock.js';
import type { Core } from '../core/interface.js';

export interface RelievingParts {
  readonly core: Core;
  readonly clock: Clock;
  /** What jobs are put on could not be read. */
  readonly fatal: (error: Error) => void;
}

/** Keeps the memory for jobs within its limit, a little in each turn, after what the turn's entries caused has left. */
export class Relieving {
  readonly #parts: RelievingParts;
  #asked = false;

  constructor(parts: RelievingParts) {
    this.#parts = parts;
  }

  /** After a run of applies. */
  check(): void {
    const { core, clock, fatal } = this.#parts;
    if (this.#asked || !core.isCrowded) return;
    this.#asked = true;
    clock.defer(() => {
      this.#asked = false;
      try {
        if (core.relieve()) this.check();
      } catch (error) {
        fatal(error as Error);
      }
    });
  }
}
