import { invariant } from '../base/invariant.js';
import { LogOutline } from '../base/log-outline.js';
import type { HardState, LogEntry } from '../consensus/types.js';
import type { Disk, DiskFile } from './disk.js';
import type { Damage } from './types.js';
import {
  BATCH_HEADER,
  type BatchHeader,
  BLOCK,
  batchBytes,
  decodeAnyBatchHeader,
  decodeBatchHeader,
  decodeBody,
  decodeSegmentHeader,
  type Mark,
  NO_MARK,
  segmentName,
  segmentNumber,
  wasOwnBatch,
} from './wal-format.js';
import { WalIndex } from './wal-index.js';
import { isSpareName, type Segment } from './wal-segments.js';
import { WindowReader } from './window-reader.js';

export interface RecoveredLog {
  readonly hardState: HardState | null;
  readonly outline: LogOutline;
  /** See `WalRecovery`. */
  readonly entries: LogEntry[];
  /** Where all entries are. */
  readonly index: WalIndex;
  readonly mark: Mark;
  /** Index of the last entry, or of the mark when there is none. */
  readonly lastIndex: number;
  readonly damage: Damage | null;
  readonly tornBytes: number;
  /** With batches that count, oldest first; the log goes on in the last one. After damage: all that were found. */
  readonly segments: Segment[];
  /** Made but not begun. */
  readonly prepared: Segment | null;
  /** Older than anything that counts: to be retired. */
  readonly obsolete: Segment[];
  readonly spareNames: string[];
  readonly nextNumber: number;
}

interface Found {
  readonly number: number;
  readonly file: DiskFile;
  readonly reader: WindowReader;
  /** With capacity 0 where the header is not readable. */
  readonly segment: Segment;
  readonly readable: boolean;
  /** Null: no whole batch at the beginning. */
  readonly first: BatchHeader | null;
}

const ADVICE =
  'nothing behind this place is used; acknowledged entries may be lost here, so this node must not vote again: ' +
  'replace it with "gearmesh cluster replace NODE"';

class LogDamage extends Error {
  readonly damage: Damage;

  constructor(file: string, offset: number, what: string) {
    super(what);
    this.damage = {
      file,
      offset,
      message: `the log is damaged at ${file}, byte ${offset}: ${what}; ${ADVICE}`,
    };
  }
}

/**
 * Puts the log together batch by batch, without the entries' data: which of it is to be in memory is known at the end
 * alone, and data that is kept would keep all that was read with it.
 */
class Replay {
  readonly index = new WalIndex();
  hardState: HardState | null = null;
  mark: Mark = NO_MARK;
  /** Null until the first batch. */
  outline: LogOutline | null = null;

  /** False when the batch does not continue what came before. */
  add(segment: Segment, header: BatchHeader, entries: readonly LogEntry[]): boolean {
    if (header.reset) {
      this.outline = new LogOutline(header.mark.index + 1);
      this.index.clear();
    }
    this.outline ??= new LogOutline(header.previousLast + 1);
    if (!header.reset && header.previousLast !== this.outline.last) return false;
    for (const { index, term, kind } of entries) {
      if (index > this.outline.last + 1) return false;
      this.outline.add(index, term, kind === 'membership');
    }
    this.index.add(segment, header.position, entries);
    if (header.hardState !== null) this.hardState = header.hardState;
    this.mark = header.mark;
    return true;
  }

  /** Reads what is to be in memory: from the page cache, for all of it was read just now. */
  tail(keepBytes: number): LogEntry[] {
    if (this.outline === null) return [];
    const { first, last } = this.outline;
    // What is committed is never replaced (Raft paper, section 5.4), and what a snapshot covers is not needed.
    const covered = this.mark.index + 1;
    const newest = keepBytes === Infinity ? first : Math.max(covered, this.index.newest(keepBytes));
    const from = Math.max(first, Math.min(newest, Math.max(covered, (this.hardState?.commit ?? 0) + 1)));
    if (from > last) return [];
    const entries = this.index.read(from, last, Infinity);
    invariant(entries.length === last - from + 1, 'all that was found is read', { from, last });
    for (const [i, { index, term }] of entries.entries()) {
      const fits = index === from + i && term === this.outline.termAt(index);
      invariant(fits, 'an entry is read as it was found', { index, term, wanted: from + i });
    }
    return entries;
  }
}

