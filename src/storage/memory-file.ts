import type { Random } from '../base/random.js';

const SECTOR_BYTES = 512;

/** A write, or with `bytes` null a truncation to `position`, that no sync has covered. */
interface Unsynced {
  readonly position: number;
  readonly bytes: Buffer | null;
}

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

  apply(change: Unsynced): void {
    if (change.bytes === null) this.resize(change.position);
    else this.write(change.bytes, change.position);
  }
}

/** A file's content twice: as the system shows it, and as the platter holds it, with the changes between them. */
export class MemoryFile {
  readonly #seen = new Content();
  readonly #durable = new Content();
  #unsynced: Unsynced[] = [];

  get size(): number {
    return this.#seen.size;
  }

  get hasUnsynced(): boolean {
    return this.#unsynced.length > 0;
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

  content(): Buffer {
    return this.read(0, this.#seen.size);
  }

  sync(): void {
    for (const change of this.#unsynced) this.#durable.apply(change);
    this.#unsynced = [];
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
    const last = this.#unsynced.length - 1;
    let lost = 0;
    this.#unsynced.forEach((change, at) => {
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
    this.#unsynced = [];
    this.#seen.resize(0);
    this.#seen.write(this.#durable.bytes.subarray(0, this.#durable.size), 0);
    return lost;
  }

  #apply(change: Unsynced): void {
    this.#seen.apply(change);
    this.#unsynced.push(change);
  }
}
