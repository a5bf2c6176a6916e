import { MalformedBytesError } from '../base/bytes.js';
import { invariant } from '../base/invariant.js';
import type { BlobClaim } from './blob-refs.js';
import type { Extras } from './jobs/extras.js';
import type { State } from './state.js';
import type { BlobRef, Refusal, Settings } from './types.js';

/**
 * How long after it was counted a blob may be named, by the replicated wall clock, ms. Nodes keep what no job names for
 * a multiple of it (`src/node/blobs`), so that what apply takes is still there.
 */
export const BLOB_COUNT_MS = 300_000;

/** The blobs that jobs refer to, each of one job. Derived from the records: rebuilt on restore. */
export class BlobTable {
  readonly #refs = new Map<string, BlobRef>();
  #bytes = 0;

  get size(): number {
    return this.#refs.size;
  }

  /** Of all blobs together. */
  get bytes(): number {
    return this.#bytes;
  }

  has(id: string): boolean {
    return this.#refs.has(id);
  }

  get(id: string): BlobRef | null {
    return this.#refs.get(id) ?? null;
  }

  /** In no order that replicas share: never for apply. */
  all(): Iterable<BlobRef> {
    return this.#refs.values();
  }

  add(ref: BlobRef): void {
    invariant(!this.#refs.has(ref.id), 'a blob is of one job', { id: ref.id });
    this.#refs.set(ref.id, ref);
    this.#bytes += ref.size;
  }

  remove(ref: BlobRef): void {
    if (this.#refs.delete(ref.id)) this.#bytes -= ref.size;
  }

  /** Of a record that comes out of a snapshot. */
  restore(extras: Extras): void {
    for (const ref of [extras.payloadBlob, extras.resultBlob]) {
      if (ref === null) continue;
      if (this.has(ref.id)) throw new MalformedBytesError(`two jobs refer to the blob ${ref.id}`);
      this.add(ref);
    }
  }
}

/** The limit that this blob would exceed; `more`: bytes of others that are to be taken with it. */
export function blobLimit(state: State, claim: BlobClaim, more = 0): keyof Settings | null {
  const { settings, blobs } = state;
  if (claim.size > settings.blobBytesMax) return 'blobBytesMax';
  return blobs.bytes + more + claim.size > settings.blobsTotalBytesMax ? 'blobsTotalBytesMax' : null;
}

/** Why this blob cannot be named, apart from limits. */
export function blobRefusal(state: State, claim: BlobClaim): Refusal | null {
  if (state.blobs.has(claim.id)) return 'INVALID_FIELD';
  // Rule: the majority was counted by the membership in force, and not too long ago.
  const counted = claim.configuration === state.configuration && claim.wall + BLOB_COUNT_MS >= state.wall;
  return counted ? null : 'BLOB_UNCOUNTED';
}

/** The blob is a job's from now on. Returns what its record keeps. */
export function takeBlob(state: State, claim: BlobClaim): BlobRef {
  const { id, size, digest } = claim;
  const ref: BlobRef = { id, size, digest };
  state.blobs.add(ref);
  state.effects.blobTaken(ref);
  return ref;
}

/** The job's record goes. */
export function releaseBlobs(state: State, extras: Extras): void {
  for (const ref of [extras.payloadBlob, extras.resultBlob]) {
    if (ref === null) continue;
    state.blobs.remove(ref);
    state.effects.blobReleased(ref.id);
  }
}
