import { invariant } from '../base/invariant.js';
import {
  BLOB_CHUNK_BYTES,
  type BlobHeader,
  blobName,
  chunkAt,
  chunkContent,
  chunkCount,
  chunkHead,
  chunkLength,
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  parseBlobName,
  storedLength,
} from './blob-format.js';
import { type Disk, type DiskFile, SYNC_BYTES } from './disk.js';
import { TEMPORARY } from './durable-file.js';
import { diskError, StorageError } from './errors.js';

/** Content by chunks of `BLOB_CHUNK_BYTES`, of a blob that is whole or still being written. */
export interface BlobReading {
  readonly id: string;
  /** Chunks that can be read. */
  readonly chunks: number;
  /** Content of a chunk. Rejects with `DAMAGED` where the checksum does not fit. */
  read(number: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** A whole one. */
export interface StoredBlob extends BlobReading {
  /** Bytes of content. */
  readonly size: number;
  /** SHA-256 of it. */
  readonly digest: Uint8Array;
}

/** A blob being written. One call after the other; after a rejected one it must be given up by `discard`. */
export interface BlobDraft extends BlobReading {
  /** Bytes of content written. */
  readonly size: number;
  /** Each of `BLOB_CHUNK_BYTES`, the last one may be shorter and must not be empty. It must not change until written. */
  append(chunk: Uint8Array): Promise<void>;
  /** Durable under its name once it resolves. It can be read on until `close`. */
  seal(digest: Uint8Array): Promise<void>;
  /** Removes what there is of it, sealed or not. */
  discard(): Promise<void>;
}

/** Blobs on disk, whole ones by their id. */
export interface BlobStore {
  /** Whole ones. */
  readonly count: number;
  readonly bytes: number;
  ids(): Iterable<string>;
  has(id: string): boolean;
  /** It is being written. */
  writes(id: string): boolean;
  /**
   * `id`: 32 lower-case hex digits, of none that is being written, or here: unless it `replaces` that, which stays
   * until the new one is sealed.
   */
  begin(id: string, replaces?: boolean): Promise<BlobDraft>;
  /**
   * Null: it is not here. Rejects with `MISMATCH` where what is here has another size or digest, and with `DAMAGED`
   * where its header cannot be read.
   */
  open(header: BlobHeader): Promise<StoredBlob | null>;
  /** Content may be read on by those who have it open. */
  remove(id: string): Promise<void>;
}

class OpenBlob implements StoredBlob {
  readonly id: string;
  readonly size: number;
  readonly digest: Uint8Array;
  readonly #file: DiskFile;

  constructor(file: DiskFile, header: BlobHeader) {
    this.#file = file;
    this.id = header.id;
    this.size = header.size;
    this.digest = header.digest;
  }

  get chunks(): number {
    return chunkCount(this.size);
  }

  read(number: number): Promise<Uint8Array> {
    return readChunk(this.#file, this.id, number, chunkLength(this.size, number));
  }

  close(): Promise<void> {
    return closeFile(this.#file);
  }
}

async function readChunk(file: DiskFile, id: string, number: number, length: number): Promise<Uint8Array> {
  let stored: Uint8Array;
  try {
    stored = await file.read(chunkAt(number), storedLength(length));
  } catch (error) {
    throw diskError(`reading ${file.path}`, error);
  }
  const content = chunkContent(id, number, stored, length);
  if (content !== null) return content;
  throw new StorageError('DAMAGED', `${file.path} is damaged in chunk ${number}`);
}

async function closeFile(file: DiskFile): Promise<void> {
  try {
    await file.close();
  } catch (error) {
    throw diskError(`closing ${file.path}`, error);
  }
}

class Draft implements BlobDraft {
  readonly id: string;
  readonly #host: DraftHost;
  readonly #file: DiskFile;
  #path: string;
  #size = 0;
  #unsynced = 0;
  #sealed = false;
  #sealing: Promise<void> = Promise.resolve();
  #discarded = false;
  #closed = false;

  constructor(host: DraftHost, id: string, file: DiskFile) {
    this.#host = host;
    this.id = id;
    this.#file = file;
    this.#path = file.path;
  }

  get size(): number {
    return this.#size;
  }

  get chunks(): number {
    return chunkCount(this.#size);
  }

  async append(chunk: Uint8Array): Promise<void> {
    invariant(this.#size % BLOB_CHUNK_BYTES === 0 && chunk.length > 0, 'only the last chunk is shorter', {
      size: this.#size,
      chunk: chunk.length,
    });
    const number = this.#size / BLOB_CHUNK_BYTES;
    try {
      await this.#file.write([chunkHead(this.id, number, chunk), chunk], chunkAt(number));
      this.#size += chunk.length;
      this.#unsynced += chunk.length;
      if (this.#unsynced < SYNC_BYTES) return;
      this.#unsynced = 0;
      await this.#file.sync();
    } catch (error) {
      throw diskError(`writing ${this.#file.path}`, error);
    }
  }

  read(number: number): Promise<Uint8Array> {
    return readChunk(this.#file, this.id, number, chunkLength(this.#size, number));
  }

  seal(digest: Uint8Array): Promise<void> {
    const sealing = this.#seal(digest);
    this.#sealing = sealing.catch(() => {});
    return sealing;
  }

  async #seal(digest: Uint8Array): Promise<void> {
    const { disk, directory } = this.#host;
    const name = blobName(this.id, this.#size);
    try {
      await this.#file.write([encodeHeader({ id: this.id, size: this.#size, digest })], 0);
      await this.#file.sync();
      await this.#host.going(this.id);
      await disk.rename(this.#file.path, `${directory}/${name}`);
      this.#path = `${directory}/${name}`;
      await disk.syncDirectory(directory);
    } catch (error) {
      throw diskError(`sealing ${this.#file.path}`, error);
    }
    this.#sealed = true;
    this.#host.sealed(this.id, this.#size);
  }

  async discard(): Promise<void> {
    if (this.#discarded) return;
    this.#discarded = true;
    await this.#sealing;
    await this.close();
    if (this.#sealed) {
      await this.#host.remove(this.id);
      return;
    }
    try {
      await this.#host.disk.remove(this.#path);
    } catch (error) {
      throw diskError(`removing ${this.#path}`, error);
    } finally {
      this.#host.ended(this.id);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await closeFile(this.#file);
  }
}

interface DraftHost {
  readonly disk: Disk;
  readonly directory: string;
  /** Resolves once the removal of one that had this id before is over. */
  going(id: string): Promise<void>;
  sealed(id: string, size: number): void;
  /** It was given up before it was whole. */
  ended(id: string): void;
  remove(id: string): Promise<void>;
}

class BlobFiles implements BlobStore {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #sizes: Map<string, number>;
  #bytes = 0;
  readonly #drafts = new Set<string>();
  /** Removals under way: a blob of the same id begins behind them. */
  readonly #going = new Map<string, Promise<void>>();

  constructor(disk: Disk, directory: string, sizes: Map<string, number>) {
    this.#disk = disk;
    this.#directory = directory;
    this.#sizes = sizes;
    for (const size of sizes.values()) this.#bytes += size;
  }

  get count(): number {
    return this.#sizes.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  ids(): Iterable<string> {
    return this.#sizes.keys();
  }

  has(id: string): boolean {
    return this.#sizes.has(id);
  }

  writes(id: string): boolean {
    return this.#drafts.has(id);
  }

  async begin(id: string, replaces = false): Promise<BlobDraft> {
    const free = !this.#drafts.has(id) && (replaces || !this.#sizes.has(id));
    invariant(free, 'a blob is written once at a time', { id });
    this.#drafts.add(id);
    const path = `${this.#directory}/${id}${TEMPORARY}`;
    try {
      await this.#going.get(id);
      const file = await this.#disk.open(path, { create: true });
      await file.truncate(0);
      const host: DraftHost = {
        disk: this.#disk,
        directory: this.#directory,
        going: (removed) => this.#going.get(removed) ?? Promise.resolve(),
        sealed: (sealed, size) => {
          this.#drafts.delete(sealed);
          this.#replaced(sealed, size);
          this.#sizes.set(sealed, size);
          this.#bytes += size;
        },
        ended: (ended) => this.#drafts.delete(ended),
        remove: (removed) => this.remove(removed),
      };
      return new Draft(host, id, file);
    } catch (error) {
      this.#drafts.delete(id);
      throw diskError(`writing ${path}`, error);
    }
  }

  async open(header: BlobHeader): Promise<StoredBlob | null> {
    const { id, size, digest } = header;
    const stored = this.#sizes.get(id);
    if (stored === undefined) return null;
    const path = `${this.#directory}/${blobName(id, stored)}`;
    let file: DiskFile | null = null;
    try {
      file = await this.#disk.open(path, { create: false });
      const found = decodeHeader(await file.read(0, HEADER_BYTES));
      if (found?.id !== id || found.size !== stored) {
        throw new StorageError('DAMAGED', `the header of ${path} is damaged`);
      }
      if (found.size !== size || Buffer.compare(found.digest, digest) !== 0) {
        throw new StorageError('MISMATCH', `${path} has another size or digest than what is asked for`);
      }
      return new OpenBlob(file, header);
    } catch (error) {
      await file?.close().catch(() => {});
      // Removed meanwhile, or lost.
      if (!this.#sizes.has(id)) return null;
      throw diskError(`reading ${path}`, error);
    }
  }

  remove(id: string): Promise<void> {
    const size = this.#sizes.get(id);
    if (size === undefined) return Promise.resolve();
    this.#forget(id);
    const path = `${this.#directory}/${blobName(id, size)}`;
    // Where the name survives a crash it is found unneeded again: no sync of the directory.
    const going = this.#disk.remove(path).catch((error: unknown) => {
      throw diskError(`removing ${path}`, error);
    });
    const over = going.catch(() => {});
    this.#going.set(id, over);
    void over.then(() => {
      if (this.#going.get(id) === over) this.#going.delete(id);
    });
    return going;
  }

  /** Of what had the id before only the name may be left, where its size was another. */
  #replaced(id: string, size: number): void {
    const before = this.#sizes.get(id);
    if (before === undefined) return;
    this.#forget(id);
    // Where the name survives, the next start finds one of the two damaged.
    if (before !== size) this.#disk.remove(`${this.#directory}/${blobName(id, before)}`).catch(() => {});
  }

  #forget(id: string): void {
    const size = this.#sizes.get(id);
    if (size !== undefined && this.#sizes.delete(id)) this.#bytes -= size;
  }
}

/** Opens the blobs below `directory` (made when missing). What was being written when the node ended is removed. */
export async function openBlobs(disk: Disk, directory: string): Promise<BlobStore> {
  try {
    await disk.makeDirectory(directory);
    const sizes = new Map<string, number>();
    for (const name of await disk.list(directory)) {
      const blob = parseBlobName(name);
      if (blob !== null) sizes.set(blob.id, blob.size);
      else if (name.endsWith(TEMPORARY)) await disk.remove(`${directory}/${name}`);
    }
    // Names that a process which was killed gave last may not be durable yet: they count as sealed from here on.
    await disk.syncDirectory(directory);
    return new BlobFiles(disk, directory, sizes);
  } catch (error) {
    throw diskError(`opening the blobs in ${directory}`, error);
  }
}
