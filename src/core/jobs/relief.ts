import { NO_MORE } from './page.js';
import type { JobTable } from './table.js';

/** Pages that one call looks at, and puts away at most. */
const LOOKS = 64;
const TAKES = 16;
/** Of the memory for jobs, the part that is left to the newest ones: more come behind them, and link to them. */
const NEWEST_SHARE = 4;
/** What may be thought of a page before any is known. */
const PAGE_BYTES = 64 * 1024;

/**
 * Keeps jobs within their memory by putting pages on disk: those far from the heads of the queues first, which are the
 * newer ones but for the very newest. So a backlog that just exceeds its memory has little on disk, and what is worked off
 * next is in memory. Looks at a few pages a call, from where it was; costs nothing while there is room.
 */
export class Relief {
  readonly #jobs: JobTable;
  readonly #bytesMax: number;
  /** Pages up to this number were looked at, if not all: newer ones are next. */
  #up = -1;
  /** Below it goes on downwards; -1: from `#up`. */
  #down = -1;

  constructor(jobs: JobTable, bytesMax: number) {
    this.#jobs = jobs;
    this.#bytesMax = bytesMax;
  }

  /** `relieve` has something to do. */
  get isOver(): boolean {
    return this.#isCrowded || this.#jobs.spill.isWasteful;
  }

  get #isCrowded(): boolean {
    return this.#jobs.memoryBytes > this.#bytesMax && this.#jobs.spill.accepts;
  }

  /** To be called between entries, when nobody holds views on payloads. True: it should be called again soon. */
  relieve(): boolean {
    if (!this.isOver) return false;
    let looks = LOOKS;
    let takes = 0;
    const { order } = this.#jobs;
    const newest = order.length - 1 - this.#newestPages();
    for (
      let at = this.#jobs.placeOf(this.#up + 1);
      at <= newest && looks > 0 && takes < TAKES;
      at++, looks--
    ) {
      this.#up = order[at]!;
      if (this.#take(this.#up)) takes++;
    }
    let at = this.#jobs.placeOf(this.#down < 0 ? this.#up + 1 : this.#down) - 1;
    for (; at >= 0 && looks > 0 && takes < TAKES && this.isOver; at--, looks--) {
      this.#down = order[at]!;
      if (this.#take(this.#down)) takes++;
    }
    if (at < 0) this.#down = -1;
    return takes > 0 && this.isOver;
  }

  /** Jobs of which something happened of late are likely to be looked at again: not those that only wait. */
  #take(number: number): boolean {
    const page = this.#jobs.peek(number);
    if (page === null) return false;
    this.#jobs.spill.tidy(page);
    if (!this.#isCrowded) return false;
    const isQuiet = page.more === NO_MORE || page.seenVersion === page.version;
    page.seenVersion = page.version;
    return isQuiet && this.#jobs.putAway(page);
  }

  #newestPages(): number {
    const { memoryBytes, order, spill } = this.#jobs;
    const inMemory = order.length - spill.pages;
    const pageBytes = inMemory <= 0 ? PAGE_BYTES : memoryBytes / inMemory;
    return 1 + Math.floor(this.#bytesMax / NEWEST_SHARE / pageBytes);
  }
}
