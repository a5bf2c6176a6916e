import { crc32 } from 'node:zlib';
import { invariant } from '../base/invariant.js';
import type { SnapshotMark } from '../consensus/types.js';
import { type Disk, type DiskFile, SYNC_BYTES } from './disk.js';
import { replaceFile, TEMPORARY } from './durable-file.js';
import { diskError } from './errors.js';
import { encodeManifest, type Manifest, manifestName, type PageRef, packName } from './snapshot-format.js';
import type { SnapshotPage, SnapshotWriter } from './types.js';

/** Small pages are gathered until there is this much to write. */
const GATHER_BYTES = 256 * 1024;
/** Bytes that one snapshot copies at most out of packs that hold little else of use. */
const COPY_BYTES_MAX = 32 * 1024 * 1024;

/** What a writer needs of its store. */
export interface WriterHost {
  readonly disk: Disk;
  readonly directory: string;
  /** The snapshot that unchanged pages are taken from. */
  readonly base: Manifest | null;
  /** Keys of pages in `base` that turned out to be damaged. */
  readonly damaged: ReadonlySet<string>;
  readPage(page: PageRef): Promise<Buffer>;
  finished(manifest: Manifest): Promise<void>;
  /** The writer is done, one way or another. */
  ended(): void;
}

export class PackWriter implements SnapshotWriter {
  readonly #host: WriterHost;
  readonly #number: number;
  readonly #mark: SnapshotMark;
  readonly #pages = new Map<string, PageRef>();
  #file: DiskFile | null = null;
  #gathered: Buffer | null = null;
  #gatheredBytes = 0;
  /** Where the gathered bytes belong in the pack. */
  #gatheredAt = 0;
  #writing = false;
  #unsynced = 0;
  /** Bytes in the pack, gathered ones included. */
  #end = 0;
  #state: 'open' | 'finishing' | 'ended' = 'open';

  constructor(host: WriterHost, number: number, mark: SnapshotMark) {
    this.#host = host;
    this.#number = number;
    this.#mark = mark;
  }

  has(key: string, version: number): boolean {
    return this.#host.base?.pages.get(key)?.version === version && !this.#host.damaged.has(key);
  }

