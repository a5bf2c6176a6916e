import { InvariantError, invariant } from '../base/invariant.js';
import type { Random } from '../base/random.js';
import type { HardState, LogEntry } from '../consensus/types.js';
import { type Disk, SYNC_BYTES } from './disk.js';
import { diskError, StorageError } from './errors.js';
import type { Wal, WalRecovery } from './types.js';
import {
  BATCH_HEADER,
  BLOCK,
  batchBytes,
  ENTRY_HEADER,
  encodeBatchHeader,
  encodeTable,
  type Mark,
} from './wal-format.js';
import type { WalIndex } from './wal-index.js';
import { type RecoveredLog, recoverLog } from './wal-recovery.js';
import { type Log, type Segment, SegmentPool } from './wal-segments.js';

export interface WalOptions {
  /** Bytes of one segment file, a multiple of 4096 and at least 16 KiB; 64 MiB unless told. */
  readonly segmentBytes?: number;
  /** Bytes of the newest committed entries that are handed over at the start; all entries unless told. */
  readonly keepBytes?: number;
  /** Makes the numbers that tell this log's records from anybody's payload. */
  readonly random: Random;
  readonly log: Log;
}

const SEGMENT_BYTES = 64 * 1024 * 1024;
const PADDING = Buffer.alloc(BLOCK);

/**
 * The log, open for writing. All work on the active segment goes through `#exclusive`, one after the other; the
 * next segment is made meanwhile. Nothing that failed is tried again: what the disk holds then is known only
 * after the next start.
 */
class SegmentedWal implements Wal {
  readonly #pool: SegmentPool;
  /** Begun segments, oldest first; the last one is written to. */
  readonly #segments: Segment[];
  /** End of the segment before the active one, written into the active one's first batch. */
  #previousEnd: number;
  #hardState: HardState | null;
  #mark: Mark;
  /** Index of the last entry given to `append`, and of the last one written. */
  #lastIndex: number;
  /** Where the entries are that were written and synced. */
  readonly #index: WalIndex;
  #writtenIndex: number;
  #pending: LogEntry[] = [];
  /** Something besides entries waits to be written. */
  #stateWaits = false;
  #damaged: boolean;
  #failed: StorageError | null = null;
  #syncing = false;
  #tail: Promise<void> = Promise.resolve();
  /** The newest batch says nothing that one before it does not say, so nothing hangs on its being readable. */
  #sealed = false;
  /** A write or sync was refused: nothing more is written. */
  #broken = false;
  /** Header and table of the batch being written. */
  #head = Buffer.allocUnsafeSlow(BLOCK);

  constructor(pool: SegmentPool, recovered: RecoveredLog) {
    this.#pool = pool;
    this.#segments = recovered.segments;
    this.#previousEnd = 0;
    this.#hardState = recovered.hardState;
    this.#mark = recovered.mark;
    this.#lastIndex = recovered.lastIndex;
    this.#index = recovered.index;
    this.#writtenIndex = recovered.lastIndex;
    this.#damaged = recovered.damage !== null;
  }

