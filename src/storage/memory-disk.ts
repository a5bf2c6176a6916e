import type { Random } from '../base/random.js';
import type { Disk, DiskFile, DiskLock } from './disk.js';
import { StorageError } from './errors.js';
import { MemoryFile } from './memory-file.js';

/** What is about to happen, for `MemoryDisk.before`. */
export interface DiskOperation {
  readonly kind:
    | 'open'
    | 'exists'
    | 'list'
    | 'makeDirectory'
    | 'rename'
    | 'remove'
    | 'syncDirectory'
    | 'lock'
    | 'freeBytes'
    | 'write'
    | 'read'
    | 'sync'
    | 'truncate'
    | 'size'
    | 'close';
  readonly path: string;
  /** Bytes written or asked for; 0 otherwise. */
  readonly bytes: number;
}

export interface CrashOptions {
  readonly random: Random;
  /** The last write may end in the middle of a sector. */
  readonly tear?: boolean;
}

/** A change of names not yet made durable by `syncDirectory`. */
interface NameChange {
  readonly removed: string | null;
  readonly added: string | null;
  readonly file: MemoryFile;
}

/** An error as the system gives it. */
function systemError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}

function folderOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash <= 0 ? '/' : path.slice(0, slash);
}

/**
 * A disk in memory that fails like a real one. What was written and what is durable are kept apart: `crash` keeps
 * any subset of the unsynced sectors and of the unsynced names, `stop` ends the process alone and loses nothing.
 * Both void every open file and lock: the former process can no longer touch anything.
 */
export class MemoryDisk implements Disk {
  /** Awaited before each operation takes effect: a simulator delays it here, or crashes the disk. */
  before: ((operation: DiskOperation) => Promise<void> | void) | null = null;

  readonly #names = new Map<string, MemoryFile>();
  readonly #durableNames = new Map<string, MemoryFile>();
  readonly #folders = new Set<string>(['/']);
  readonly #pending = new Map<string, NameChange[]>();
  readonly #locks = new Set<string>();
  #life = 0;
  #failing: ((path: string) => boolean) | null = null;
  #room = Number.POSITIVE_INFINITY;
  #lastWritten: MemoryFile | null = null;

