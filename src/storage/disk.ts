/** The disk as storage sees it. Implemented by the real one, by one in memory that crashes, and by the simulator's. */

/** Written bytes after which a large file is synced on the way: its last sync must not keep the log's waiting. */
export const SYNC_BYTES = 8 * 1024 * 1024;

export interface DiskFile {
  readonly path: string;
  /** Writes all parts one after the other at `position`. Returns when the system has them: not yet durable. */
  write(parts: readonly Uint8Array[], position: number): Promise<void>;
  /** Up to `length` bytes; fewer at the file's end. */
  read(position: number, length: number): Promise<Uint8Array>;
  /** Fills `target` before it returns, as far as the file goes: for what cannot be waited for. Returns the bytes read. */
  readNow(position: number, target: Uint8Array): number;
  /** fdatasync: what was written is on disk when it resolves. After a rejection nothing is known about it. */
  sync(): Promise<void>;
  truncate(length: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

export interface DiskLock {
  release(): Promise<void>;
}

export interface Disk {
  /** Opens for reading and writing; `create` makes the file where it is missing. */
  open(path: string, options: { create: boolean }): Promise<DiskFile>;
  exists(path: string): Promise<boolean>;
  /** Names inside the directory, sorted. */
  list(path: string): Promise<string[]>;
  /** Makes the directory and its parents where they are missing, durably. */
  makeDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Makes created, renamed and removed names in this directory durable. */
  syncDirectory(path: string): Promise<void>;
  /** One holder per path on this machine, freed by the system when the process dies. Rejects when it is held. */
  lock(path: string): Promise<DiskLock>;
  /** Bytes that can still be written below this directory. */
  freeBytes(path: string): Promise<number>;
}
