import type { Clock, Timer } from '../base/clock.js';
import { StorageError } from '../storage/index.js';
import type { Log, NodeObserver } from './options.js';

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;

export interface FullDiskParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: Pick<NodeObserver, 'snapshotFailed'>;
  /** Bytes that can still be written. */
  readonly freeBytes: () => Promise<number>;
  /** The pause is over. */
  readonly again: () => void;
}

/**
 * What snapshots do about a full disk: the one at hand is given up, and the next is tried after a pause that doubles
 * each time. The log goes on meanwhile: it was there first, and its files have their size beforehand.
 */
export class FullDisk {
  readonly #parts: FullDiskParts;
  #pauseMs = FIRST_PAUSE_MS;
  #timer: Timer | null = null;

  constructor(parts: FullDiskParts) {
    this.#parts = parts;
  }

  /** True while no snapshot should be begun. */
  get pausing(): boolean {
    return this.#timer !== null;
  }

  /** False where `error` is another one. `fields` and `message` go to the log, with the free bytes. */
  struck(error: unknown, fields: object, message: string): boolean {
    if (!(error instanceof StorageError) || error.code !== 'FULL') return false;
    const { clock, log, observer, freeBytes, again } = this.#parts;
    const againMs = this.#pauseMs;
    this.#pauseMs = Math.min(againMs * 2, LONGEST_PAUSE_MS);
    this.#timer?.cancel();
    this.#timer = clock.setTimer(againMs, () => {
      this.#timer = null;
      again();
    });
    observer.snapshotFailed();
    const say = (free: number | null): void =>
      log.error({ ...fields, free, againMs, reason: error.message }, message);
    freeBytes().then(say, () => say(null));
    return true;
  }

  /** A snapshot was finished. */
  passed(): void {
    this.#pauseMs = FIRST_PAUSE_MS;
  }

  stop(): void {
    this.#timer?.cancel();
  }
}
