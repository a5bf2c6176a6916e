import { type ByteReader, type ByteWriter, MalformedBytesError } from '../base/bytes.js';
import { readCount } from './codec.js';
import type { BlobRef } from './types.js';

export const BLOB_ID_BYTES = 16;
export const BLOB_DIGEST_BYTES = 32;

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
  if (size === 0) throw new MalformedBytesError('a blob of 0 bytes');
  return { id, size, digest: Buffer.from(reader.raw(BLOB_DIGEST_BYTES)) };
}
