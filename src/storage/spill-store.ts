import { crc32 } from 'node:zlib';
import type { Clock, Timer } from '../base/clock.js';
import { invariant } from '../base/invariant.js';
import type { SpillStore } from '../core/types.js';
import type { Disk, DiskFile } from './disk.js';
import { diskError, StorageError } from './errors.js';

/** A file takes no more once it is this long. */
const FILE_BYTES = 64 * 1024 * 1024;
/** Gathered before it is written, unless told otherwise. */
const WRITE_BYTES = 1024 * 1024;
/** With more than this not yet written, the disk is too slow: nothing more is taken. */
const UNWRITTEN_MAX = 16 * 1024 * 1024;
/** After a refused write. */
const AGAIN_MS = 1_000;
/** The emptiest file is emptied when the files are so much longer than what is in them, and so many files besides. */
const WASTE_FACTOR = 2;
const WASTE_FILES = 4;
const SPARE_MAX = 4;
/** What is read is kept for the next read up to this size. */
const READ_MAX = 1024 * 1024;
const PREFIX = 'spill-';
const CRC_BYTES = 4;

/** A handle is file · 2^32 + offset. */
const FILE_FACTOR = 2 ** 32;

interface SpillFile {
  readonly number: number;
  readonly path: string;
  /** Null until the first write. */
  file: DiskFile | null;
  /** Bytes given out, and those of them that are still wanted. */
  length: number;
  live: number;
}

/** Bytes that are on their way to a file; what is in them is read from here. */
interface Chunk {
  readonly to: SpillFile;
  readonly offset: number;
  readonly bytes: Buffer;
  used: number;
}

export interface SpillFileOptions {
  readonly clock: Clock;
  readonly log: (level: 'info' | 'warn' | 'error', message: string) => void;
  /** Bytes of one file; 64 MiB unless told. */
  readonly fileBytes?: number;
  /** What gathers before it is written; 1 MiB unless told. */
  readonly writeBytes?: number;
}

export interface OpenSpill extends SpillStore {
  /** Of all files together. */
  readonly fileBytes: number;
  /** Called with each `get`. */
  whenRead: (() => void) | null;
  /** While it is true nothing more is taken: space is needed for other things. */
  setLow(low: boolean): void;
  /** Resolves when more is taken, or as soon as it is clear that waiting does not help. */
  room(): Promise<void>;
  /** Resolves once nothing is written any more. */
  close(): Promise<void>;
}

/**
 * Files that hold what memory has no room for, appended to and deleted as a whole once nothing in them is wanted. They are
 * never synced, and void when the process ends: a snapshot and the log make them anew. Writes gather, and leave in the
 * background; what is read is waited for.
 */
class SpillFiles implements OpenSpill {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #options: SpillFileOptions;
  readonly #fileMax: number;
  readonly #writeBytes: number;
  readonly #files = new Map<number, SpillFile>();
  #current: SpillFile | null = null;
  /** Oldest first; the last one is being filled. */
  #chunks: Chunk[] = [];
  #unwritten = 0;
  #length = 0;
  #live = 0;
  /** Chunks to be used again. */
  readonly #spare: Buffer[] = [];
  /** Files that are to be deleted. */
  readonly #void: SpillFile[] = [];
  #working: Promise<void> | null = null;
  /** Runs after a refused write. */
  #again: Timer | null = null;
  #low = false;
  #closed: Promise<void> | null = null;
  whenRead: (() => void) | null = null;
  /** The directory is there. */
  #made = false;
  #read = Buffer.alloc(0);
  /** To be emptied, 0: none is. */
  #scattered = 0;
  #last = 0;

  constructor(disk: Disk, directory: string, options: SpillFileOptions) {
    this.#disk = disk;
    this.#directory = directory;
    this.#options = options;
    this.#fileMax = options.fileBytes ?? FILE_BYTES;
    this.#writeBytes = options.writeBytes ?? WRITE_BYTES;
  }

  get accepts(): boolean {
    return this.#again === null && !this.#low && this.#closed === null && this.#unwritten < UNWRITTEN_MAX;
  }

