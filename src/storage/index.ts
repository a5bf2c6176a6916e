export type { DataDirectory } from './data-directory.js';
export { openDataDirectory } from './data-directory.js';
export type { Disk, DiskFile, DiskLock } from './disk.js';
export type { StorageErrorCode } from './errors.js';
export { StorageError } from './errors.js';
export type { CrashOptions, DiskOperation } from './memory-disk.js';
export { MemoryDisk } from './memory-disk.js';
export type { OffHeapPayloads } from './payload-store.js';
export { createPayloadStore } from './payload-store.js';
export { realDisk } from './real-disk.js';
export type { SnapshotOptions } from './snapshots.js';
export { openSnapshots } from './snapshots.js';
export type {
  Damage,
  Identity,
  SnapshotInfo,
  SnapshotPage,
  SnapshotStore,
  SnapshotWriter,
  Wal,
  WalRecovery,
} from './types.js';
export type { WalOptions } from './wal.js';
export { openWal } from './wal.js';
