import { BLOB_COUNT_MS } from '../../core/index.js';
import type { BlobCount, BlobRef } from '../../core/types.js';
import type { BlobsParts } from './parts.js';

interface Claim {
  readonly ref: BlobRef;
  count: BlobCount;
  /** A call of this node names it now. */
  named: boolean;
  /** Monotonic ms since which nobody names it. */
  freeMs: number;
}

/** Blobs that callers of this node finished and may name, each once. */
export class BlobClaims {
  readonly #parts: Pick<BlobsParts, 'clock' | 'core'>;
  readonly #claims = new Map<string, Claim>();

  constructor(parts: Pick<BlobsParts, 'clock' | 'core'>) {
    this.#parts = parts;
  }

  add(ref: BlobRef, count: BlobCount): void {
    this.#claims.set(ref.id, { ref, count, named: false, freeMs: this.#parts.clock.monotonicMs() });
  }

  has(id: string): boolean {
    return this.#claims.has(id);
  }

  /** What a command says of the blob. */
  countOf(id: string): BlobCount | null {
    return this.#claims.get(id)?.count ?? null;
  }

  recounted(id: string, count: BlobCount): void {
    const claim = this.#claims.get(id);
    if (claim !== undefined) claim.count = count;
  }

  /** Apply would refuse what is known of it. */
  isStale(id: string): boolean {
    const { core } = this.#parts;
    const count = this.countOf(id);
    return (
      count === null || count.configuration !== core.configuration || count.wall + BLOB_COUNT_MS < core.wall
    );
  }

  /** False: it is not known here, not the same, or another call names it. */
  name(ref: BlobRef): boolean {
    const claim = this.#claims.get(ref.id);
    if (claim === undefined || claim.named) return false;
    if (claim.ref.size !== ref.size || Buffer.compare(claim.ref.digest, ref.digest) !== 0) return false;
    claim.named = true;
    return true;
  }

  /** The call was refused: it may be named again. */
  free(id: string): void {
    const claim = this.#claims.get(id);
    if (claim === undefined) return;
    claim.named = false;
    claim.freeMs = this.#parts.clock.monotonicMs();
  }

  forget(id: string): void {
    this.#claims.delete(id);
  }

  /** True where the caller may give it up; then it is forgotten. */
  abandon(id: string): boolean {
    if (this.#claims.get(id)?.named !== false) return false;
    return this.#claims.delete(id);
  }

  /** Ids of those that nobody named in time; they are forgotten. */
  expire(): string[] {
    const out: string[] = [];
    const before = this.#parts.clock.monotonicMs() - BLOB_COUNT_MS;
    for (const [id, { named, freeMs }] of this.#claims) if (!named && freeMs < before) out.push(id);
    for (const id of out) this.#claims.delete(id);
    return out;
  }
}
