import type { Disk } from './disk.js';
import type { SnapshotStore } from './types.js';

export interface SnapshotOptions {
  readonly log: (level: 'info' | 'warn' | 'error', message: string) => void;
}

export async function openSnapshots(
  _disk: Disk,
  _directory: string,
  _options: SnapshotOptions,
): Promise<SnapshotStore> {
  throw new Error('the store follows in the next commit');
}
