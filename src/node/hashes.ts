import type { NodeStatus } from './status.js';

/** A hash is taken at every index that is a multiple of this, and whenever the log stands still. */
const EVERY_INDEXES = 16_384;
const KEPT = 8;

export interface Disagreement {
  readonly index: number;
  readonly own: string;
  readonly others: ReadonlyMap<string, string>;
}

/** Compares this node's state hash with the others' at equal indexes. */
export class Hashes {
  readonly #take: () => string;
  readonly #own = new Map<number, string>();
  readonly #theirs = new Map<string, { index: number; hash: string }>();
  #newestIndex = 0;
  #newestHash = '';
  #compared = 0;
  #disagreement: Disagreement | null = null;

  constructor(take: () => string) {
    this.#take = take;
  }

  get newest(): { readonly index: number; readonly hash: string } {
    return { index: this.#newestIndex, hash: this.#newestHash };
  }

  /** Comparisons that were made so far. */
  get compared(): number {
    return this.#compared;
  }

  get disagreement(): Disagreement | null {
    return this.#disagreement;
  }

  applied(index: number): void {
    if (index % EVERY_INDEXES === 0) this.#record(index);
  }

  /** The log stands still at `index`: a good moment. */
  quiet(index: number): void {
    if (index > this.#newestIndex) this.#record(index);
  }

  /** Returns the disagreement when this word of a peer shows one. */
  heard(name: string, status: NodeStatus): Disagreement | null {
    if (status.hash === '') return null;
    this.#theirs.set(name, { index: status.hashIndex, hash: status.hash });
    const own = this.#own.get(status.hashIndex);
    if (own === undefined) return null;
    this.#compared += 1;
    if (own === status.hash) {
      if (this.#disagreement !== null && this.#disagreement.index < status.hashIndex)
        this.#disagreement = null;
      return null;
    }
    const others = new Map<string, string>();
    for (const [peer, word] of this.#theirs) {
      if (word.index === status.hashIndex) others.set(peer, word.hash);
    }
    this.#disagreement = { index: status.hashIndex, own, others };
    return this.#disagreement;
  }

  #record(index: number): void {
    this.#newestIndex = index;
    this.#newestHash = this.#take();
    this.#own.set(index, this.#newestHash);
    for (const old of this.#own.keys()) {
      if (this.#own.size <= KEPT) break;
      this.#own.delete(old);
    }
  }
}