  /** Power loss. Unsynced content and names survive by chance, drawn from `random`. */
  crash(options: CrashOptions): void {
    const { random } = options;
    this.stop();
    for (const changes of this.#pending.values()) {
      for (const change of changes) if (random.below(2) === 0) applyChange(this.#durableNames, change);
    }
    this.#pending.clear();
    const files = new Set([...this.#durableNames.values()]);
    for (const file of files) file.crash(random, options.tear === true && file === this.#lastWritten);
    this.#lastWritten = null;
    this.#names.clear();
    for (const [path, file] of this.#durableNames) this.#names.set(path, file);
  }

  /** The process dies, the machine goes on: nothing written is lost, nothing becomes durable. */
  stop(): void {
    this.#life++;
    this.#locks.clear();
  }

  /** From now on `sync` of the matching files rejects; null ends that. */
  failSync(matches: ((path: string) => boolean) | null): void {
    this.#failing = matches;
  }

  /** Lets files grow by so many bytes in all from now on; infinity ends the limit. */
  fullAfter(bytes: number): void {
    this.#room = bytes;
  }

  /** Rot: turns one bit around, durably. */
  flipBit(path: string, offset: number, bit = 0): void {
    this.#fileAt(path).flipBit(offset, bit);
  }

  /** Content as the running system sees it. */
  contentOf(path: string): Buffer {
    return this.#fileAt(path).content();
  }

  /** All paths of files, sorted. */
  paths(): string[] {
    return [...this.#names.keys()].sort();
  }

  /** Removes a file as an accident would, durably. */
  lose(path: string): void {
    this.#fileAt(path);
    this.#names.delete(path);
    this.#durableNames.delete(path);
  }

  /** Bytes of all files. */
  get bytes(): number {
    let bytes = 0;
    for (const file of this.#names.values()) bytes += file.size;
    return bytes;
  }

  async open(path: string, options: { create: boolean }): Promise<DiskFile> {
    await this.#step('open', path);
    let file = this.#names.get(path);
    if (file === undefined) {
      if (!options.create || !this.#folders.has(folderOf(path))) throw systemError('ENOENT', path);
      file = new MemoryFile();
      this.#change(folderOf(path), { removed: null, added: path, file });
    }
    return this.#handle(path, file);
  }

  async exists(path: string): Promise<boolean> {
    await this.#step('exists', path);
    return this.#names.has(path) || this.#folders.has(path);
  }

  async list(path: string): Promise<string[]> {
    await this.#step('list', path);
    if (!this.#folders.has(path)) throw systemError('ENOENT', path);
    const inside = [...this.#names.keys(), ...this.#folders].filter(
      (name) => name !== path && folderOf(name) === path,
    );
    return inside.map((name) => name.slice(name.lastIndexOf('/') + 1)).sort();
  }

  /** Directories are durable at once: losing a whole one would lose nothing that its files' names do not cover. */
  async makeDirectory(path: string): Promise<void> {
    await this.#step('makeDirectory', path);
    for (let at = path; !this.#folders.has(at); at = folderOf(at)) this.#folders.add(at);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#step('rename', from);
    if (!this.#folders.has(folderOf(to))) throw systemError('ENOENT', to);
    this.#change(folderOf(to), { removed: from, added: to, file: this.#fileAt(from) });
  }

  async remove(path: string): Promise<void> {
    await this.#step('remove', path);
    this.#change(folderOf(path), { removed: path, added: null, file: this.#fileAt(path) });
  }

  async syncDirectory(path: string): Promise<void> {
    await this.#step('syncDirectory', path);
    if (!this.#folders.has(path)) throw systemError('ENOENT', path);
    for (const change of this.#pending.get(path) ?? []) applyChange(this.#durableNames, change);
    this.#pending.delete(path);
  }

  async lock(path: string): Promise<DiskLock> {
    await this.#step('lock', path);
    if (this.#locks.has(path)) throw new StorageError('LOCKED', `${path} is in use by another process`);
    this.#locks.add(path);
    const life = this.#life;
    return {
      release: async () => {
        if (life === this.#life) this.#locks.delete(path);
      },
    };
  }

  async freeBytes(path: string): Promise<number> {
    await this.#step('freeBytes', path);
    return Math.min(this.#room, Number.MAX_SAFE_INTEGER);
  }

  #handle(path: string, file: MemoryFile): DiskFile {
    const life = this.#life;
    let open = true;
    const step = async (kind: DiskOperation['kind'], bytes = 0): Promise<void> => {
      if (!open) throw systemError('EBADF', path);
      await this.#step(kind, path, bytes, life);
    };
    return {
      path,
      write: async (parts, position) => {
        const bytes = Buffer.concat(parts as Uint8Array[]);
        await step('write', bytes.length);
        const growth = Math.max(0, position + bytes.length - file.size);
        const missing = Math.max(0, growth - this.#room);
        this.#room -= growth - missing;
        // As a system does: what still fits is written before the error.
        if (missing < bytes.length) file.write(bytes.subarray(0, bytes.length - missing), position);
        this.#lastWritten = file;
        if (missing > 0) throw systemError('ENOSPC', path);
      },
      read: async (position, length) => {
        await step('read', length);
        return file.read(position, length);
      },
      sync: async () => {
        await step('sync');
        if (this.#failing?.(path) === true) throw systemError('EIO', path);
        file.sync();
      },
      truncate: async (length) => {
        await step('truncate');
        this.#room += Math.max(0, file.size - length);
        file.truncate(length);
      },
      size: async () => {
        await step('size');
        return file.size;
      },
      close: async () => {
        await step('close');
        open = false;
      },
    };
  }

  /** Passes the simulator's hook, and refuses those who belong to an earlier life. */
  async #step(kind: DiskOperation['kind'], path: string, bytes = 0, life = this.#life): Promise<void> {
    if (this.before !== null) await this.before({ kind, path, bytes });
    if (life !== this.#life) throw systemError('ESHUTDOWN', path);
  }

  #change(folder: string, change: NameChange): void {
    applyChange(this.#names, change);
    if (change.added === null && !this.#keepsName(change.file)) this.#room += change.file.size;
    const pending = this.#pending.get(folder);
    if (pending === undefined) this.#pending.set(folder, [change]);
    else pending.push(change);
  }

  #keepsName(file: MemoryFile): boolean {
    for (const other of this.#names.values()) if (other === file) return true;
    return false;
  }

  #fileAt(path: string): MemoryFile {
    const file = this.#names.get(path);
    if (file === undefined) throw systemError('ENOENT', path);
    return file;
  }
}

function applyChange(names: Map<string, MemoryFile>, change: NameChange): void {
  if (change.removed !== null && names.get(change.removed) === change.file) names.delete(change.removed);
  if (change.added !== null) names.set(change.added, change.file);
}
