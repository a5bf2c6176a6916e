import { crc32 } from 'node:zlib';
import { invariant } from '../base/invariant.js';
import type { SnapshotMark } from '../consensus/types.js';
import type { Disk, DiskFile } from './disk.js';
import { readFile, TEMPORARY } from './durable-file.js';
import { diskError, StorageError } from './errors.js';
import {
  decodeManifest,
  type Manifest,
  manifestName,
  numberOf,
  type PageRef,
  packName,
} from './snapshot-format.js';
import { PackWriter } from './snapshot-writer.js';
import type { Damage, SnapshotInfo, SnapshotPage, SnapshotStore, SnapshotWriter } from './types.js';
import { WindowReader } from './window-reader.js';

export interface SnapshotOptions {
  readonly log: (level: 'info' | 'warn' | 'error', message: string) => void;
}

const ADVICE =
  'the state cannot be restored from it, and the log before it is gone: replace this node with ' +
  '"gearmesh cluster replace NODE"';

interface OpenPack {
  readonly file: DiskFile;
  readonly reader: WindowReader;
}

async function openPack(disk: Disk, path: string): Promise<OpenPack> {
  const file = await disk.open(path, { create: false });
  return { file, reader: new WindowReader(file, await file.size()) };
}

class PackedSnapshots implements SnapshotStore {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #log: SnapshotOptions['log'];
  #newest: Manifest | null;
  #damage: Damage | null;
  readonly #damagedKeys = new Set<string>();
  #lastNumber: number;
  #writer: SnapshotWriter | null = null;
  /** Packs open for reading, for copies and by `pages`. */
  readonly #files = new Map<number, Promise<OpenPack>>();
  #readers = 0;
  #closed = false;

  constructor(disk: Disk, directory: string, options: SnapshotOptions, found: FoundSnapshots) {
    this.#disk = disk;
    this.#directory = directory;
    this.#log = options.log;
    this.#newest = found.newest;
    this.#damage = found.damage;
    this.#lastNumber = found.lastNumber;
  }

