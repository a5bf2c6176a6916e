import { MalformedBytesError } from '../base/bytes.js';
import type { Core } from '../core/interface.js';
import { type SnapshotStore, StorageError } from '../storage/index.js';

/** The log or a snapshot below what was once synced cannot be trusted: this identity must never vote again. */
export class DamagedDiskError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'DamagedDiskError';
  }
}

/** The newest snapshot takes the place of the core's state. Throws DamagedDiskError; the core is useless then. */
export async function restoreNewest(core: Core, store: SnapshotStore): Promise<void> {
  const restorer = core.beginRestore();
  try {
    for await (const page of store.pages()) restorer.page(page.key, page.bytes);
    restorer.finish();
  } catch (error) {
    restorer.abandon();
    if (error instanceof StorageError && error.code === 'DAMAGED') {
      throw new DamagedDiskError(error.message, error);
    }
    if (error instanceof MalformedBytesError) {
      throw new DamagedDiskError(`the newest snapshot makes no state: ${error.message}`, error);
    }
    throw error;
  }
  const index = store.newest?.mark.index;
  if (core.appliedIndex !== index) {
    throw new DamagedDiskError(
      `the newest snapshot makes no state: it is of index ${index}, its pages of ${core.appliedIndex}`,
    );
  }
}