/**
 * Reads the whole log below `directory`. Changes nothing but that the last batch is made durable once more. Of what is
 * known as committed only about `keepBytes` are in memory at the end, and at no time more.
 */
export async function recoverLog(
  disk: Disk,
  directory: string,
  keepBytes = Number.POSITIVE_INFINITY,
): Promise<RecoveredLog> {
  const names = await disk.list(directory);
  const numbers = names.map(segmentNumber).filter((number) => number !== null);
  const found: Found[] = [];
  for (const number of numbers) found.push(await lookAt(disk, `${directory}/${segmentName(number)}`, number));
  const replay = new Replay();
  let damage: Damage | null = null;
  let tornBytes = 0;
  let current: Found[] = [];
  try {
    current = await chain(directory, found);
    tornBytes = await replayChain(directory, current, replay);
    checkStart(directory, current, replay);
  } catch (error) {
    if (!(error instanceof LogDamage)) throw error;
    damage = error.damage;
  }
  const segments = (damage === null ? current.filter(({ first }) => first !== null) : found).map(
    ({ segment }) => segment,
  );
  const prepared = damage === null ? (current.find(({ first }) => first === null)?.segment ?? null) : null;
  const newest = prepared ?? segments.at(-1) ?? null;
  const outline = replay.outline ?? new LogOutline(1);
  return {
    hardState: replay.hardState,
    outline,
    entries: replay.tail(keepBytes),
    index: replay.index,
    mark: replay.mark,
    lastIndex: Math.max(outline.last, replay.mark.index),
    damage,
    tornBytes,
    segments,
    prepared,
    obsolete: found
      .map(({ segment }) => segment)
      .filter((segment) => segment !== prepared && !segments.includes(segment)),
    spareNames: names.filter(isSpareName),
    nextNumber: (newest?.number ?? 0) + 1,
  };
}

async function lookAt(disk: Disk, path: string, number: number): Promise<Found> {
  const file = await disk.open(path, { create: false });
  const reader = new WindowReader(file, await file.size());
  const header = decodeSegmentHeader(await reader.view(0, BLOCK), number);
  if (header === null) {
    const segment = { number, capacity: 0, nonce: Buffer.alloc(8), file, end: BLOCK, maxIndex: 0 };
    return { number, file, reader, segment, readable: false, first: null };
  }
  const segment = { ...header, file, end: BLOCK, maxIndex: 0 };
  const batch = await readBatch(reader, segment, BLOCK);
  reader.release();
  return { number, file, reader, segment, readable: true, first: batch?.header ?? null };
}

async function readBatch(
  reader: WindowReader,
  segment: Segment,
  position: number,
): Promise<{ header: BatchHeader; entries: LogEntry[] } | null> {
  const header = decodeBatchHeader(await reader.view(position, BATCH_HEADER), segment, position);
  if (header === null || position + BATCH_HEADER + header.bodyBytes > reader.size) return null;
  const entries = decodeBody(await reader.view(position + BATCH_HEADER, header.bodyBytes), header);
  return entries === null ? null : { header, entries };
}

/** The segments that make the log, oldest first, prepared ones at the end. */
async function chain(directory: string, found: readonly Found[]): Promise<Found[]> {
  let from = found.length - 1;
  while (from > 0 && found[from - 1]!.number === found[from]!.number - 1) from--;
  const current = found.slice(Math.max(from, 0));
  // A file made ahead whose header was lost holds nothing; what was begun has batches.
  const last = current.at(-1);
  if (last !== undefined && !last.readable && current.length > 1) {
    const bytes = await last.reader.view(BLOCK, BATCH_HEADER);
    if (decodeAnyBatchHeader(bytes, last.number, BLOCK) === null) current.pop();
  }
  const reset = current.findLastIndex(({ first }) => first?.reset === true);
  if (reset > 0) current.splice(0, reset);
  const none = current.every(({ first }) => first === null);
  const oldest = current[0];
  if (none && oldest?.readable === true && oldest.number > 1) {
    throw missing(directory, oldest.number - 1);
  }
  return current;
}

