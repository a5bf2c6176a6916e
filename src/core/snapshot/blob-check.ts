import { crc32 } from 'node:zlib';
import { ByteWriter, MalformedBytesError } from '../../base/bytes.js';
import { writeBlobContent } from '../blob-refs.js';
import { OUTCOME } from '../codec.js';
import {
  JOBS_PER_PAGE,
  M_DATA_COUNT,
  M_FIELDS,
  M_OUTCOME,
  SUCCEEDED,
  U_DIGEST,
  U_FIELDS,
} from '../jobs/fields.js';
import { functionOf, priorityOf, stateOf } from '../jobs/lifecycle.js';
import type { JobPage } from '../jobs/page.js';
import type { State } from '../state.js';

/** The blob of a submission or result that says nothing is not kept: an empty meta and nothing behind it. */
const EMPTY = Buffer.alloc(4);
const scratch = new ByteWriter(256);

/**
 * The state hash covers the digests that came with submissions and results, not the blobs themselves, which would have
 * to be read again for it. So that a replica with other blobs is found as well, a restore compares them with those
 * digests, as `batch-builder.ts` makes them.
 */
export class BlobCheck {
  readonly #state: State;
  readonly #names = new Map<number, number>();

  constructor(state: State) {
    this.#state = state;
  }

  /** All jobs of a page in memory. Throws MalformedBytesError. */
  page(page: JobPage): void {
    const names = this.#names;
    for (let place = 0; place < JOBS_PER_PAGE; place++) {
      const row = page.rows[place]!;
      if (row < 0) continue;
      const fn = functionOf(this.#state, page, row);
      let name = names.get(fn.id);
      if (name === undefined) {
        name = crc32(`${fn.namespace}\u0000${fn.name}`);
        names.set(fn.id, name);
      }
      if (submissionDigest(name, page, row) !== page.u[row * U_FIELDS + U_DIGEST]!) {
        throw new MalformedBytesError(`job ${page.first + place} carries other bytes than were submitted`);
      }
      if (
        stateOf(page, row) === SUCCEEDED &&
        resultDigest(page, row) !== page.more[row * M_FIELDS + M_OUTCOME]!
      ) {
        throw new MalformedBytesError(`job ${page.first + place} has another result than its worker gave`);
      }
    }
  }
}

function submissionDigest(name: number, page: JobPage, row: number): number {
  const extras = page.extrasOf(row);
  scratch.reset();
  if (extras !== null && extras.uniqueKey !== '') scratch.string(extras.uniqueKey);
  if (extras !== null && extras.payloadBlob !== null) writeBlobContent(scratch, extras.payloadBlob);
  return (blobDigest(name, page, row, 0) ^ priorityOf(page, row)) >>> 0;
}

function resultDigest(page: JobPage, row: number): number {
  const resultBlob = page.extrasOf(row)?.resultBlob ?? null;
  scratch.reset();
  if (resultBlob !== null) writeBlobContent(scratch, resultBlob);
  scratch.u32(page.more[row * M_FIELDS + M_DATA_COUNT]!);
  const kind = resultBlob === null ? OUTCOME.complete : OUTCOME.completeBlob;
  return (blobDigest(0, page, row, 1) ^ kind) >>> 0;
}

/** Of what is in `scratch`, then the blob with its length. */
function blobDigest(before: number, page: JobPage, row: number, column: number): number {
  const handle = page.blob(row, column);
  const blob = handle === 0 ? EMPTY : page.payloads.get(handle);
  scratch.u32(blob.length);
  return crc32(blob, crc32(scratch.view(), before));
}
