import { BLOB_COUNT_MS } from '../../core/index.js';
import type { BlobCount, BlobRef } from '../../core/types.js';
import type { BlobsParts } from './parts.js';

interface Claim {
  /** Null: not counted by this node. */
  count: BlobCount | null;
  /** Calls of this node that name it now. */
  named: number;
  /** One of them does not know its outcome. */
  doubtful: boolean;
  /** Monotonic ms since which nobody names it. */
  freeMs: number;
}

/** What this node knows of blobs that callers may name, whichever node took them. */
export class BlobClaims {
  readonly #parts: Pick<BlobsParts, 'clock' | 'core'>;
  readonly #claims = new Map<string, Claim>();

  constructor(parts: Pick<BlobsParts, 'clock' | 'core'>) {
    this.#parts = parts;
  }

  /** A majority has it. */
  counted(id: string, count: BlobCount): void {
    this.#of(id).count = count;
  }

  /** What a command says of the blob. */
  countOf(id: string): BlobCount | null {
    return this.#claims.get(id)?.count ?? null;
  }

  /** Apply would refuse what is known of it. */
  isStale({ id }: BlobRef): boolean {
    const { core } = this.#parts;
    // A job has it already: the command repeats what named it, and apply knows that.
    if (core.blob(id) !== null) return false;
    const count = this.countOf(id);
    return (
      count === null || count.configuration !== core.configuration || count.wall + BLOB_COUNT_MS < core.wall
    );
  }

  /** A call names it from now on, until `done`. */
  name(id: string): void {
    this.#of(id).named += 1;
  }

  isNamed(id: string): boolean {
    return (this.#claims.get(id)?.named ?? 0) > 0;
  }

  /**
   * A call that named it is over. `unknown`: nobody knows with what outcome; `refused`: it may be named again;
   * `settled`: no more. True where no job took it and none will: it can go everywhere.
   */
  done(id: string, how: 'unknown' | 'refused' | 'settled'): boolean {
    const claim = this.#claims.get(id);
    if (claim === undefined) return false;
    claim.named -= 1;
    claim.doubtful ||= how === 'unknown';
    claim.freeMs = this.#parts.clock.monotonicMs();
    if (claim.named > 0 || (how === 'refused' && claim.count !== null)) return false;
    this.#claims.delete(id);
    return how === 'settled' && !claim.doubtful && this.#parts.core.blob(id) === null;
  }

  /** True where the caller may give it up; then it is forgotten. */
  abandon(id: string): boolean {
    const claim = this.#claims.get(id);
    if (claim === undefined || claim.named > 0 || claim.doubtful) return false;
    return this.#claims.delete(id);
  }

  forget(id: string): void {
    this.#claims.delete(id);
  }

  /** Forgets those that nobody named in time. */
  expire(): void {
    const before = this.#parts.clock.monotonicMs() - BLOB_COUNT_MS;
    for (const [id, { named, freeMs }] of this.#claims) {
      if (named === 0 && freeMs < before) this.#claims.delete(id);
    }
  }

  #of(id: string): Claim {
    let claim = this.#claims.get(id);
    if (claim === undefined) {
      claim = { count: null, named: 0, doubtful: false, freeMs: this.#parts.clock.monotonicMs() };
      this.#claims.set(id, claim);
    }
    return claim;
  }
}
