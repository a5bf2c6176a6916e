import type { Random } from '../base/random.js';
import type { Disk, DiskFile } from './disk.js';
import { diskError, StorageError } from './errors.js';
import { BLOCK, encodeSegmentHeader, newNonce, type SegmentHeader, segmentName } from './wal-format.js';

export type Log = (level: 'info' | 'warn' | 'error', message: string) => void;

/** A segment file that is open. */
export interface Segment extends SegmentHeader {
  readonly file: DiskFile;
  /** Where the next batch goes. */
  end: number;
  /** Highest index of any entry in it, 0 when there is none. */
  maxIndex: number;
}

const SPARE = 'spare-';
/**
 * Files of released segments kept for recycling, besides the prepared one: what one snapshot releases by default, so that
 * a log that has run for a while is written once and not filled with zeroes before.
 */
const SPARES_MAX = 4;
/** Zeroes written and synced at once: small, so that the log's own syncs do not wait behind them for long. */
const FILL_BYTES = 1024 * 1024;

export function isSpareName(name: string): boolean {
  return name.startsWith(SPARE);
}

/**
 * Makes segments ahead of their use and takes them back. A prepared segment has its size, its header and its
 * final name, all durable: rolling to it touches no metadata.
 */
export class SegmentPool {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #segmentBytes: number;
  readonly #random: Random;
  readonly #log: Log;
  #nextNumber: number;
  /** Names of files of the right size whose content is void. */
  readonly #spares: string[] = [];
  #upcoming: Promise<Segment | StorageError> | null = null;
  #retiring: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(
    disk: Disk,
    directory: string,
    options: { segmentBytes: number; random: Random; log: Log },
    nextNumber: number,
    prepared: Segment | null,
  ) {
    this.#disk = disk;
    this.#directory = directory;
    this.#segmentBytes = options.segmentBytes;
    this.#random = options.random;
    this.#log = options.log;
    this.#nextNumber = nextNumber;
    if (prepared !== null) this.#upcoming = Promise.resolve(prepared);
  }

  /** Starts making the next segment unless one is there or under way. `gently`: syncs small pieces one by one. */
  prepareAhead({ gently }: { gently: boolean }): void {
    if (this.#upcoming !== null || this.#closed) return;
    this.#upcoming = this.#prepare(gently).catch((error) => diskError('preparing a log segment', error));
  }

  /** The next segment, made at once when none was ahead. */
  async take(): Promise<Segment> {
    const ahead = await this.#upcoming;
    this.#upcoming = null;
    if (ahead !== null && !(ahead instanceof StorageError)) return ahead;
    if (ahead !== null) this.#log('warn', `${ahead.message}; trying once more`);
    return this.#prepare(false);
  }

  /** Recycles or deletes these segments' files; durable when it resolves. */
  retire(segments: readonly Segment[]): Promise<void> {
    const done = this.#retiring.then(() => this.#retire(segments));
    this.#retiring = done.catch(() => {});
    return done;
  }

  /** Looks at a spare file found at the start: kept if it fits, deleted if not. */
  async adopt(name: string): Promise<void> {
    const path = `${this.#directory}/${name}`;
    const file = await this.#disk.open(path, { create: false });
    const size = await file.size();
    await file.close();
    if (size === this.#segmentBytes && this.#spares.length < SPARES_MAX) this.#spares.push(name);
    else await this.#disk.remove(path);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#retiring;
    const ahead = await this.#upcoming;
    if (ahead !== null && !(ahead instanceof StorageError)) await ahead.file.close();
  }

  async #prepare(gently: boolean): Promise<Segment> {
    const number = this.#nextNumber;
    const spare = this.#spares.shift();
    const from = `${this.#directory}/${spare ?? `${SPARE}${number}`}`;
    const path = `${this.#directory}/${segmentName(number)}`;
    try {
      const making = await this.#disk.open(from, { create: spare === undefined });
      const header = {
        number,
        capacity: this.#segmentBytes,
        nonce: newNonce(this.#random.bytes(8)),
      };
      try {
        if (spare === undefined) await this.#fill(making, gently);
        await making.write([encodeSegmentHeader(header)], 0);
        await making.sync();
      } finally {
        await making.close();
      }
      await this.#disk.rename(from, path);
      await this.#disk.syncDirectory(this.#directory);
      const file = await this.#disk.open(path, { create: false });
      this.#nextNumber = number + 1;
      return { ...header, file, end: BLOCK, maxIndex: 0 };
    } catch (error) {
      // Whatever was begun is void; on a full disk its space is what others need.
      await this.#disk.remove(from).catch(() => {});
      throw diskError('preparing a log segment', error);
    }
  }

  async #fill(file: DiskFile, gently: boolean): Promise<void> {
    const zeroes = Buffer.alloc(Math.min(FILL_BYTES, this.#segmentBytes));
    for (let at = 0; at < this.#segmentBytes; at += zeroes.length) {
      if (this.#closed) throw new StorageError('CLOSED', 'the log was closed');
      await file.write([zeroes.subarray(0, Math.min(zeroes.length, this.#segmentBytes - at))], at);
      if (gently) await file.sync();
    }
  }

  async #retire(segments: readonly Segment[]): Promise<void> {
    if (segments.length === 0) return;
    const kept: string[] = [];
    for (const { file, capacity, end, number } of segments) {
      await file.close();
      const fits = capacity === this.#segmentBytes && end <= capacity;
      if (fits && this.#spares.length + kept.length < SPARES_MAX) {
        const name = `${SPARE}${number}`;
        await this.#disk.rename(file.path, `${this.#directory}/${name}`);
        kept.push(name);
      } else {
        await this.#disk.remove(file.path);
      }
    }
    await this.#disk.syncDirectory(this.#directory);
    // Only now: a file that may still carry its old name after a crash must not become another segment.
    this.#spares.push(...kept);
  }
}