  get bytes(): number {
    let bytes = 0;
    for (const { end } of this.#segments) bytes += end;
    return bytes;
  }

  get segments(): number {
    return this.#segments.length;
  }

  append(hardState: HardState | null, entries: readonly LogEntry[]): void {
    this.#usable();
    invariant(!this.#damaged, 'a damaged log is only written after a reset', {});
    for (const entry of entries) {
      const { index } = entry;
      invariant(index <= this.#lastIndex + 1, 'entries follow without a gap', {
        index,
        last: this.#lastIndex,
      });
      invariant(index > this.#mark.index, 'entries lie behind the mark', { index, mark: this.#mark.index });
      this.#lastIndex = index;
      this.#pending.push(entry);
    }
    if (hardState !== null) {
      this.#hardState = hardState;
      this.#stateWaits = true;
    }
  }

  async sync(): Promise<void> {
    invariant(!this.#syncing, 'at most one sync is under way', {});
    this.#syncing = true;
    try {
      await this.#exclusive(() => this.#flush());
    } finally {
      this.#syncing = false;
    }
  }

  read(from: number, to: number, bytes: number): readonly LogEntry[] {
    this.#usable();
    return this.#index.read(from, to, bytes);
  }

  async release(mark: Mark, keepFrom = mark.index + 1): Promise<void> {
    const gone: Segment[] = [];
    await this.#exclusive(async () => {
      invariant(mark.index <= this.#lastIndex, 'only entries that are there are released', {
        mark: mark.index,
        last: this.#lastIndex,
      });
      if (mark.index > this.#mark.index) {
        this.#mark = { index: mark.index, term: mark.term };
        this.#stateWaits = true;
      }
      // The mark first: what is deleted must be known as covered.
      await this.#flush();
      const first = Math.min(keepFrom, this.#mark.index + 1);
      while (this.#segments.length > 1 && this.#segments[0]!.maxIndex < first) {
        gone.push(this.#segments.shift()!);
      }
      if (gone.length > 0) this.#index.releaseBefore(this.#segments[0]!);
    });
    await this.#retire(gone);
  }

  async reset(mark: Mark, hardState: HardState): Promise<void> {
    let gone: Segment[] = [];
    await this.#exclusive(async () => {
      this.#pending = [];
      this.#mark = { index: mark.index, term: mark.term };
      this.#hardState = hardState;
      this.#lastIndex = mark.index;
      await this.#roll();
      gone = this.#segments.splice(0, this.#segments.length - 1);
      this.#index.clear();
      await this.#write([], 0, 0, 0, true);
      this.#stateWaits = false;
      this.#damaged = false;
    });
    await this.#retire(gone);
  }

  async close(): Promise<void> {
    if (this.#failed?.code === 'CLOSED') return;
    const running = this.#tail;
    this.#failed = new StorageError('CLOSED', 'the log was closed');
    await running;
    try {
      try {
        await this.#seal();
      } finally {
        await this.#pool.close();
        for (const { file } of this.#segments) await file.close();
      }
    } catch (error) {
      throw diskError('closing the log', error);
    }
  }

  #usable(): void {
    if (this.#failed !== null) throw this.#failed;
  }

  /** Runs `work` when all before it is done; the first failure is the last thing that this log does. */
  #exclusive(work: () => Promise<void>): Promise<void> {
    const done = this.#tail.then(async () => {
      this.#usable();
      try {
        await work();
      } catch (error) {
        if (error instanceof InvariantError) throw error;
        this.#broken = true;
        this.#failed ??= diskError('writing the log', error);
        throw this.#failed;
      }
    });
    this.#tail = done.catch(() => {});
    return done;
  }

  async #retire(segments: readonly Segment[]): Promise<void> {
    try {
      await this.#pool.retire(segments);
    } catch (error) {
      throw diskError('removing old log segments', error);
    }
  }

  /**
   * Writes all that waits: as a rule one batch, more where it does not fit into the segment, or is so much that reading
   * it again, which takes a whole batch, would take long.
   */
  async #flush(): Promise<void> {
    const entries = this.#pending;
    if (entries.length === 0 && !this.#stateWaits) return;
    this.#pending = [];
    this.#stateWaits = false;
    if (this.#segments.length === 0) await this.#roll();
    let from = 0;
    for (;;) {
      const active = this.#active();
      const room = active.capacity - active.end - BATCH_HEADER;
      let to = from;
      let body = 0;
      while (to < entries.length) {
        const more = body + ENTRY_HEADER + entries[to]!.data.length;
        if (more > room || (more > SYNC_BYTES && to > from)) break;
        body = more;
        to++;
      }
      const nothingFits = to === from && (entries.length > from || room < 0);
      if (nothingFits && active.end > BLOCK) {
        await this.#roll();
        continue;
      }
      if (nothingFits) {
        // Larger than a segment: this one grows.
        body = ENTRY_HEADER + entries[from]!.data.length;
        to = from + 1;
      }
      await this.#write(entries, from, to, body, false);
      if (to === entries.length) return;
      from = to;
    }
  }

  async #write(entries: readonly LogEntry[], from: number, to: number, bodyBytes: number, reset: boolean) {
    const active = this.#active();
    const position = active.end;
    const headBytes = BATCH_HEADER + (to - from) * ENTRY_HEADER;
    if (this.#head.length < headBytes) this.#head = Buffer.allocUnsafeSlow(headBytes * 2);
    const bodyCrc = encodeTable(this.#head, entries, from, to);
    const last = to > from ? entries[to - 1]!.index : this.#writtenIndex;
    const isLast = to === entries.length;
    encodeBatchHeader(this.#head, active, {
      position,
      bodyBytes,
      bodyCrc,
      entries: to - from,
      reset,
      hardState: this.#stateFor(isLast, last),
      mark: this.#mark,
      previousLast: this.#writtenIndex,
      previousEnd: position === BLOCK ? this.#previousEnd : 0,
    });
    const parts: Uint8Array[] = [this.#head.subarray(0, headBytes)];
    for (let i = from; i < to; i++) {
      const { data, index } = entries[i]!;
      if (data.length > 0) parts.push(data);
      if (index > active.maxIndex) active.maxIndex = index;
    }
    const length = batchBytes(bodyBytes);
    const padding = length - BATCH_HEADER - bodyBytes;
    if (padding > 0) parts.push(PADDING.subarray(0, padding));
    await active.file.write(parts, position);
    await active.file.sync();
    active.end = position + length;
    this.#index.add(active, position, entries, from, to);
    this.#sealed = false;
    this.#writtenIndex = reset ? this.#mark.index : last;
    // A segment in use is followed by one that is being made ready, from its first batch on.
    this.#pool.prepareAhead({ gently: true });
  }

  /** In a batch that is not the flush's last, the commit index must not point behind the entries there are. */
  #stateFor(isLast: boolean, last: number): HardState | null {
    const state = this.#hardState;
    if (state === null || isLast || state.commit <= last) return state;
    return { term: state.term, vote: state.vote, commit: last };
  }

  /**
   * An empty batch proves that all before it was synced, so rot that befalls a stopped node's last writes is found as
   * damage and not taken for a torn tail. Where there is no room for it, it is left out.
   */
  async #seal(): Promise<void> {
    const waits = this.#pending.length > 0 || this.#stateWaits;
    if (this.#broken || this.#damaged || this.#sealed || waits || this.#segments.length === 0) return;
    const { capacity, end } = this.#active();
    if (end === BLOCK || end + BATCH_HEADER > capacity) return;
    await this.#write([], 0, 0, 0, false);
    this.#sealed = true;
  }

  #active(): Segment {
    return this.#segments[this.#segments.length - 1]!;
  }

  /** Goes on in the next segment. All of the active one is synced: `#write` returns no earlier. */
  async #roll(): Promise<void> {
    const before = this.#segments.at(-1);
    const next = await this.#pool.take();
    this.#previousEnd = before === undefined ? 0 : before.end;
    this.#segments.push(next);
  }
}

