import type { Random } from '../base/random.js';
import type { Disk } from './disk.js';
import type { Wal, WalRecovery } from './types.js';

export interface WalOptions {
  /** Bytes of one segment file; 64 MiB unless told. */
  readonly segmentBytes?: number;
  /** Makes the numbers that tell this log's records from anybody's payload. */
  readonly random: Random;
  readonly log: (level: 'info' | 'warn' | 'error', message: string) => void;
}

export async function openWal(
  _disk: Disk,
  _directory: string,
  _options: WalOptions,
): Promise<{ wal: Wal; recovery: WalRecovery }> {
  throw new Error('the log follows in the next commit');
}
