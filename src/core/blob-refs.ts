import type { ByteReader, ByteWriter } from '../base/bytes.js';
import { invariant } from '../base/invariant.js';
import { readCount } from './codec.js';
import type { BlobCount, BlobRef } from './types.js';

export const BLOB_ID_BYTES = 16;
export const BLOB_DIGEST_BYTES = 32;
/** Of a blob as a command names it. */
export const CLAIM_BYTES = BLOB_ID_BYTES + 8 + BLOB_DIGEST_BYTES + 8 + 8;

const ID = /^[0-9a-f]{32}$/;

/** True where it has the form of a reference: what comes from a client may not. */
export function isBlobRef({ id, size, digest }: BlobRef): boolean {
  return ID.test(id) && Number.isSafeInteger(size) && size >= 0 && digest.length === BLOB_DIGEST_BYTES;
}

export function sameBlob(a: BlobRef, b: BlobRef): boolean {
  return a.id === b.id && a.size === b.size && Buffer.compare(a.digest, b.digest) === 0;
}

/** 16 bytes of id, f64 size, 32 bytes of digest. */
export function writeBlobRef(writer: ByteWriter, ref: BlobRef): void {
  invariant(isBlobRef(ref), 'a blob is named by id, size and digest', { id: ref.id, size: ref.size });
  writer.raw(Buffer.from(ref.id, 'hex'));
  writeBlobContent(writer, ref);
}

/** What a blob holds, whatever its id: f64 size, 32 bytes of digest. */
export function writeBlobContent(writer: ByteWriter, { size, digest }: BlobRef): void {
  writer.f64(size);
  writer.raw(digest);
}

/** Throws MalformedBytesError. The digest is a copy. */
export function readBlobRef(reader: ByteReader): BlobRef {
  const id = Buffer.from(reader.raw(BLOB_ID_BYTES)).toString('hex');
  const size = readCount(reader);
  return { id, size, digest: Buffer.from(reader.raw(BLOB_DIGEST_BYTES)) };
}

/** A blob as a command names it. */
export interface BlobClaim extends BlobRef, BlobCount {}

/** `count` null: it was not counted, or by nobody who is known; apply refuses it. */
export function writeBlobClaim(writer: ByteWriter, ref: BlobRef, count: BlobCount | null): void {
  writeBlobRef(writer, ref);
  writer.f64(count?.configuration ?? 0);
  writer.f64(count?.wall ?? 0);
}

export function readBlobClaim(reader: ByteReader): BlobClaim {
  const { id, size, digest } = readBlobRef(reader);
  return { id, size, digest, configuration: readCount(reader), wall: readCount(reader) };
}
