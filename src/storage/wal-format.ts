/**
 * The bytes of the write-ahead log.
 *
 * A segment is a file of fixed size, `0000000000000001.wal` and so on without a gap. Its first block says which
 * segment it is; behind it lie batches, each beginning on a block's border, so that no synced byte shares a page
 * with one yet to be written. A batch is what one `sync` wrote: a header, a table of its entries, their bytes.
 *
 *   batch header (128 bytes)   magic, checksum, nonce, segment number, own position, body length, body checksum,
 *                              hard state, mark, last index before it, end of the segment before
 *   body                       per entry 24 bytes: term, index, length, kind; then all entries' bytes
 *
 * Each batch repeats hard state and mark, so the newest valid one tells both and a new segment starts whole. A
 * segment's `nonce` is random and drawn anew whenever its file is made or recycled: what an earlier life of the
 * file left, or what a client sent as payload, can never pass for a batch of this segment. Because a batch is
 * written only after the sync of the one before, a valid batch header proves that all below its position was
 * synced, and the first batch of a segment proves it for the whole segment before, up to `previousEnd`.
 */
import { crc32 } from 'node:zlib';
import type { EntryKind, HardState, LogEntry } from '../consensus/types.js';

/** A page of the page cache and a sector of the largest common kind. */
export const BLOCK = 4096;
export const BATCH_HEADER = 128;
export const ENTRY_HEADER = 24;

const FORMAT = 1;
const SEGMENT_MAGIC = 0x47534d47;
const BATCH_MAGIC = 0x54424d47;
const NONCE_BYTES = 8;
const SEGMENT_HEADER = 40;
const FLAG_RESET = 1;
const FLAG_HARD_STATE = 2;
const KINDS: readonly EntryKind[] = ['command', 'membership'];

export interface Mark {
  readonly index: number;
  readonly term: number;
}

export const NO_MARK: Mark = { index: 0, term: 0 };

/** What a valid segment header says. */
export interface SegmentHeader {
  readonly number: number;
  readonly capacity: number;
  readonly nonce: Buffer;
}

export interface BatchHeader {
  readonly position: number;
  readonly bodyBytes: number;
  readonly bodyCrc: number;
  readonly entries: number;
  /** All before this batch is void. */
  readonly reset: boolean;
  readonly hardState: HardState | null;
  readonly mark: Mark;
  /** Index of the log's last entry before this batch. */
  readonly previousLast: number;
  /** In a segment's first batch: where the batches of the segment before end. 0: there is none that counts. */
  readonly previousEnd: number;
}

export function segmentName(number: number): string {
  return `${String(number).padStart(16, '0')}.wal`;
}

/** The number in a segment's name, null for any other name. */
export function segmentNumber(name: string): number | null {
  return /^\d{16}\.wal$/.test(name) ? Number.parseInt(name, 10) : null;
}

/** Bytes that a batch with this body takes, padding included. */
export function batchBytes(bodyBytes: number): number {
  return Math.ceil((BATCH_HEADER + bodyBytes) / BLOCK) * BLOCK;
}

/** The first block of a segment. */
export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.writeUInt32LE(SEGMENT_MAGIC, 0);
  block.writeUInt32LE(FORMAT, 8);
  block.writeDoubleLE(header.number, 16);
  block.writeDoubleLE(header.capacity, 24);
  header.nonce.copy(block, 32, 0, NONCE_BYTES);
  block.writeUInt32LE(crc32(block.subarray(8, SEGMENT_HEADER)), 4);
  return block;
}

/** Null when the block is not the first one of this segment. */
export function decodeSegmentHeader(block: Buffer, number: number): SegmentHeader | null {
  if (block.length < SEGMENT_HEADER || block.readUInt32LE(0) !== SEGMENT_MAGIC) return null;
  if (block.readUInt32LE(4) !== crc32(block.subarray(8, SEGMENT_HEADER))) return null;
  if (block.readUInt32LE(8) !== FORMAT || block.readDoubleLE(16) !== number) return null;
  return {
    number,
    capacity: block.readDoubleLE(24),
    nonce: Buffer.from(block.subarray(32, 32 + NONCE_BYTES)),
  };
}

/** Writes the table of entries `from` to `to` - 1 behind the header; returns the checksum of the body. */
export function encodeTable(out: Buffer, entries: readonly LogEntry[], from: number, to: number): number {
  let at = BATCH_HEADER;
  for (let i = from; i < to; i++) {
    const entry = entries[i]!;
    at = out.writeDoubleLE(entry.term, at);
    at = out.writeDoubleLE(entry.index, at);
    at = out.writeUInt32LE(entry.data.length, at);
    at = out.writeUInt32LE(entry.kind === 'command' ? 0 : 1, at);
  }
  let crc = crc32(out.subarray(BATCH_HEADER, at));
  for (let i = from; i < to; i++) {
    const { data } = entries[i]!;
    if (data.length > 0) crc = crc32(data, crc);
  }
  return crc;
}

