import { closeSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import {
  BATCH_HEADER,
  type BatchHeader,
  BLOCK,
  batchBytes,
  decodeBatchHeader,
  decodeSegmentHeader,
  segmentName,
  segmentNumber,
} from '../../src/storage/wal-format.js';

interface SegmentOnDisk {
  readonly number: number;
  readonly path: string;
  readonly batches: readonly BatchHeader[];
  /** Where the next batch would begin. */
  readonly end: number;
}

/** The log segments of a stopped node that hold batches, oldest first. */
export function walSegments(dataDirectory: string): SegmentOnDisk[] {
  const wal = join(dataDirectory, 'wal');
  const numbers = readdirSync(wal)
    .map(segmentNumber)
    .filter((number) => number !== null);
  const segments: SegmentOnDisk[] = [];
  for (const number of numbers.sort((a, b) => a - b)) {
    const path = join(wal, segmentName(number));
    const bytes = readFileSync(path);
    const header = decodeSegmentHeader(bytes.subarray(0, BLOCK), number);
    if (header === null) throw new Error(`${path} has no header`);
    const segment = { ...header };
    const batches: BatchHeader[] = [];
    let end = BLOCK;
    for (;;) {
      const batch = decodeBatchHeader(bytes.subarray(end, end + BATCH_HEADER), segment, end);
      if (batch === null) break;
      batches.push(batch);
      end += batchBytes(batch.bodyBytes);
    }
    if (batches.length > 0) segments.push({ number, path, batches, end });
  }
  return segments;
}

/** What a write that was under way when the power failed leaves: the beginning of a batch, and other bytes behind it. */
export function tearTail(dataDirectory: string): void {
  const last = walSegments(dataDirectory).at(-1)!;
  const batch = last.batches.at(-1)!;
  const whole = readFileSync(last.path).subarray(
    batch.position,
    batch.position + batchBytes(batch.bodyBytes),
  );
  const torn = Buffer.alloc(2 * BLOCK, 0xa5);
  whole.copy(torn, 0, 0, BATCH_HEADER + (batch.bodyBytes >> 1));
  writeAt(last.path, last.end, torn);
}

/** Turns one bit of a batch in the middle of the log. Returns the file. */
export function flipBit(dataDirectory: string): string {
  const segments = walSegments(dataDirectory);
  const segment = segments[segments.length >> 1]!;
  const batch = segment.batches[segment.batches.length >> 1]!;
  const at = batch.position + BATCH_HEADER + (batch.bodyBytes >> 1);
  const byte = readFileSync(segment.path)[at]!;
  writeAt(segment.path, at, Buffer.of(byte ^ 0x10));
  return segment.path;
}

/** Turns one bit of the newest snapshot's pages. Returns the file. */
export function flipSnapshotBit(dataDirectory: string): string {
  const snapshots = join(dataDirectory, 'snapshots');
  const pack = readdirSync(snapshots)
    .filter((name) => name.startsWith('pack-'))
    .sort()
    .at(-1)!;
  const path = join(snapshots, pack);
  const bytes = readFileSync(path);
  const at = bytes.length >> 1;
  writeAt(path, at, Buffer.of(bytes[at]! ^ 0x10));
  return path;
}

/** Removes a segment that is neither the first nor the last. Returns the file. */
export function removeMiddleSegment(dataDirectory: string): string {
  const segments = walSegments(dataDirectory);
  if (segments.length < 3) throw new Error(`only ${segments.length} segments`);
  const { path } = segments[1]!;
  rmSync(path);
  return path;
}

function writeAt(path: string, position: number, bytes: Buffer): void {
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, position);
  closeSync(file);
}