  get newest(): SnapshotInfo | null {
    if (this.#newest === null) return null;
    const { mark, bytes, pages } = this.#newest;
    return { mark, bytes, pages: pages.size };
  }

  get damage(): Damage | null {
    return this.#damage;
  }

  async begin(mark: SnapshotMark): Promise<SnapshotWriter> {
    this.#usable();
    invariant(this.#writer === null, 'one snapshot is written at a time', {});
    this.#lastNumber++;
    const host = {
      disk: this.#disk,
      directory: this.#directory,
      base: this.#newest,
      damaged: this.#damagedKeys,
      readPage: (page: PageRef) => this.#readPage(page),
      finished: (manifest: Manifest) => this.#adopt(manifest),
      ended: () => {
        if (this.#writer === writer) this.#writer = null;
      },
    };
    const writer = new PackWriter(host, this.#lastNumber, mark);
    this.#writer = writer;
    return writer;
  }

  async *pages(): AsyncIterable<SnapshotPage> {
    this.#usable();
    const manifest = this.#newest;
    if (manifest === null) return;
    this.#readers++;
    try {
      for (const page of manifest.pages.values()) {
        yield { key: page.key, version: page.version, bytes: await this.#readPage(page) };
      }
    } finally {
      this.#readers--;
      // What a newer snapshot no longer needs was kept for this reader. A writer at work cleans when it is done.
      const idle = this.#readers === 0 && this.#writer === null && !this.#closed;
      if (idle && manifest !== this.#newest) await this.#clean();
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    await this.#writer?.abort();
    this.#closed = true;
    try {
      await this.#closeFiles();
    } catch (error) {
      throw diskError('closing the snapshots', error);
    }
  }

  #usable(): void {
    if (this.#closed) throw new StorageError('CLOSED', 'the snapshots were closed');
  }

  async #readPage(page: PageRef): Promise<Buffer> {
    this.#usable();
    if (page.length === 0) return Buffer.alloc(0);
    const path = `${this.#directory}/${packName(page.pack)}`;
    const reader = (await this.#open(page.pack, path)).reader;
    let bytes: Buffer;
    try {
      bytes = await reader.view(page.offset, page.length);
    } catch (error) {
      throw diskError(`reading ${path}`, error);
    }
    if (bytes.length === page.length && crc32(bytes) === page.crc) return bytes;
    this.#damagedKeys.add(page.key);
    this.#damage = {
      file: path,
      offset: page.offset,
      message: `a page of the newest snapshot is damaged at ${path}, byte ${page.offset}: ${ADVICE}`,
    };
    this.#log('error', this.#damage.message);
    throw new StorageError('DAMAGED', this.#damage.message);
  }

  #open(pack: number, path: string): Promise<OpenPack> {
    let opened = this.#files.get(pack);
    if (opened === undefined) {
      opened = openPack(this.#disk, path).catch((error) => {
        this.#files.delete(pack);
        throw diskError(`reading ${path}`, error);
      });
      this.#files.set(pack, opened);
    }
    return opened;
  }

  async #adopt(manifest: Manifest): Promise<void> {
    this.#newest = manifest;
    this.#damage = null;
    this.#damagedKeys.clear();
    if (this.#readers === 0) await this.#clean();
  }

  /** Deletes what the newest snapshot does not need. A failure leaves files behind, nothing worse. */
  async #clean(): Promise<void> {
    try {
      await this.#closeFiles();
      await removeOthers(this.#disk, this.#directory, this.#newest);
    } catch (error) {
      this.#log('warn', diskError('removing old snapshots', error).message);
    }
  }

  async #closeFiles(): Promise<void> {
    const opened = [...this.#files.values()];
    this.#files.clear();
    for (const one of await Promise.allSettled(opened)) {
      if (one.status === 'fulfilled') await one.value.file.close();
    }
  }
}

/** Removes all manifests and packs but those of `keep`, manifests first. */
async function removeOthers(disk: Disk, directory: string, keep: Manifest | null): Promise<void> {
  for (const name of await disk.list(directory)) {
    const manifest = numberOf('manifest', name);
    const pack = numberOf('pack', name);
    const old =
      (manifest !== null && manifest !== keep?.number) || (pack !== null && keep?.packs.has(pack) !== true);
    if (old) await disk.remove(`${directory}/${name}`);
  }
  await disk.syncDirectory(directory);
}

interface FoundSnapshots {
  readonly newest: Manifest | null;
  readonly damage: Damage | null;
  /** Highest number in any name. */
  readonly lastNumber: number;
}

async function findSnapshots(disk: Disk, directory: string): Promise<FoundSnapshots> {
  const names = await disk.list(directory);
  const numbers = names
    .map((name) => numberOf('manifest', name) ?? numberOf('pack', name) ?? 0)
    .sort((a, b) => a - b);
  const lastNumber = numbers.at(-1) ?? 0;
  const manifests = names.map((name) => numberOf('manifest', name)).filter((number) => number !== null);
  let damage: Damage | null = null;
  for (const number of manifests.sort((a, b) => b - a)) {
    const path = `${directory}/${manifestName(number)}`;
    const manifest = decodeManifest((await readFile(disk, path)) ?? Buffer.alloc(0), number);
    if (manifest === null) {
      damage ??= { file: path, offset: 0, message: `the manifest ${path} is damaged: ${ADVICE}` };
      continue;
    }
    const short = await firstShortPack(disk, directory, manifest);
    if (short === null) return { newest: manifest, damage, lastNumber };
    damage ??= {
      file: short,
      offset: 0,
      message: `${short}, a part of the newest snapshot, is missing or too short: ${ADVICE}`,
    };
  }
  return { newest: null, damage, lastNumber };
}

async function firstShortPack(disk: Disk, directory: string, manifest: Manifest): Promise<string | null> {
  for (const [number, bytes] of manifest.packs) {
    const path = `${directory}/${packName(number)}`;
    if (!(await disk.exists(path))) return path;
    const file = await disk.open(path, { create: false });
    const size = await file.size();
    await file.close();
    if (size < bytes) return path;
  }
  return null;
}

/**
 * Opens the snapshots below `directory` (made when missing). With damage nothing is deleted, `newest` is the
 * newest one that can be read, if any, and `damage` says what was found.
 */
export async function openSnapshots(
  disk: Disk,
  directory: string,
  options: SnapshotOptions,
): Promise<SnapshotStore> {
  try {
    await disk.makeDirectory(directory);
    for (const name of await disk.list(directory)) {
      if (name.endsWith(TEMPORARY)) await disk.remove(`${directory}/${name}`);
    }
    const found = await findSnapshots(disk, directory);
    // The name of the newest may be what a killed process left, with no sync behind it: durable before others go.
    await disk.syncDirectory(directory);
    if (found.damage !== null) options.log('error', found.damage.message);
    else await removeOthers(disk, directory, found.newest);
    return new PackedSnapshots(disk, directory, options, found);
  } catch (error) {
    throw diskError(`opening the snapshots in ${directory}`, error);
  }
}