export function encodeBatchHeader(out: Buffer, segment: SegmentHeader, batch: BatchHeader): void {
  out.fill(0, 0, BATCH_HEADER);
  out.writeUInt32LE(BATCH_MAGIC, 0);
  segment.nonce.copy(out, 8);
  out.writeDoubleLE(segment.number, 16);
  out.writeDoubleLE(batch.position, 24);
  out.writeUInt32LE(batch.bodyBytes, 32);
  out.writeUInt32LE(batch.bodyCrc, 36);
  out.writeUInt32LE(batch.entries, 40);
  out.writeUInt32LE((batch.reset ? FLAG_RESET : 0) | (batch.hardState === null ? 0 : FLAG_HARD_STATE), 44);
  if (batch.hardState !== null) {
    out.writeDoubleLE(batch.hardState.term, 48);
    out.writeDoubleLE(batch.hardState.vote, 56);
    out.writeDoubleLE(batch.hardState.commit, 64);
  }
  out.writeDoubleLE(batch.mark.index, 72);
  out.writeDoubleLE(batch.mark.term, 80);
  out.writeDoubleLE(batch.previousLast, 88);
  out.writeDoubleLE(batch.previousEnd, 96);
  out.writeUInt32LE(crc32(out.subarray(8, BATCH_HEADER)), 4);
}

/** True for bytes that begin as a batch of this segment does, be the rest whole or not. */
function isOwnBatch(bytes: Buffer, nonce: Buffer): boolean {
  return (
    bytes.length >= 16 && bytes.readUInt32LE(0) === BATCH_MAGIC && bytes.compare(nonce, 0, 8, 8, 16) === 0
  );
}

/**
 * True for bytes that were meant as a batch of this segment at `position`: they begin as one, or rot has taken no more
 * than one of the four things by which it is known. What an earlier life of the file left has neither nonce nor number.
 */
export function wasOwnBatch(bytes: Buffer, segment: SegmentHeader, position: number): boolean {
  if (bytes.length < BATCH_HEADER) return false;
  if (isOwnBatch(bytes, segment.nonce)) return true;
  const signs = [
    bytes.readUInt32LE(0) === BATCH_MAGIC,
    bytes.compare(segment.nonce, 0, 8, 8, 16) === 0,
    bytes.readDoubleLE(16) === segment.number,
    bytes.readDoubleLE(24) === position,
  ];
  return signs.filter((fits) => fits).length >= 3;
}

/** Null unless `bytes` begin with the header of a batch of this segment that belongs at `position`. */
export function decodeBatchHeader(
  bytes: Buffer,
  segment: SegmentHeader,
  position: number,
): BatchHeader | null {
  if (bytes.length < BATCH_HEADER || !isOwnBatch(bytes, segment.nonce)) return null;
  return decodeAnyBatchHeader(bytes, segment.number, position);
}

/** As `decodeBatchHeader`, for a segment whose nonce cannot be read. */
export function decodeAnyBatchHeader(bytes: Buffer, number: number, position: number): BatchHeader | null {
  if (bytes.length < BATCH_HEADER || bytes.readUInt32LE(0) !== BATCH_MAGIC) return null;
  if (bytes.readUInt32LE(4) !== crc32(bytes.subarray(8, BATCH_HEADER))) return null;
  if (bytes.readDoubleLE(16) !== number || bytes.readDoubleLE(24) !== position) return null;
  const flags = bytes.readUInt32LE(44);
  return {
    position,
    bodyBytes: bytes.readUInt32LE(32),
    bodyCrc: bytes.readUInt32LE(36),
    entries: bytes.readUInt32LE(40),
    reset: (flags & FLAG_RESET) !== 0,
    hardState:
      (flags & FLAG_HARD_STATE) === 0
        ? null
        : { term: bytes.readDoubleLE(48), vote: bytes.readDoubleLE(56), commit: bytes.readDoubleLE(64) },
    mark: { index: bytes.readDoubleLE(72), term: bytes.readDoubleLE(80) },
    previousLast: bytes.readDoubleLE(88),
    previousEnd: bytes.readDoubleLE(96),
  };
}

/** The entries of a body, as views on it; null when it is not the one that the header speaks of. */
export function decodeBody(body: Buffer, header: BatchHeader): LogEntry[] | null {
  if (body.length !== header.bodyBytes || crc32(body) !== header.bodyCrc) return null;
  const entries: LogEntry[] = [];
  let data = header.entries * ENTRY_HEADER;
  if (data > body.length) return null;
  for (let at = 0; entries.length < header.entries; at += ENTRY_HEADER) {
    const length = body.readUInt32LE(at + 16);
    const kind = KINDS[body.readUInt32LE(at + 20)];
    if (kind === undefined || data + length > body.length) return null;
    entries.push({
      term: body.readDoubleLE(at),
      index: body.readDoubleLE(at + 8),
      kind,
      data: body.subarray(data, data + length),
    });
    data += length;
  }
  return data === body.length ? entries : null;
}

export function newNonce(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.subarray(0, NONCE_BYTES));
}
