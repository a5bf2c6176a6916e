import { InvariantError, invariant } from '../base/invariant.js';
import type { LogEntry } from '../consensus/types.js';
import { diskError, StorageError } from './errors.js';
import { BATCH_HEADER, batchBytes, decodeBatchHeader, decodeBody, ENTRY_HEADER } from './wal-format.js';
import type { Segment } from './wal-segments.js';

/** Bytes of batches between two places, and so about what is read in vain before the first entry that is wanted. */
const SPARSE_BYTES = 64 * 1024;
/** Read from the disk at once, by how much is wanted, unless a batch is larger. */
const WINDOW_BYTES_MIN = 128 * 1024;
const WINDOW_BYTES_MAX = 1024 * 1024;

/** From here on, batch after batch, lie the entries from `first` to the one before the next place's first. */
interface Place {
  readonly first: number;
  readonly segment: Segment;
  readonly position: number;
  /** Entries of the first batch that do not belong here. */
  readonly skip: number;
}

/**
 * Where the log's entries are on disk, each in its newest form. Places ascend by entry and by position alike: an entry
 * that replaces others takes away the places from its own on and gets one for itself, and so ends the one before it.
 */
export class WalIndex {
  readonly #places: Place[] = [];
  #last = 0;

  /** Entries `from` to `to` - 1 of the list are what the batch at `position` holds. */
  add(segment: Segment, position: number, entries: readonly LogEntry[], from = 0, to = entries.length): void {
    for (let i = from; i < to; i++) {
      const { index } = entries[i]!;
      const replaces = index <= this.#last;
      while (replaces && this.#places.length > 0 && this.#places.at(-1)!.first >= index) this.#places.pop();
      const newest = this.#places.at(-1);
      const far = newest?.segment !== segment || position - newest.position >= SPARSE_BYTES;
      if (replaces || (i === from && far)) {
        this.#places.push({ first: index, segment, position, skip: i - from });
      }
      this.#last = index;
    }
  }

  clear(): void {
    this.#places.length = 0;
    this.#last = 0;
  }

  /** First of the newest entries that take no more than `bytes` on disk; the one behind the last where none does. */
  newest(bytes: number): number {
    let first = this.#last + 1;
    let left = bytes;
    for (let at = this.#places.length - 1; at >= 0; at--) {
      const { segment, position } = this.#places[at]!;
      const next = this.#places[at + 1];
      left -= (next?.segment === segment ? next.position : segment.end) - position;
      if (left < 0) break;
      first = this.#places[at]!.first;
    }
    return first;
  }

  /** Forgets what lies in segments before this one. */
  releaseBefore(segment: Segment): void {
    const count = this.#places.findIndex((place) => place.segment.number >= segment.number);
    this.#places.splice(0, count < 0 ? this.#places.length : count);
  }

  /** See `LogSource`. Throws StorageError. */
  read(from: number, to: number, bytes: number): LogEntry[] {
    const found: LogEntry[] = [];
    const window = new Window(bytes);
    const end = Math.min(to, this.#last);
    let left = bytes;
    let at = this.#places.findLastIndex(({ first }) => first <= from);
    invariant(at >= 0 && from <= end, 'only entries that are on disk are read', { from, last: this.#last });
    for (let next = from; next <= end && (found.length === 0 || left > 0); at++) {
      const place = this.#places[at]!;
      const behind = Math.min(end + 1, this.#places[at + 1]?.first ?? Infinity);
      for (const entry of entriesFrom(place, behind, window)) {
        if (entry.index < next) continue;
        left -= entry.data.length + ENTRY_HEADER;
        if (left < 0 && found.length > 0) return found;
        window.wanted = left;
        found.push(entry);
        next += 1;
      }
    }
    return found;
  }
}

/** All entries of this place that come before the one at `behind`, read as far as they are asked for. */
function* entriesFrom(place: Place, behind: number, window: Window): Generator<LogEntry> {
  const { segment, first, skip } = place;
  let next = first;
  for (let position = place.position; next < behind; ) {
    const header = decodeBatchHeader(window.view(segment, position, BATCH_HEADER), segment, position);
    if (header === null || position + BATCH_HEADER + header.bodyBytes > segment.end) {
      throw damaged(segment, position);
    }
    const entries = decodeBody(window.view(segment, position + BATCH_HEADER, header.bodyBytes), header);
    if (entries === null) throw damaged(segment, position);
    for (let i = position === place.position ? skip : 0; i < entries.length && next < behind; i++) {
      const entry = entries[i]!;
      invariant(entry.index === next, 'entries follow their place without a gap', {
        index: entry.index,
        next,
      });
      yield entry;
      next += 1;
    }
    position += batchBytes(header.bodyBytes);
  }
}

function damaged({ file }: Segment, position: number): StorageError {
  const what = 'a record that was synced cannot be read any more';
  return new StorageError('DAMAGED', `the log is damaged at ${file.path}, byte ${position}: ${what}`);
}

/** Hands out views on segments, read piece by piece. What was handed out stays as it is. */
class Window {
  #segment: Segment | null = null;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  /** About so much is going to be read. */
  wanted: number;

  constructor(wanted: number) {
    this.wanted = wanted;
  }

  /** Fewer bytes than wanted where the written part ends. */
  view(segment: Segment, position: number, length: number): Buffer {
    const { file, end } = segment;
    const most = Math.min(length, Math.max(0, end - position));
    const held = segment === this.#segment && position >= this.#at;
    if (!held || position + most > this.#at + this.#bytes.length) {
      const ahead = Math.max(length, WINDOW_BYTES_MIN, Math.min(this.wanted, WINDOW_BYTES_MAX));
      const bytes = Buffer.allocUnsafeSlow(Math.min(ahead, Math.max(0, end - position)));
      this.#bytes = bytes.subarray(0, readNow(file, position, bytes));
      this.#segment = segment;
      this.#at = position;
    }
    return this.#bytes.subarray(position - this.#at, position - this.#at + most);
  }
}

function readNow(file: Segment['file'], position: number, target: Uint8Array): number {
  try {
    return file.readNow(position, target);
  } catch (error) {
    if (error instanceof InvariantError) throw error;
    throw diskError('reading the log', error);
  }
}
