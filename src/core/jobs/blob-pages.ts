import { ByteReader, type ByteWriter } from '../../base/bytes.js';
import type { PagePart } from '../snapshot/page.js';
import type { PayloadStore } from '../types.js';
import { JOBS_PER_PAGE } from './fields.js';
import type { Numbers } from './rows.js';

/** Blobs up to this size lie in the page of their job. */
export const INLINE_BLOB_BYTES = 512;
/** Blobs up to this size lie with those of their neighbours (16 jobs); larger ones in a page of their own. */
const SHARED_BLOB_BYTES = 8 * 1024;
const JOBS_PER_GROUP = 16;
/** Groups of a page. */
export const BLOB_GROUPS = JOBS_PER_PAGE / JOBS_PER_GROUP;

/** What a page of jobs shows of its blobs. Columns: 0 payload, 1 result. */
export interface BlobSource {
  readonly number: number;
  readonly first: number;
  readonly rows: Int16Array;
  readonly blobVersions: Numbers;
  readonly payloads: PayloadStore;
  /** Handle of a job's blob, 0: none. */
  blob(row: number, column: number): number;
}

/** The parts of a snapshot that hold what is too large for the page of the jobs. */
export function freezeBlobs(source: BlobSource): PagePart[] {
  const parts: PagePart[] = [];
  const { rows, payloads } = source;
  for (let group = 0; group < BLOB_GROUPS; group++) {
    const version = source.blobVersions[group]!;
    if (version === 0) continue;
    const shared: { readonly name: number; readonly handle: number }[] = [];
    for (let place = group * JOBS_PER_GROUP; place < (group + 1) * JOBS_PER_GROUP; place++) {
      const row = rows[place]!;
      if (row < 0) continue;
      for (let column = 0; column < 2; column++) {
        const handle = source.blob(row, column);
        if (handle === 0) continue;
        const size = payloads.length(handle);
        if (size <= INLINE_BLOB_BYTES) continue;
        const name = place * 2 + column;
        if (size <= SHARED_BLOB_BYTES) shared.push({ name, handle });
        else parts.push(part(`blob/${source.number}/${name}`, version, payloads, [{ name, handle }]));
      }
    }
    if (shared.length > 0) parts.push(part(`blobs/${source.number}/${group}`, version, payloads, shared));
  }
  return parts;
}

function part(
  key: string,
  version: number,
  payloads: PayloadStore,
  blobs: readonly { readonly name: number; readonly handle: number }[],
): PagePart {
  return {
    key,
    version,
    encode(writer: ByteWriter): void {
      writer.u32(blobs.length);
      for (const { name, handle } of blobs) {
        writer.u32(name);
        writer.bytes(payloads.get(handle));
      }
    },
  };
}

/** Calls `take` for each blob: the job's place in page `number`, its column, a view on its bytes. */
export function readBlobs(
  bytes: Uint8Array,
  take: (place: number, column: number, blob: Uint8Array) => void,
): void {
  const reader = new ByteReader(bytes);
  for (let count = reader.u32(); count > 0; count--) {
    const name = reader.u32();
    take(name >>> 1, name & 1, reader.bytes());
  }
}
