import type { Random } from '../base/random.js';
import type { Disk, DiskFile, DiskLock } from './disk.js';
import { StorageError } from './errors.js';
import { MemoryFile, type Pieces, type UnsyncedWrite } from './memory-file.js';

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

interface NameChange {
  readonly removed: string | null;
  readonly added: string | null;
  readonly file: MemoryFile;
}

/** Changes of names that one operation made, not yet durable by `syncDirectory`: all of them survive a crash, or none. */
type NameChanges = readonly NameChange[];

/** What a power loss would find undecided, for `crashKeeping`. */
export interface UnsyncedChanges {
  /** One description per change of names that may survive or not, e.g. `/d: -f.tmp +f`. */
  readonly names: readonly string[];
  readonly files: readonly { readonly path: string; readonly writes: readonly UnsyncedWrite[] }[];
}

/** What of it survives, in the same order. */
export interface Survivors {
  readonly names: readonly boolean[];
  readonly files: readonly (readonly Pieces[])[];
}

/** `open` as well: it may make the file. */
const CHANGING: ReadonlySet<DiskOperation['kind']> = new Set([
  'open',
  'makeDirectory',
  'rename',
  'remove',
  'syncDirectory',
  'write',
  'sync',
  'truncate',
]);

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
 * Both void every open file, lock and mount: the former process can no longer touch anything.
 */
export class MemoryDisk implements Disk {
  /** Awaited before each operation takes effect: a simulator delays it here, or crashes the disk. */
  before: ((operation: DiskOperation) => Promise<void> | void) | null = null;

  /** Counts the operations that changed content, durability or names. */
  changes = 0;

  /** Counts the writes that found no room. */
  refused = 0;

  readonly #names = new Map<string, MemoryFile>();
  readonly #durableNames = new Map<string, MemoryFile>();
  readonly #folders = new Set<string>(['/']);
  readonly #pending = new Map<string, NameChanges[]>();
  readonly #locks = new Set<string>();
  #life = 0;
  #failing: ((path: string) => boolean) | null = null;
  #room = Number.POSITIVE_INFINITY;
  #lastWritten: MemoryFile | null = null;
  /** Reads that did not wait, over all lives. */
  readonly readsNow = new Map<string, number>();

