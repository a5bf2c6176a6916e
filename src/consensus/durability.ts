import { invariant } from '../base/invariant.js';

interface Write {
  readonly number: number;
  /** First entry that this write adds or replaces; 0 when it holds none. */
  readonly first: number;
  /** End of the log on disk once this write is there; 0 when it leaves the log alone. */
  readonly last: number;
}

/**
 * Follows which part of the log is on disk. Writes are numbered in the order in which the driver gets them and
 * complete in that order. An entry counts as durable when it was written and no write that is still under way
 * replaces it: so a truncation lowers durability at once, and the end of a write whose entries were replaced
 * meanwhile raises it by nothing.
 */
export class Durability {
  readonly #underWay: Write[] = [];
  #onDisk: number;
  #index: number;
  #begun = 0;
  #done = 0;

  /** `last`: end of the log found at the start, all of it durable. */
  constructor(last: number) {
    this.#onDisk = last;
    this.#index = last;
  }

  /** Last durable entry. */
  get index(): number {
    return this.#index;
  }

  /** Number of the newest write; 0 before the first. */
  get begun(): number {
    return this.#begun;
  }

  /** All writes up to this number are on disk. */
  get done(): number {
    return this.#done;
  }

  begin(first: number, last: number): number {
    this.#begun++;
    this.#underWay.push({ number: this.#begun, first, last });
    this.#measure();
    return this.#begun;
  }

  persisted(number: number): void {
    invariant(number <= this.#begun, 'a write that completed had begun', { number, begun: this.#begun });
    if (number <= this.#done) return;
    this.#done = number;
    let write = this.#underWay[0];
    while (write !== undefined && write.number <= number) {
      if (write.last > 0) this.#onDisk = write.last;
      this.#underWay.shift();
      write = this.#underWay[0];
    }
    this.#measure();
  }

  #measure(): void {
    let index = this.#onDisk;
    for (const write of this.#underWay) {
      if (write.first > 0 && write.first - 1 < index) index = write.first - 1;
    }
    this.#index = index;
  }
}