/**
 * Opens the log below `directory` (made when missing) and checks all of it. With damage the log takes nothing but
 * a `reset`. Rejects with `StorageError` when the disk fails.
 */
export async function openWal(
  disk: Disk,
  directory: string,
  options: WalOptions,
): Promise<{ wal: Wal; recovery: WalRecovery }> {
  const { segmentBytes = SEGMENT_BYTES, keepBytes, random, log } = options;
  invariant(segmentBytes >= 4 * BLOCK, 'a log segment holds some blocks', { segmentBytes });
  invariant(segmentBytes % BLOCK === 0, 'a log segment is a number of whole blocks', { segmentBytes });
  try {
    await disk.makeDirectory(directory);
    // A process that was killed may have left names that no sync covers: nothing may be written to a file that a
    // power loss would take away.
    await disk.syncDirectory(directory);
    const recovered = await recoverLog(disk, directory, keepBytes);
    const { damage, tornBytes, segments, prepared } = recovered;
    if (damage !== null) log('error', damage.message);
    if (tornBytes > 0) {
      log('info', `the log ended in a write that no sync had confirmed: ${tornBytes} bytes were cut off`);
    }
    const settings = { segmentBytes, random, log };
    const pool = new SegmentPool(disk, directory, settings, recovered.nextNumber, prepared);
    for (const name of recovered.spareNames) await pool.adopt(name);
    await pool.retire(recovered.obsolete);
    // A new log's first write waits for this segment, and there is no sync yet that it could hold up.
    pool.prepareAhead({ gently: segments.length > 0 });
    const { hardState, outline, entries, mark } = recovered;
    return {
      wal: new SegmentedWal(pool, recovered),
      recovery: { hardState, outline, entries, mark, damage, tornBytes },
    };
  } catch (error) {
    throw diskError(`opening the log in ${directory}`, error);
  }
}