function missing(directory: string, number: number): LogDamage {
  return new LogDamage(`${directory}/${segmentName(number)}`, 0, 'this segment is missing');
}

/** A segment that was begun, since a later one was, and whose beginning is not what was synced there. */
function unreadable(directory: string, { number, readable }: Found): LogDamage {
  const path = `${directory}/${segmentName(number)}`;
  if (!readable) return new LogDamage(path, 0, "the segment's header does not fit its checksum");
  return new LogDamage(path, BLOCK, 'a record that was synced cannot be read');
}

/** Returns the bytes of the torn tail. */
async function replayChain(directory: string, current: readonly Found[], replay: Replay): Promise<number> {
  let tornBytes = 0;
  const lastBegun = current.findLastIndex(({ first }) => first !== null);
  for (let at = 0; at < current.length; at++) {
    const one = current[at]!;
    const path = `${directory}/${segmentName(one.number)}`;
    if (!one.readable) throw unreadable(directory, one);
    const end = current[at + 1]?.first?.previousEnd ?? null;
    const batch = await replaySegment(path, one, one.segment, end, replay);
    if (end === null && at < lastBegun) throw unreadable(directory, current[at + 1]!);
    if (end === null) tornBytes += await checkTail(path, one, one.segment);
    if (at === lastBegun && batch !== null) await writeAgain(one, batch);
    one.reader.release();
  }
  return tornBytes;
}

/** Reads batches up to `end`, or to the last one when that is null. Returns the last batch's header. */
async function replaySegment(
  path: string,
  one: Found,
  segment: Segment,
  end: number | null,
  replay: Replay,
): Promise<BatchHeader | null> {
  let last: BatchHeader | null = null;
  while (end === null || segment.end < end) {
    const batch = await readBatch(one.reader, segment, segment.end);
    if (batch === null && end === null) return last;
    if (batch === null) throw new LogDamage(path, segment.end, 'a record that was synced cannot be read');
    if (!replay.add(segment, batch.header, batch.entries)) {
      throw new LogDamage(path, segment.end, 'a record does not continue the one before');
    }
    for (const { index } of batch.entries) segment.maxIndex = Math.max(segment.maxIndex, index);
    last = batch.header;
    segment.end += batchBytes(batch.header.bodyBytes);
  }
  return last;
}

/** A valid batch behind the end proves that the unreadable one was synced: damage. Otherwise: the bytes torn. */
async function checkTail(path: string, one: Found, segment: Segment): Promise<number> {
  const { reader } = one;
  for (let at = segment.end + BLOCK; at < reader.size; at += BLOCK) {
    if (decodeBatchHeader(await reader.view(at, BATCH_HEADER), segment, at) !== null) {
      throw new LogDamage(path, segment.end, 'a record that was synced cannot be read');
    }
  }
  const bytes = await reader.view(segment.end, BATCH_HEADER);
  if (!wasOwnBatch(bytes, segment, segment.end)) return 0;
  const header = decodeBatchHeader(bytes, segment, segment.end);
  return header === null ? BLOCK : batchBytes(header.bodyBytes);
}

/**
 * Nobody knows whether the last batch was synced: the process may have died before, or the sync failed and the
 * kernel holds pages that never reached the disk as clean. Written and synced again, it is what it seems to be.
 */
async function writeAgain(one: Found, batch: BatchHeader): Promise<void> {
  const bytes = await one.reader.view(batch.position, batchBytes(batch.bodyBytes));
  await one.file.write([bytes], batch.position);
  await one.file.sync();
}

/** Whether the log reaches back to what its mark says is covered elsewhere. */
function checkStart(directory: string, current: readonly Found[], replay: Replay): void {
  const oldest = current[0];
  if (oldest === undefined || replay.outline === null) return;
  if (replay.outline.first > replay.mark.index + 1) throw missing(directory, oldest.number - 1);
}
