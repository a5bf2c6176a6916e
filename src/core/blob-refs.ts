import type { ByteReader, ByteWriter } from '../base/bytes.js';
import { readCount } from './codec.js';
import type { BlobCount, BlobRef } from './types.js';

export const BLOB_ID_BYTES = 16;
export const BLOB_DIGEST_BYTES = 32;
/** Of a blob as a command names it. */
export const CLAIM_BYTES = BLOB_ID_BYTES + 8 + BLOB_DIGEST_BYTES + 8 + 8;

const ID = /^[0-9a-f]{32}$/;

/** True for the id of a blob: 32 lower-case hex digits. */
export function isBlobId(text: string): boolean {
  return ID.test(text);
}

/** 16 bytes of id, f64 size, 32 bytes of digest. */
export function writeBlobRef(writer: ByteWriter, ref: BlobRef): void {
  writer.raw(Buffer.from(ref.id, 'hex'));
  writer.f64(ref.size);
  writer.raw(ref.digest);
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