  get fileBytes(): number {
    return this.#length;
  }

  setLow(low: boolean): void {
    this.#low = low;
  }

  put(bytes: Uint8Array): number {
    const need = CRC_BYTES + bytes.length;
    const file = this.#fileFor();
    const chunk = this.#chunkFor(file, need);
    const at = chunk.used;
    chunk.bytes.writeUInt32LE(crc32(bytes), at);
    chunk.bytes.set(bytes, at + CRC_BYTES);
    chunk.used += need;
    const offset = chunk.offset + at;
    file.length = offset + need;
    file.live += need;
    this.#length += need;
    this.#live += need;
    this.#unwritten += need;
    if (chunk.used === chunk.bytes.length) this.#work();
    return file.number * FILE_FACTOR + offset;
  }

  get(handle: number, length: number): Uint8Array {
    this.whenRead?.();
    const file = this.#fileOf(handle);
    const offset = handle % FILE_FACTOR;
    const need = CRC_BYTES + length;
    let bytes = this.#gathered(file, offset, need);
    if (bytes === null) {
      if (this.#read.length < need && need <= READ_MAX) this.#read = Buffer.allocUnsafeSlow(need);
      bytes = need > READ_MAX ? Buffer.allocUnsafeSlow(need) : this.#read.subarray(0, need);
      this.#fill(file, offset, bytes);
    }
    const content = bytes.subarray(CRC_BYTES);
    if (crc32(content) !== bytes.readUInt32LE(0)) {
      // Not as damage: what this node has promised is sound.
      throw new StorageError(
        'FAILED',
        `${file.path} does not hold at ${offset} what was written there: the disk or its controller is not sound. ` +
          'Nothing is lost: the node makes it anew from its snapshot and log when it starts',
      );
    }
    return content;
  }

  release(handle: number, length: number): void {
    const file = this.#fileOf(handle);
    const need = CRC_BYTES + length;
    file.live -= need;
    this.#live -= need;
    invariant(file.live >= 0, 'what is released was put', { file: file.number });
    if (file.live > 0 || file === this.#current) return;
    this.#forget(file);
  }

  get isWasteful(): boolean {
    return this.#scattered !== 0 && this.#closed === null;
  }

  isScattered(handle: number): boolean {
    return this.#scattered !== 0 && Math.floor(handle / FILE_FACTOR) === this.#scattered;
  }

  async room(): Promise<void> {
    while (!this.accepts && this.#working !== null) await this.#working;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#again?.cancel();
    await this.#working;
    for (const { file } of [...this.#files.values(), ...this.#void]) await file?.close();
  }

  #fileOf(handle: number): SpillFile {
    const file = this.#files.get(Math.floor(handle / FILE_FACTOR));
    invariant(file !== undefined, 'what is asked for was put', { handle });
    return file;
  }

  #fileFor(): SpillFile {
    const current = this.#current;
    if (current !== null && current.length < this.#fileMax) return current;
    const number = ++this.#last;
    const path = `${this.#directory}/${PREFIX}${String(number).padStart(8, '0')}`;
    const next: SpillFile = { number, path, file: null, length: 0, live: 0 };
    this.#files.set(number, next);
    this.#current = next;
    if (current !== null && current.live === 0) this.#forget(current);
    this.#choose();
    return next;
  }

  #chunkFor(file: SpillFile, need: number): Chunk {
    const last = this.#chunks[this.#chunks.length - 1];
    if (last !== undefined && last.to === file && last.used + need <= last.bytes.length) return last;
    const bytes =
      need > this.#writeBytes
        ? Buffer.allocUnsafeSlow(need)
        : (this.#spare.pop() ?? Buffer.allocUnsafeSlow(this.#writeBytes));
    const chunk = { to: file, offset: file.length, bytes, used: 0 };
    this.#chunks.push(chunk);
    if (last !== undefined) this.#work();
    return chunk;
  }

  /** What is asked for, if it is not written yet. */
  #gathered(file: SpillFile, offset: number, need: number): Buffer | null {
    for (const chunk of this.#chunks) {
      const at = offset - chunk.offset;
      if (chunk.to === file && at >= 0 && at < chunk.used) return chunk.bytes.subarray(at, at + need);
    }
    return null;
  }

  #fill(file: SpillFile, offset: number, target: Buffer): void {
    let got: number;
    try {
      got = file.file?.readNow(offset, target) ?? 0;
    } catch (error) {
      throw diskError(`reading ${file.path}`, error);
    }
    if (got < target.length) throw new StorageError('FAILED', `${file.path} is shorter than it was`);
  }

  /** Which file is to be emptied: its rest is put again, so that it can go. */
  #choose(): void {
    this.#scattered = 0;
    if (this.#length < this.#live * WASTE_FACTOR + WASTE_FILES * this.#fileMax) return;
    let emptiest: SpillFile | null = null;
    for (const file of this.#files.values()) {
      if (file === this.#current) continue;
      if (emptiest === null || file.live / file.length < emptiest.live / emptiest.length) emptiest = file;
    }
    this.#scattered = emptiest?.number ?? 0;
  }

  #forget(file: SpillFile): void {
    this.#files.delete(file.number);
    this.#void.push(file);
    this.#length -= file.length;
    if (this.#scattered === file.number) this.#choose();
    this.#work();
  }

  /** Sees to it that what has gathered is written, and what is void deleted. */
  #work(): void {
    if (this.#working !== null || this.#again !== null || this.#closed !== null) return;
    this.#working = this.#workOff()
      .catch((error: unknown) => {
        const { clock, log } = this.#options;
        log('warn', `no more jobs are put on disk for now, they stay in memory: ${(error as Error).message}`);
        this.#again = clock.setTimer(AGAIN_MS, () => {
          this.#again = null;
          this.#work();
        });
      })
      .finally(() => {
        this.#working = null;
        // Something may have come in just before.
        if (this.#nextChunk() !== null) this.#work();
      });
  }

  /** The oldest one that has gathered enough. */
  #nextChunk(): Chunk | null {
    const chunk = this.#chunks[0];
    if (chunk === undefined || (this.#chunks.length === 1 && chunk.used < chunk.bytes.length)) return null;
    return chunk;
  }

  async #workOff(): Promise<void> {
    while (this.#closed === null) {
      const gone = this.#void.pop();
      if (gone !== undefined) {
        await this.#delete(gone);
        continue;
      }
      const chunk = this.#nextChunk();
      if (chunk === null) return;
      if (this.#files.has(chunk.to.number)) await this.#store(chunk);
      this.#chunks.shift();
      this.#unwritten -= chunk.used;
      if (chunk.bytes.length === this.#writeBytes && this.#spare.length < SPARE_MAX)
        this.#spare.push(chunk.bytes);
    }
  }

  async #store({ to, offset, bytes, used }: Chunk): Promise<void> {
    try {
      if (!this.#made) await this.#disk.makeDirectory(this.#directory);
      this.#made = true;
      to.file ??= await this.#disk.open(to.path, { create: true });
      await to.file.write([bytes.subarray(0, used)], offset);
    } catch (error) {
      throw diskError(`writing ${to.path}`, error);
    }
  }

  async #delete({ file, path }: SpillFile): Promise<void> {
    if (file === null) return;
    try {
      await file.close();
      await this.#disk.remove(path);
    } catch (error) {
      const why = (error as Error).message;
      this.#options.log('warn', `${path} is void and could not be deleted; the next start does it: ${why}`);
    }
  }
}

/** Opens an empty store below `directory`; what another process left there is deleted. */
export async function openSpill(
  disk: Disk,
  directory: string,
  options: SpillFileOptions,
): Promise<OpenSpill> {
  try {
    if (await disk.exists(directory)) {
      for (const name of await disk.list(directory)) {
        if (name.startsWith(PREFIX)) await disk.remove(`${directory}/${name}`);
      }
    }
  } catch (error) {
    throw diskError(`clearing ${directory}`, error);
  }
  return new SpillFiles(disk, directory, options);
}
