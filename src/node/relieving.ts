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
    if (this.#parts.core.isCrowded) this.soon();
  }

  /** Something comes back from the disk now, for an entry or for somebody who only reads. */
  soon(): void {
    if (this.#asked) return;
    const { core, clock, fatal } = this.#parts;
    this.#asked = true;
    clock.defer(() => {
      this.#asked = false;
      try {
        if (core.relieve()) this.soon();
      } catch (error) {
        fatal(error as Error);
      }
    });
  }
}
