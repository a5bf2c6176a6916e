import { GearmeshError } from '../../core/errors.js';
import type { BlobRef } from '../../core/types.js';
import { BLOB_CHUNK_BYTES, type BlobStore, chunkCount, type StoredBlob } from '../../storage/index.js';
import { isDamaged, isMismatch, mismatch, NOT_HERE } from './errors.js';
import { Bell } from './parts.js';
import type { BlobEnd, BlobSink, BlobTransfers } from './transfers.js';

export interface ReadingParts {
  readonly store: Pick<BlobStore, 'open'>;
  readonly transfers: Pick<BlobTransfers, 'get'>;
  /** Those that can be asked. */
  readonly peers: () => readonly string[];
  /** What is on this disk is not what it should be. */
  readonly damaged: (reason: string) => void;
  /** Why there is no more of it: neither here nor at those that said that they lack it. */
  readonly absent: (lacking: ReadonlySet<string>) => GearmeshError;
}

/** Chunks of a stream from another node, taken one by one: the other side sends no more than a window ahead. */
class Taking implements BlobSink {
  readonly #bell = new Bell();
  readonly #signal: AbortSignal | undefined;
  #piece: { readonly bytes: Uint8Array; readonly taken: () => void } | null = null;
  #over = false;
  /** Why the stream ended before its end; null: it did not. */
  reason: string | null = null;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
    signal?.addEventListener('abort', this.#ring, { once: true });
  }

  readonly #ring = (): void => this.#bell.ring();

  piece(bytes: Uint8Array): Promise<void> {
    return new Promise((taken) => {
      this.#piece = { bytes, taken };
      this.#bell.ring();
    });
  }

  async end(_end: BlobEnd): Promise<void> {
    this.#finish();
  }

  stopped(reason: string): void {
    this.reason = reason;
    this.#finish();
  }

  #finish(): void {
    this.#over = true;
    this.#bell.ring();
  }

  /** Null: no more come, or the reader gave up. */
  async next(): Promise<Uint8Array | null> {
    while (this.#piece === null) {
      if (this.#over || this.#signal?.aborted) return null;
      await this.#bell.heard();
    }
    const { bytes, taken } = this.#piece;
    this.#piece = null;
    taken();
    return bytes;
  }

  /** Nobody takes any more. */
  close(): void {
    this.#signal?.removeEventListener('abort', this.#ring);
    this.#piece?.taken();
    this.#piece = null;
  }
}

/** Content of a blob from byte `offset` on: from this disk as far as that goes, then from one peer after the other. */
export async function* readBlob(
  parts: ReadingParts,
  ref: BlobRef,
  offset: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  let at = Math.max(0, offset);
  if (at >= ref.size) return;
  const chunks = chunkCount(ref.size);
  const given = (number: number, bytes: Uint8Array): Uint8Array => {
    const piece = bytes.subarray(at - number * BLOB_CHUNK_BYTES);
    at += piece.length;
    return piece;
  };
  const opened = await openHere(parts, ref);
  if (opened !== null) {
    try {
      for (let number = Math.floor(at / BLOB_CHUNK_BYTES); number < chunks; number++) {
        throwIfAborted(signal);
        const bytes = await readHere(parts, opened, number);
        if (bytes === null) break;
        yield given(number, bytes);
      }
    } finally {
      await opened.close();
    }
    if (at >= ref.size) return;
  }
  const lacking = new Set<string>();
  for (const peer of parts.peers()) {
    // Asked again as long as it gives something: it ends the stream of a reader that takes nothing for long.
    for (let before = -1; before < at; ) {
      before = at;
      const taking = new Taking(signal);
      let number = Math.floor(at / BLOB_CHUNK_BYTES);
      const stop = parts.transfers.get(peer, ref, number, taking);
      if (stop === null) {
        // Its queue is full: nobody will say that this stream is over.
        taking.close();
        break;
      }
      try {
        for (let bytes = await taking.next(); bytes !== null; bytes = await taking.next()) {
          throwIfAborted(signal);
          if (number >= chunks || bytes.length === 0) break;
          yield given(number, bytes);
          number += 1;
        }
      } finally {
        stop('the reader has enough');
        taking.close();
      }
      throwIfAborted(signal);
      if (at >= ref.size) return;
      if (taking.reason === NOT_HERE) lacking.add(peer);
    }
  }
  throw parts.absent(lacking);
}

async function openHere(parts: ReadingParts, ref: BlobRef): Promise<StoredBlob | null> {
  try {
    return await parts.store.open(ref);
  } catch (error) {
    if (isMismatch(error)) throw mismatch();
    if (!isDamaged(error)) throw failed(error);
    parts.damaged((error as Error).message);
    return null;
  }
}

/** Null: the chunk is damaged. */
async function readHere(parts: ReadingParts, opened: StoredBlob, number: number): Promise<Uint8Array | null> {
  try {
    return await opened.read(number);
  } catch (error) {
    if (!isDamaged(error)) throw failed(error);
    parts.damaged((error as Error).message);
    return null;
  }
}

function failed(error: unknown): GearmeshError {
  return new GearmeshError('SHUTTING_DOWN', { message: (error as Error).message });
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new GearmeshError('CANCELLED');
}