  /** Power loss. Unsynced content and names survive by chance, drawn from `random`. Returns the bytes that were lost. */
  crash(options: CrashOptions): number {
    const { random } = options;
    this.stop();
    for (const changes of this.#pending.values()) {
      for (const change of changes) if (random.below(2) === 0) applyChanges(this.#durableNames, change);
    }
    const files = new Set([...this.#durableNames.values()]);
    let lost = 0;
    for (const file of files) lost += file.crash(random, options.tear === true && file === this.#lastWritten);
    this.#fallBack();
    return lost;
  }

  /** All that a crash at this moment may keep or lose, in an order that only this moment gives. */
  unsynced(): UnsyncedChanges {
    const names = [...this.#pending].flatMap(([folder, list]) =>
      list.map((changes) => `${folder}: ${changes.map(described).join(', ')}`),
    );
    const files = this.#unsyncedFiles().map(([file, path]) => ({ path, writes: file.unsynced }));
    return { names, files };
  }

  /** As `crash`, but `survivors` decides, not chance. */
  crashKeeping(survivors: Survivors): void {
    this.stop();
    this.#unsyncedFiles().forEach(([file], at) => {
      file.crashKeeping(survivors.files[at] ?? []);
    });
    const changes = [...this.#pending.values()].flat();
    changes.forEach((change, at) => {
      if (survivors.names[at] === true) applyChanges(this.#durableNames, change);
    });
    this.#fallBack();
  }

  /** A disk that is as this one is now, without hook, faults and holders, and goes its own way. */
  copy(): MemoryDisk {
    const copy = new MemoryDisk();
    const files = new Map<MemoryFile, MemoryFile>();
    const copyOf = (file: MemoryFile): MemoryFile => {
      const known = files.get(file) ?? file.copy();
      files.set(file, known);
      return known;
    };
    for (const [path, file] of this.#names) copy.#names.set(path, copyOf(file));
    for (const [path, file] of this.#durableNames) copy.#durableNames.set(path, copyOf(file));
    for (const folder of this.#folders) copy.#folders.add(folder);
    for (const [folder, list] of this.#pending) {
      const copied = list.map((changes) =>
        changes.map((change) => ({ ...change, file: copyOf(change.file) })),
      );
      copy.#pending.set(folder, copied);
    }
    copy.#room = this.#room;
    return copy;
  }

  /** The process dies, the machine goes on: nothing written is lost, nothing becomes durable. */
  stop(): void {
    this.#life++;
    this.#locks.clear();
  }

  /** From now on `sync` of the matching files rejects, and what it should have covered stays in doubt; null ends that. */
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

  /** True while something was written that no sync has covered. */
  get hasUnsynced(): boolean {
    for (const file of this.#names.values()) if (file.hasUnsynced) return true;
    return false;
  }

  /** Bytes of all files. */
  get bytes(): number {
    let bytes = 0;
    for (const file of this.#names.values()) bytes += file.size;
    return bytes;
  }

  /**
   * The disk as one process sees it, until the next `crash` or `stop`: then everything rejects. Give each node of a
   * simulation its own, or work that a dead one had begun goes on.
   */
  mount(): Disk {
    const life = this.#life;
    const perform = <T>(kind: DiskOperation['kind'], path: string, effect: () => T): Promise<T> =>
      this.#perform(kind, path, 0, life, effect);
    return {
      open: (path, options) =>
        perform('open', path, () => this.#handle(path, this.#openFile(path, options.create), life)),
      exists: (path) => perform('exists', path, () => this.#names.has(path) || this.#folders.has(path)),
      list: (path) => perform('list', path, () => this.#list(path)),
      // Durable at once: losing a whole directory would lose nothing that its files' names do not cover.
      makeDirectory: (path) => perform('makeDirectory', path, () => this.#makeFolders(path)),
      rename: (from, to) => perform('rename', from, () => this.#rename(from, to)),
      remove: (path) =>
        perform('remove', path, () =>
          this.#change(folderOf(path), [{ removed: path, added: null, file: this.#fileAt(path) }]),
        ),
      syncDirectory: (path) => perform('syncDirectory', path, () => this.#syncNames(path)),
      lock: (path) => perform('lock', path, () => this.#takeLock(path, life)),
      freeBytes: (path) => perform('freeBytes', path, () => Math.min(this.#room, Number.MAX_SAFE_INTEGER)),
    };
  }

  open(path: string, options: { create: boolean }): Promise<DiskFile> {
    return this.mount().open(path, options);
  }

  exists(path: string): Promise<boolean> {
    return this.mount().exists(path);
  }

  list(path: string): Promise<string[]> {
    return this.mount().list(path);
  }

  makeDirectory(path: string): Promise<void> {
    return this.mount().makeDirectory(path);
  }

  rename(from: string, to: string): Promise<void> {
    return this.mount().rename(from, to);
  }

  remove(path: string): Promise<void> {
    return this.mount().remove(path);
  }

  syncDirectory(path: string): Promise<void> {
    return this.mount().syncDirectory(path);
  }

  lock(path: string): Promise<DiskLock> {
    return this.mount().lock(path);
  }

  freeBytes(path: string): Promise<number> {
    return this.mount().freeBytes(path);
  }

  /** Only what is durable is there, the names at last. */
  #fallBack(): void {
    this.#pending.clear();
    this.#lastWritten = null;
    this.#names.clear();
    for (const [path, file] of this.#durableNames) {
      this.#names.set(path, file);
      this.#makeFolders(folderOf(path));
    }
  }

  /** Files that hold something unsynced, by a name that they have or had; those without any are lost anyway. */
  #unsyncedFiles(): [MemoryFile, string][] {
    const files = new Map<MemoryFile, string>();
    const pending = [...this.#pending.values()].flat(2);
    for (const { file, added, removed } of pending) files.set(file, added ?? removed ?? '');
    for (const [path, file] of [...this.#durableNames, ...this.#names]) files.set(file, path);
    return [...files].filter(([file]) => file.hasUnsynced);
  }

  #openFile(path: string, create: boolean): MemoryFile {
    let file = this.#names.get(path);
    if (file === undefined) {
      if (!create || !this.#folders.has(folderOf(path))) throw systemError('ENOENT', path);
      file = new MemoryFile();
      this.#change(folderOf(path), [{ removed: null, added: path, file }]);
    }
    return file;
  }

  #makeFolders(path: string): void {
    for (let at = path; !this.#folders.has(at); at = folderOf(at)) this.#folders.add(at);
  }

  /** A folder takes along what is in it; names inside that were not durable yet become so with it. */
  #rename(from: string, to: string): void {
    if (!this.#folders.has(folderOf(to))) throw systemError('ENOENT', to);
    if (!this.#folders.has(from)) {
      this.#change(folderOf(to), [{ removed: from, added: to, file: this.#fileAt(from) }]);
      return;
    }
    const inside = `${from}/`;
    if (this.#folders.has(to) && this.#list(to).length > 0) throw systemError('ENOTEMPTY', to);
    for (const folder of [...this.#folders]) {
      if (folder !== from && !folder.startsWith(inside)) continue;
      this.#syncNames(folder);
      this.#folders.delete(folder);
      this.#makeFolders(to + folder.slice(from.length));
    }
    const moved = [...this.#names].filter(([path]) => path.startsWith(inside));
    this.#change(
      folderOf(to),
      moved.map(([path, file]) => ({ removed: path, added: to + path.slice(from.length), file })),
    );
  }

  #list(path: string): string[] {
    if (!this.#folders.has(path)) throw systemError('ENOENT', path);
    const inside = [...this.#names.keys(), ...this.#folders].filter(
      (name) => name !== path && folderOf(name) === path,
    );
    return inside.map((name) => name.slice(name.lastIndexOf('/') + 1)).sort();
  }

  #syncNames(path: string): void {
    if (!this.#folders.has(path)) throw systemError('ENOENT', path);
    for (const changes of this.#pending.get(path) ?? []) applyChanges(this.#durableNames, changes);
    this.#pending.delete(path);
  }

  #takeLock(path: string, life: number): DiskLock {
    if (this.#locks.has(path)) throw new StorageError('LOCKED', `${path} is in use by another process`);
    this.#locks.add(path);
    return {
      release: async () => {
        if (life === this.#life) this.#locks.delete(path);
      },
    };
  }

  #handle(path: string, file: MemoryFile, life: number): DiskFile {
    let open = true;
    const perform = <T>(kind: DiskOperation['kind'], bytes: number, effect: () => T): Promise<T> => {
      if (!open) return Promise.reject(systemError('EBADF', path));
      return this.#perform(kind, path, bytes, life, effect);
    };
    return {
      path,
      write: (parts, position) => {
        const bytes = Buffer.concat(parts as Uint8Array[]);
        return perform('write', bytes.length, () => this.#write(path, file, bytes, position));
      },
      read: (position, length) => perform('read', length, () => file.read(position, length)),
      readNow: (position, target) => {
        if (!open) throw systemError('EBADF', path);
        if (life !== this.#life) throw systemError('ESHUTDOWN', path);
        const folder = folderOf(path);
        this.readsNow.set(folder, (this.readsNow.get(folder) ?? 0) + 1);
        return file.readInto(position, target);
      },
      sync: () =>
        perform('sync', 0, () => {
          if (this.#failing?.(path) === true) {
            file.failSync();
            throw systemError('EIO', path);
          }
          file.sync();
        }),
      truncate: (length) =>
        perform('truncate', 0, () => {
          this.#room += Math.max(0, file.size - length);
          file.truncate(length);
        }),
      size: () => perform('size', 0, () => file.size),
      close: () =>
        perform('close', 0, () => {
          open = false;
        }),
    };
  }

  #write(path: string, file: MemoryFile, bytes: Buffer, position: number): void {
    const growth = Math.max(0, position + bytes.length - file.size);
    const missing = Math.max(0, growth - this.#room);
    this.#room -= growth - missing;
    // As a system does: what still fits is written before the error.
    if (missing < bytes.length) file.write(bytes.subarray(0, bytes.length - missing), position);
    this.#lastWritten = file;
    if (missing === 0) return;
    this.refused++;
    throw systemError('ENOSPC', path);
  }

  /** Passes the simulator's hook, then takes effect at once, unless whoever asked is dead by then. */
  async #perform<T>(
    kind: DiskOperation['kind'],
    path: string,
    bytes: number,
    life: number,
    effect: () => T,
  ): Promise<T> {
    if (life !== this.#life) throw systemError('ESHUTDOWN', path);
    if (this.before !== null) await this.before({ kind, path, bytes });
    if (life !== this.#life) throw systemError('ESHUTDOWN', path);
    if (CHANGING.has(kind)) this.changes++;
    return effect();
  }

  #change(folder: string, changes: NameChanges): void {
    applyChanges(this.#names, changes);
    for (const { added, file } of changes) {
      if (added === null && !this.#keepsName(file)) this.#room += file.size;
    }
    const pending = this.#pending.get(folder);
    if (pending === undefined) this.#pending.set(folder, [changes]);
    else pending.push(changes);
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

function described({ removed, added }: NameChange): string {
  const name = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
  return [removed === null ? '' : `-${name(removed)}`, added === null ? '' : `+${name(added)}`]
    .join(' ')
    .trim();
}

function applyChanges(names: Map<string, MemoryFile>, changes: NameChanges): void {
  for (const { removed, added, file } of changes) {
    if (removed !== null && names.get(removed) === file) names.delete(removed);
    if (added !== null) names.set(added, file);
  }
}