  reuse(key: string, version: number): void {
    invariant(this.#state === 'open', 'the snapshot is being written', { state: this.#state });
    const page = this.#host.base?.pages.get(key);
    invariant(page !== undefined, 'a reused page is in the newest snapshot', { key });
    invariant(page.version === version, 'a reused page has not changed', { key, version, is: page.version });
    this.#add(page);
  }

  /** One at a time: the next one when this has resolved, and `bytes` unchanged until then. */
  async write(page: SnapshotPage): Promise<void> {
    invariant(this.#state === 'open', 'the snapshot is being written', { state: this.#state });
    invariant(!this.#writing, 'pages are written one after the other', { key: page.key });
    this.#writing = true;
    try {
      this.#add(await this.#put(page.key, page.version, page.bytes));
    } catch (error) {
      throw diskError('writing a snapshot', error);
    } finally {
      this.#writing = false;
    }
  }

  async finish(): Promise<void> {
    invariant(this.#state === 'open', 'the snapshot is being written', { state: this.#state });
    this.#state = 'finishing';
    const { disk, directory } = this.#host;
    try {
      await this.#copyFromSparsePacks();
      await this.#flush();
      if (this.#file !== null) {
        await this.#file.sync();
        await this.#file.close();
        await disk.rename(this.#packPath() + TEMPORARY, this.#packPath());
        // The manifest must not become durable before a pack that it names.
        await disk.syncDirectory(directory);
        this.#file = null;
      }
      const manifest = this.#manifest();
      await replaceFile(disk, directory, manifestName(this.#number), [encodeManifest(manifest)]);
      this.#state = 'ended';
      await this.#host.finished(manifest);
    } catch (error) {
      await this.abort();
      throw diskError('writing a snapshot', error);
    } finally {
      this.#host.ended();
    }
  }

  async abort(): Promise<void> {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#host.ended();
    const file = this.#file;
    this.#file = null;
    try {
      await file?.close().catch(() => {});
      await this.#discard();
    } catch {
      // Left behind, it goes with the next snapshot or at the next start: no manifest names it.
    }
  }

  /** Removes what was written: on a full disk others need the room. */
  async #discard(): Promise<void> {
    const { disk, directory } = this.#host;
    const manifest = `${directory}/${manifestName(this.#number)}`;
    const pack = this.#packPath();
    if (await disk.exists(manifest)) {
      await disk.remove(manifest);
      // Were its pack gone first, the manifest would count as damage after a crash.
      await disk.syncDirectory(directory);
    }
    for (const path of [manifest + TEMPORARY, pack + TEMPORARY, pack]) {
      if (await disk.exists(path)) await disk.remove(path);
    }
  }

  #packPath(): string {
    return `${this.#host.directory}/${packName(this.#number)}`;
  }

  #add(page: PageRef): void {
    invariant(!this.#pages.has(page.key), 'a page is named once in a snapshot', { key: page.key });
    this.#pages.set(page.key, page);
  }

  async #put(key: string, version: number, bytes: Uint8Array): Promise<PageRef> {
    const { length } = bytes;
    const page = { key, version, pack: this.#number, offset: this.#end, length, crc: crc32(bytes) };
    this.#end += length;
    if (this.#gatheredBytes + length > GATHER_BYTES) await this.#flush();
    if (length >= GATHER_BYTES) {
      await this.#write(bytes, page.offset);
    } else {
      this.#gathered ??= Buffer.allocUnsafeSlow(GATHER_BYTES);
      if (this.#gatheredBytes === 0) this.#gatheredAt = page.offset;
      this.#gathered.set(bytes, this.#gatheredBytes);
      this.#gatheredBytes += length;
    }
    return page;
  }

  async #flush(): Promise<void> {
    if (this.#gatheredBytes === 0) return;
    const bytes = this.#gathered!.subarray(0, this.#gatheredBytes);
    await this.#write(bytes, this.#gatheredAt);
    this.#gatheredBytes = 0;
  }

  async #write(bytes: Uint8Array, position: number): Promise<void> {
    const file = await this.#pack();
    await file.write([bytes], position);
    this.#unsynced += bytes.length;
    // Given up meanwhile, its file is closed.
    if (this.#unsynced < SYNC_BYTES || this.#state === 'ended') return;
    this.#unsynced = 0;
    await file.sync();
  }

  async #pack(): Promise<DiskFile> {
    this.#file ??= await this.#host.disk.open(this.#packPath() + TEMPORARY, { create: true });
    return this.#file;
  }

  /** Copies what is still of use out of packs of which it is less than half, so that they can go. */
  async #copyFromSparsePacks(): Promise<void> {
    const live = new Map<number, PageRef[]>();
    for (const page of this.#pages.values()) {
      if (page.pack === this.#number || page.length === 0) continue;
      const pages = live.get(page.pack);
      if (pages === undefined) live.set(page.pack, [page]);
      else pages.push(page);
    }
    const sparse: { pages: PageRef[]; bytes: number }[] = [];
    for (const [pack, pages] of live) {
      const bytes = pages.reduce((sum, page) => sum + page.length, 0);
      if (bytes * 2 < this.#host.base!.packs.get(pack)!) sparse.push({ pages, bytes });
    }
    sparse.sort((a, b) => a.bytes - b.bytes);
    let left = COPY_BYTES_MAX;
    for (const { pages } of sparse) {
      pages.sort((a, b) => a.offset - b.offset);
      for (const page of pages) {
        if (left <= 0) return;
        left -= page.length;
        const content = await this.#host.readPage(page);
        this.#pages.set(page.key, await this.#put(page.key, page.version, content));
      }
    }
  }

  #manifest(): Manifest {
    const packs = new Map<number, number>();
    let bytes = 0;
    for (const page of this.#pages.values()) {
      // An empty page needs no pack, and its own may not exist.
      if (page.length === 0) continue;
      packs.set(page.pack, page.pack === this.#number ? this.#end : this.#host.base!.packs.get(page.pack)!);
      bytes += page.length;
    }
    return { number: this.#number, mark: this.#mark, pages: this.#pages, packs, bytes };
  }
}
