import { NO_MORE } from './page.js';
import type { JobTable } from './table.js';

/** Pages that one call looks at, and puts away at most. */
const LOOKS = 64;
const TAKES = 16;
/** Of the memory for jobs, the part that is left to the newest ones: more come behind them, and link to them. */
const NEWEST_SHARE = 4;
/** What memory or the log must have grown by for another round after one in vain: a part of all, and entries. */
const REST_PART = 16;
const REST_ENTRIES = 1_000;
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
  /** Below it goes on downwards; -1: from the newest one. */
  #down = -1;
  /** Pages that were looked at in vain since one was put away. */
  #vain = 0;
  /** After a round in vain it rests until memory or the log has grown to here. */
  #restBytes = 0;
  #restIndex = 0;

  constructor(jobs: JobTable, bytesMax: number) {
    this.#jobs = jobs;
    this.#bytesMax = bytesMax;
  }

  /** `relieve` has something to do. */
  get isOver(): boolean {
    const { spill, memoryBytes, pages } = this.#jobs;
    if (!spill.isWasteful && !(this.isTight && spill.accepts)) return false;
    return memoryBytes >= this.#restBytes || pages.index >= this.#restIndex;
  }

  /** Jobs take more memory than they should, whether the disk takes some now or not. */
  get isTight(): boolean {
    return this.#jobs.memoryBytes > this.#bytesMax;
  }

  /**
   * To be called between entries, when nobody holds views on payloads. True: it should be called again soon.
   *
   * @param all pages with jobs of which something happened of late as well
   */
  relieve(all = false): boolean {
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
      if (this.#take(this.#up, all)) takes++;
    }
    let at = (this.#down < 0 ? order.length : this.#jobs.placeOf(this.#down)) - 1;
    for (; at >= 0 && looks > 0 && takes < TAKES && this.isOver; at--, looks--) {
      this.#down = order[at]!;
      if (this.#take(this.#down, all, at <= newest)) takes++;
    }
    if (at < 0) this.#down = -1;
    this.#vain = takes > 0 ? 0 : this.#vain + LOOKS - looks;
    // Twice round: at first a page may only be noted as one in which nothing happens.
    const goesOn = this.#vain < 2 * order.length && this.isOver;
    if (!goesOn) this.#rest();
    return goesOn;
  }

  /** All pages were looked at: not again before there is a reason to expect something else of them. */
  #rest(): void {
    const isVain = this.#vain > 0 && this.isOver;
    this.#vain = 0;
    const { memoryBytes, pages } = this.#jobs;
    this.#restBytes = isVain ? memoryBytes + this.#bytesMax / REST_PART : 0;
    this.#restIndex = isVain ? pages.index + REST_ENTRIES : 0;
  }

  /** Jobs of which something happened of late are likely to be looked at again: not those that only wait. */
  #take(number: number, all: boolean, mayGo = true): boolean {
    const page = this.#jobs.peek(number);
    if (page === null) return false;
    this.#jobs.spill.tidy(page);
    if (!mayGo || !this.isTight) return false;
    const isQuiet = all || page.more === NO_MORE || page.seenVersion === page.version;
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
