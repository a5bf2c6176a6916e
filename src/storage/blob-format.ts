/**
 * A blob's file: a header of 128 bytes, then its content in chunks of `BLOB_CHUNK_BYTES` (the last one shorter), each
 * behind its checksum. A checksum is seeded with the blob's id and the chunk's number, so that a chunk of another blob
 * or place does not pass for this one. The header is written last, before the file gets its name.
 *
 *     header  16 bytes magic, 16 bytes id, f64 size, 32 bytes SHA-256, u32 bytes of a chunk, u32 CRC-32 of all before
 *     chunk   u32 CRC-32, content
 */
import { crc32 } from 'node:zlib';

export const BLOB_CHUNK_BYTES = 128 * 1024;
export const HEADER_BYTES = 128;
const CRC_BYTES = 4;
const MAGIC = Buffer.from('gearmesh blob 1\n');
const CRC_AT = 76;

export interface BlobHeader {
  readonly id: string;
  /** Bytes of content. */
  readonly size: number;
  /** SHA-256 of the content. */
  readonly digest: Uint8Array;
}

export function encodeHeader(header: BlobHeader): Buffer {
  const out = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(out);
  out.write(header.id, 16, 'hex');
  out.writeDoubleLE(header.size, 32);
  out.set(header.digest, 40);
  out.writeUInt32LE(BLOB_CHUNK_BYTES, 72);
  out.writeUInt32LE(crc32(out.subarray(0, CRC_AT)), CRC_AT);
  return out;
}

/** Null: it is not the header of a blob in this form. */
export function decodeHeader(bytes: Uint8Array): BlobHeader | null {
  const from = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (from.length < HEADER_BYTES || !from.subarray(0, 16).equals(MAGIC)) return null;
  if (crc32(from.subarray(0, CRC_AT)) !== from.readUInt32LE(CRC_AT)) return null;
  if (from.readUInt32LE(72) !== BLOB_CHUNK_BYTES) return null;
  return {
    id: from.toString('hex', 16, 32),
    size: from.readDoubleLE(32),
    digest: Buffer.from(from.subarray(40, 72)),
  };
}

/** Where chunk `number`, with its checksum before it, begins in the file. */
export function chunkAt(number: number): number {
  return HEADER_BYTES + number * (CRC_BYTES + BLOB_CHUNK_BYTES);
}

export function chunkCount(size: number): number {
  return Math.ceil(size / BLOB_CHUNK_BYTES);
}

/** Bytes of content in chunk `number` of a blob of this size. */
export function chunkLength(size: number, number: number): number {
  return Math.max(0, Math.min(BLOB_CHUNK_BYTES, size - number * BLOB_CHUNK_BYTES));
}

export function storedLength(length: number): number {
  return CRC_BYTES + length;
}

/** The checksum that stands before a chunk. */
export function chunkHead(id: string, number: number, content: Uint8Array): Buffer {
  const head = Buffer.allocUnsafe(CRC_BYTES);
  head.writeUInt32LE(checksum(id, number, content));
  return head;
}

/** Content of a chunk as read with its checksum; null: it is damaged. */
export function chunkContent(id: string, number: number, stored: Uint8Array, length: number): Buffer | null {
  if (stored.length !== storedLength(length)) return null;
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
  const content = bytes.subarray(CRC_BYTES);
  return checksum(id, number, content) === bytes.readUInt32LE(0) ? content : null;
}

function checksum(id: string, number: number, content: Uint8Array): number {
  return crc32(content, crc32(`${id}/${number}`));
}

const NAME = /^([0-9a-f]{32})-([0-9]{1,16})\.blob$/;

/** The size is in the name, so that a start need not open every file. */
export function blobName(id: string, size: number): string {
  return `${id}-${size}.blob`;
}

export function parseBlobName(name: string): { readonly id: string; readonly size: number } | null {
  const match = NAME.exec(name);
  return match === null ? null : { id: match[1]!, size: Number(match[2]) };
}
