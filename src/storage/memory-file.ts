import type { Random } from '../base/random.js';

const SECTOR_BYTES = 512;

/** A write, or with `bytes` null a truncation to `position`, that no sync has covered. */
export interface UnsyncedWrite {
  readonly position: number;
  readonly bytes: Buffer | null;
}

/** Pieces of an unsynced write that reached the platter, from and to (exclusive) within it. */
export type Pieces = readonly (readonly [from: number, to: number])[];

/** Bytes that grow: the array may be longer than the content, and is zero behind it. */
class Content {
  bytes = Buffer.alloc(0);
  size = 0;

  write(bytes: Buffer, position: number): void {
    this.resize(Math.max(this.size, position + bytes.length));
    bytes.copy(this.bytes, position);
  }

  resize(size: number): void {
    if (size > this.bytes.length) {
      const grown = Buffer.alloc(Math.max(size, Math.min(this.bytes.length * 2, size + 1024 * 1024)));
      this.bytes.copy(grown, 0, 0, this.size);
      this.bytes = grown;
    }
    if (size < this.size) this.bytes.fill(0, size, this.size);
    this.size = size;
  }

  apply(change: UnsyncedWrite): void {
    if (change.bytes === null) this.resize(change.position);
    else this.write(change.bytes, change.position);
  }
}

/** A file's content twice: as the system shows it, and as the platter holds it, with the changes between them. */
export class MemoryFile {
  readonly #seen = new Content();
  readonly #durable = new Content();
  #unsynced: UnsyncedWrite[] = [];
  /** What a failed sync left: a later one that succeeds says nothing about it, until it is written again. */
  #doubtful: UnsyncedWrite[] = [];

  get size(): number {
    return this.#seen.size;
  }

  get hasUnsynced(): boolean {
    return this.#unsynced.length > 0 || this.#doubtful.length > 0;
  }

  /** In the order in which they were made. */
  get unsynced(): readonly UnsyncedWrite[] {
    return [...this.#doubtful, ...this.#unsynced];
  }

  /** Keeps `bytes`: the caller must not change them. */
  write(bytes: Buffer, position: number): void {
    this.#apply({ position, bytes });
  }

  truncate(length: number): void {
    this.#apply({ position: length, bytes: null });
  }

  read(position: number, length: number): Buffer {
    const end = Math.min(position + length, this.#seen.size);
    return end <= position ? Buffer.alloc(0) : Buffer.from(this.#seen.bytes.subarray(position, end));
  }

  /** Returns the bytes read. */
  readInto(position: number, target: Uint8Array): number {
    const end = Math.min(position + target.length, this.#seen.size);
    if (end <= position) return 0;
    target.set(this.#seen.bytes.subarray(position, end));
    return end - position;
  }

  content(): Buffer {
    return this.read(0, this.#seen.size);
  }

  sync(): void {
    for (const change of this.#unsynced) {
      this.#durable.apply(change);
      if (this.#doubtful.length > 0) this.#doubtful = this.#doubtful.flatMap((old) => remainder(old, change));
    }
    this.#unsynced = [];
  }

  /** The kernel calls these pages clean from now on, though they may never have reached the platter. */
  failSync(): void {
    this.#doubtful.push(...this.#unsynced);
    this.#unsynced = [];
  }

  copy(): MemoryFile {
    const copy = new MemoryFile();
    copy.#seen.write(this.content(), 0);
    copy.#durable.write(this.#durable.bytes.subarray(0, this.#durable.size), 0);
    copy.#unsynced = [...this.#unsynced];
    copy.#doubtful = [...this.#doubtful];
    return copy;
  }

  /** Power loss: of each of `unsynced`, in that order, `pieces` says what survives; a truncation does by any piece. */
  crashKeeping(pieces: readonly Pieces[]): void {
    this.unsynced.forEach(({ position, bytes }, at) => {
      for (const [from, to] of pieces[at] ?? []) {
        if (bytes === null) this.#durable.resize(position);
        else this.#durable.write(bytes.subarray(from, to), position + from);
      }
    });
    this.#fallBack();
  }

  flipBit(offset: number, bit: number): void {
    for (const content of [this.#seen, this.#durable]) {
      if (offset < content.size) content.bytes[offset]! ^= 1 << bit;
    }
  }

  /**
   * Any of the unsynced sectors may have reached the platter; with `tear` the last write's end may be half a sector.
   * Returns the bytes that did not.
   */
  crash(random: Random, tear: boolean): number {
    const unsynced = this.unsynced;
    const last = unsynced.length - 1;
    let lost = 0;
    unsynced.forEach((change, at) => {
      const { bytes, position } = change;
      if (bytes === null) {
        if (random.below(2) === 0) this.#durable.apply(change);
        return;
      }
      for (let from = 0; from < bytes.length; ) {
        const to = Math.min(bytes.length, from + SECTOR_BYTES - ((position + from) % SECTOR_BYTES));
        const torn = tear && at === last && random.below(4) === 0;
        const end = torn ? from + random.below(to - from) : to;
        const kept = end > from && random.below(2) === 0;
        if (kept) this.#durable.write(bytes.subarray(from, end), position + from);
        lost += to - (kept ? end : from);
        from = to;
      }
    });
    this.#fallBack();
    return lost;
  }

  /** What the platter holds is what there is. */
  #fallBack(): void {
    this.#unsynced = [];
    this.#doubtful = [];
    this.#seen.resize(0);
    this.#seen.write(this.#durable.bytes.subarray(0, this.#durable.size), 0);
  }

  #apply(change: UnsyncedWrite): void {
    this.#seen.apply(change);
    this.#unsynced.push(change);
  }
}

/** What of `old` a later change, durable by now, has not replaced. */
function remainder(old: UnsyncedWrite, later: UnsyncedWrite): UnsyncedWrite[] {
  if (old.bytes === null) return later.bytes === null ? [] : [old];
  const end = old.position + old.bytes.length;
  const from = later.position;
  const to = later.bytes === null ? Number.POSITIVE_INFINITY : from + later.bytes.length;
  if (to <= old.position || from >= end) return [old];
  const left: UnsyncedWrite[] = [];
  if (from > old.position) {
    left.push({ position: old.position, bytes: old.bytes.subarray(0, from - old.position) });
  }
  if (to < end) left.push({ position: to, bytes: old.bytes.subarray(to - old.position) });
  return left;
}
