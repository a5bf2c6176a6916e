/** A disk between storage and the one in memory whose calls are counted, and of which some fail. */
import type { Disk, DiskFile, MemoryDisk } from '../../src/storage/index.js';
import type { DiskOperation } from '../../src/storage/memory-disk.js';

export type Call = DiskOperation['kind'];

/**
 * `before`: without effect; of a sync nobody knows then what it covered. `after`: the effect is there, the answer is an
 * error. `half`: of a write, half of the bytes are there. `lasting`: this call and all behind it, without effect. `full`:
 * from here on no file grows any more; all else works. `passed over`: nobody is told of the error, which no disk may do.
 */
export type How = 'before' | 'after' | 'half' | 'lasting' | 'full' | 'passed over';

export interface Fault {
  /** Number of the call, from 1. */
  readonly at: number;
  readonly code: 'EIO' | 'ENOSPC';
  readonly how: How;
}

export interface Counted {
  readonly kind: Call;
  readonly path: string;
}

export class FaultyDisk {
  readonly #memory: MemoryDisk;
  readonly #fault: Fault | null;
  /** Every call in order. */
  readonly calls: Counted[] = [];
  /** The call that failed, or the first of them. */
  struck: Counted | null = null;

  constructor(memory: MemoryDisk, fault: Fault | null) {
    this.#memory = memory;
    this.#fault = fault;
  }

  /** As one process sees it. */
  mount(): Disk {
    const inner = this.#memory.mount();
    const call = <T>(kind: Call, path: string, effect: () => Promise<T>): Promise<T> =>
      this.#call(kind, path, effect);
    return {
      open: (path, options) => call('open', path, async () => this.#file(await inner.open(path, options))),
      exists: (path) => call('exists', path, () => inner.exists(path)),
      list: (path) => call('list', path, () => inner.list(path)),
      makeDirectory: (path) => call('makeDirectory', path, () => inner.makeDirectory(path)),
      rename: (from, to) => call('rename', from, () => inner.rename(from, to)),
      remove: (path) => call('remove', path, () => inner.remove(path)),
      syncDirectory: (path) => call('syncDirectory', path, () => inner.syncDirectory(path)),
      lock: (path) => call('lock', path, () => inner.lock(path)),
      freeBytes: (path) => call('freeBytes', path, () => inner.freeBytes(path)),
    };
  }

  #file(file: DiskFile): DiskFile {
    const { path } = file;
    const call = <T>(kind: Call, effect: () => Promise<T>, half?: () => Promise<unknown>): Promise<T> =>
      this.#call(kind, path, effect, half);
    return {
      path,
      write: (parts, position) =>
        call(
          'write',
          () => file.write(parts, position),
          () => {
            const bytes = Buffer.concat(parts as Uint8Array[]);
            return file.write([bytes.subarray(0, bytes.length >> 1)], position);
          },
        ),
      read: (position, length) => call('read', () => file.read(position, length)),
      readNow: (position, target) => file.readNow(position, target),
      sync: () =>
        call(
          'sync',
          () => file.sync(),
          async () => {
            this.#memory.failSync((one) => one === path);
            await file.sync().catch(() => {});
            this.#memory.failSync(null);
          },
        ),
      truncate: (length) => call('truncate', () => file.truncate(length)),
      size: () => call('size', () => file.size()),
      close: () => call('close', () => file.close()),
    };
  }

  /** `half`: what is left of an effect that failed. */
  async #call<T>(
    kind: Call,
    path: string,
    effect: () => Promise<T>,
    half?: () => Promise<unknown>,
  ): Promise<T> {
    const counted = { kind, path };
    this.calls.push(counted);
    const fault = this.#fault;
    const number = this.calls.length;
    const hit = fault !== null && (number === fault.at || (fault.how === 'lasting' && number > fault.at));
    if (!hit) return effect();
    this.struck ??= counted;
    if (fault.how === 'full') {
      this.#memory.fullAfter(0);
      return effect();
    }
    if (fault.how === 'after') await effect();
    // A sync that fails leaves its pages in doubt however it fails.
    else if (fault.how === 'half' || kind === 'sync') await half?.();
    if (fault.how === 'passed over') return undefined as T;
    throw Object.assign(new Error(`${fault.code}: ${path}`), { code: fault.code });
  }
}
