import { BLOB_COUNT_MS, sameBlob } from '../../core/index.js';
import type { BlobCount, BlobRef } from '../../core/types.js';
import type { BlobsParts } from './parts.js';

interface Claim {
  /** What a majority was counted of; null: not by this node, and what its callers say of it may be wrong. */
  ref: BlobRef | null;
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
  counted(ref: BlobRef, count: BlobCount): void {
    const claim = this.#of(ref.id);
    claim.ref = ref;
    claim.count = count;
  }

  /** What a command says of the blob: nothing where it is named with a size or digest that it has not. */
  countOf(ref: BlobRef): BlobCount | null {
    const claim = this.#claims.get(ref.id);
    return claim?.ref != null && sameBlob(claim.ref, ref) ? claim.count : null;
  }

  /** It is known here, with another size or digest. */
  isOther(ref: BlobRef): boolean {
    const known = this.#parts.core.blob(ref.id) ?? this.#claims.get(ref.id)?.ref ?? null;
    return known !== null && !sameBlob(known, ref);
  }

  /** Apply would refuse what is known of it. */
  isStale(ref: BlobRef): boolean {
    const { core } = this.#parts;
    // A job has it already: the command repeats what named it, and apply knows that.
    if (core.blob(ref.id) !== null) return false;
    const count = this.countOf(ref);
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
  done(ref: BlobRef, how: 'unknown' | 'refused' | 'settled'): boolean {
    const { id } = ref;
    const claim = this.#claims.get(id);
    if (claim === undefined) return false;
    // What only a caller says of it may be wrong, and the blob another's.
    const certain = claim.ref !== null && sameBlob(claim.ref, ref);
    claim.named -= 1;
    claim.doubtful ||= how === 'unknown';
    claim.freeMs = this.#parts.clock.monotonicMs();
    if (claim.named > 0 || (claim.count !== null && (how === 'refused' || !certain))) return false;
    this.#claims.delete(id);
    return how === 'settled' && certain && !claim.doubtful && this.#parts.core.blob(id) === null;
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
      claim = { ref: null, count: null, named: 0, doubtful: false, freeMs: this.#parts.clock.monotonicMs() };
      this.#claims.set(id, claim);
    }
    return claim;
  }
}
