/** From and to, virtual milliseconds. */
export type SyncMs = readonly [number, number];

/**
 * How long a disk takes for a sync. Several faults may make it slow at the same time, and end in any order: each takes
 * back what it did itself and knows nothing of the others, so that the disk is as usual once the last one is over.
 */
export class SyncTime {
  readonly #usual: SyncMs;
  #slow: readonly { readonly ms: SyncMs }[] = [];

  constructor(usual: SyncMs) {
    this.#usual = usual;
  }

  /** The slowest that a fault says counts. */
  get ms(): SyncMs {
    return this.#slow.reduce((slowest, { ms }) => (ms[1] > slowest[1] ? ms : slowest), this.#usual);
  }

  /** So long at least, until the returned function was called. */
  slow(ms: SyncMs): () => void {
    const entry = { ms };
    this.#slow = [...this.#slow, entry];
    return () => {
      this.#slow = this.#slow.filter((one) => one !== entry);
    };
  }
}
