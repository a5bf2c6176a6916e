import { MalformedBytesError } from '../base/bytes.js';
import type { Clock } from '../base/clock.js';
import type { Core } from '../core/interface.js';
import { type OpenSpill, type SnapshotStore, StorageError } from '../storage/index.js';

/** Others get their turn after so long: a state of millions of jobs takes seconds. */
const SLICE_MS = 20;

/** The log or a snapshot below what was once synced cannot be trusted: this identity must never vote again. */
export class DamagedDiskError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'DamagedDiskError';
  }
}

export interface RestoringParts {
  readonly core: Core;
  readonly store: SnapshotStore;
  readonly spill: OpenSpill;
  readonly clock: Clock;
}

/** The newest snapshot takes the place of the core's state. Throws DamagedDiskError; the core is useless then. */
export async function restoreNewest({ core, store, spill, clock }: RestoringParts): Promise<void> {
  const restorer = core.beginRestore();
  let sliceEnd = clock.monotonicMs() + SLICE_MS;
  /** What memory has no room for must reach the disk before more comes. */
  const pause = async (): Promise<void> => {
    if (clock.monotonicMs() >= sliceEnd) {
      await new Promise<void>((resolve) => clock.defer(resolve));
      sliceEnd = clock.monotonicMs() + SLICE_MS;
    }
    if (!spill.accepts) await spill.room();
  };
  try {
    for await (const page of store.pages()) {
      restorer.page(page.key, page.bytes);
      await pause();
    }
    for (const _ of restorer.steps()) await pause();
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
