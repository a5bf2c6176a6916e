import { invariant } from '../../base/invariant.js';
import { firstAtLeast } from '../../base/search.js';
import type { Pages } from '../snapshot/page.js';
import type { PayloadStore, SpillStore } from '../types.js';
import { INLINE_BLOB_BYTES } from './blob-pages.js';
import { F_FIELDS, JOBS_PER_PAGE, L_PREV, M_FIELDS, M_FN_PREV, M_TOKEN } from './fields.js';
import { JobPage, type Tally } from './page.js';
import { Spill } from './spill.js';

const CACHE = 1024;

/** An intrusive list of jobs: its links are columns of the records. */
export class JobList {
  head = 0;
  tail = 0;
  size = 0;

  /** Of the link to the job before; the link to the next one lies behind it. */
  readonly column: number;
  /** From one row to the next. */
  readonly stride: number;

  /** `inMore`: its links lie in the second parts, for jobs that have others as well. */
  constructor(readonly inMore = false) {
    this.column = inMore ? M_FN_PREV : L_PREV;
    this.stride = inMore ? M_FIELDS : F_FIELDS;
  }
}

/** The array of a page in which the list's links lie. */
function linksOf({ inMore }: JobList, page: JobPage): Float64Array {
  return inMore ? page.ownMore() : page.f;
}

/** All job records, by seq. */
export class JobTable {
  readonly #pages = new Map<number, JobPage>();
  readonly #cache: (JobPage | null)[] = new Array<JobPage | null>(CACHE).fill(null);
  /** Numbers of the pages, ascending; of those that are gone too, until they outnumber the others. */
  #order: number[] = [];
  /** Handles that a running snapshot still has to write. */
  readonly #held: number[] = [];
  #size = 0;
  readonly spill: Spill;
  readonly tally: Tally = { bytes: 0 };

  constructor(
    readonly pages: Pages,
    readonly payloads: PayloadStore,
    store: SpillStore | null = null,
  ) {
    this.spill = new Spill(pages, store);
  }

  get size(): number {
    return this.#size;
  }

  /** Numbers of the pages, ascending; of some that are gone, too. */
  get order(): readonly number[] {
    return this.#order;
  }

  /** About what the records and payloads of jobs take of memory. */
  get memoryBytes(): number {
    return this.tally.bytes + this.payloads.bytes;
  }

  /** Place in `order` of the first number that is at least this. */
  placeOf(number: number): number {
    return firstAtLeast(this.#order, number);
  }

  /** The page of this number, as it is: its jobs may be on disk. Null when there is none. */
  peek(number: number): JobPage | null {
    return this.#pages.get(number) ?? null;
  }

  /** The first page whose number is at least this, as it is; null at the end. */
  peekFrom(number: number): JobPage | null {
    const order = this.#order;
    for (let at = this.placeOf(number); at < order.length; at++) {
      const page = this.#pages.get(order[at]!);
      if (page !== undefined) return page;
    }
    return null;
  }

  /** The page, with its jobs in memory. */
  inMemory(page: JobPage): JobPage {
    if (page.spilledTo !== null) this.spill.load(page);
    return page;
  }

  /** Puts a page on disk; false where that cannot be. */
  putAway(page: JobPage): boolean {
    if (!this.spill.take(page)) return false;
    const slot = page.number & (CACHE - 1);
    if (this.#cache[slot] === page) this.#cache[slot] = null;
    return true;
  }

  /** The page of a seq; null when none of its jobs is left. */
  page(seq: number): JobPage | null {
    const number = Math.floor(seq / JOBS_PER_PAGE);
    const slot = number & (CACHE - 1);
    const cached = this.#cache[slot]!;
    if (cached !== null && cached.number === number) return cached;
    const page = this.#pages.get(number);
    if (page === undefined) return null;
    this.#cache[slot] = this.inMemory(page);
    return page;
  }

  /** The page of a job that is known to exist. */
  pageOf(seq: number): JobPage {
    const page = this.page(seq);
    invariant(page !== null, 'a job that is referred to exists', { seq });
    return page;
  }

  has(seq: number): boolean {
    const page = this.page(seq);
    return page !== null && page.row(seq) >= 0;
  }

  /** Makes room for a job; its page is touched. */
  add(seq: number): JobPage {
    let page = this.page(seq);
    if (page === null) {
      page = new JobPage(Math.floor(seq / JOBS_PER_PAGE), this.payloads, undefined, this.tally);
      this.#pages.set(page.number, page);
      if (this.#order.length === 0 || this.#order[this.#order.length - 1]! < page.number) {
        this.#order.push(page.number);
      }
      this.pages.add(page);
    } else {
      this.pages.touch(page);
    }
    page.add(seq);
    this.#size++;
    return page;
  }

  /** Drops a record and its blobs. */
  remove(seq: number, page: JobPage, row: number): void {
    this.pages.touch(page);
    for (let column = 0; column < 2; column++) {
      if (page.blob(row, column) !== 0) this.setBlob(seq, page, row, column, 0, 0);
    }
    page.remove(seq);
    this.#size--;
    if (page.count > 0) return;
    this.#pages.delete(page.number);
    this.#cache[page.number & (CACHE - 1)] = null;
    this.pages.drop(page);
    this.spill.forget(page);
    page.retire();
    if (this.#order.length > this.#pages.size * 2 + 64) {
      this.#order = this.#order.filter((number) => this.#pages.has(number));
    }
  }

  /** Puts a blob of `length` bytes (handle 0: none) in place of the one before. Column: payload or result. */
  setBlob(seq: number, page: JobPage, row: number, column: number, handle: number, length: number): void {
    const before = page.blob(row, column);
    let large = length > INLINE_BLOB_BYTES;
    if (before !== 0) {
      large ||= this.payloads.length(before) > INLINE_BLOB_BYTES;
      this.#release(before);
    }
    page.setBlob(row, column, handle);
    if (large) page.setBlobVersion((seq - page.first) >>> 4, this.pages.index);
  }

  /** A page from a snapshot; `restored` is to be called behind the last. */
  restore(page: JobPage, version: number): void {
    this.#pages.set(page.number, page);
    this.pages.restore(page, version);
    this.#size += page.count;
  }

  restored(): void {
    this.#order = Array.from(this.#pages.keys()).sort((a, b) => a - b);
  }

  /** No snapshot runs any more: what was kept for it goes. */
  releaseHeld(): void {
    for (const handle of this.#held) this.payloads.release(handle);
    this.#held.length = 0;
  }

  releaseAll(): void {
    this.releaseHeld();
    for (const page of this.#pages.values()) {
      this.spill.forget(page);
      page.releaseBlobs();
    }
  }

  push(list: JobList, seq: number, page: JobPage, row: number): void {
    const { tail, column, stride } = list;
    const links = linksOf(list, page);
    const at = row * stride + column;
    page.imageVersion = -1;
    links[at] = tail;
    links[at + 1] = 0;
    if (tail === 0) {
      list.head = seq;
    } else {
      const before = this.pageOf(tail);
      before.imageVersion = -1;
      linksOf(list, before)[before.row(tail) * stride + column + 1] = seq;
    }
    list.tail = seq;
    list.size++;
  }

  unlink(list: JobList, page: JobPage, row: number): void {
    const { column, stride } = list;
    const links = linksOf(list, page);
    const at = row * stride + column;
    const prev = links[at]!;
    const next = links[at + 1]!;
    if (prev === 0) {
      list.head = next;
    } else {
      const before = this.pageOf(prev);
      before.imageVersion = -1;
      linksOf(list, before)[before.row(prev) * stride + column + 1] = next;
    }
    if (next === 0) {
      list.tail = prev;
    } else {
      const behind = this.pageOf(next);
      behind.imageVersion = -1;
      linksOf(list, behind)[behind.row(next) * stride + column] = prev;
    }
    list.size--;
  }

  /** Token of a running job's lease. */
  token(page: JobPage, row: number): number {
    return page.more[row * M_FIELDS + M_TOKEN]!;
  }

  /** The job behind this one in the list, 0 at the end. */
  next(list: JobList, seq: number): number {
    const page = this.pageOf(seq);
    return linksOf(list, page)[page.row(seq) * list.stride + list.column + 1]!;
  }

  #release(handle: number): void {
    if (this.pages.snapshotRuns) this.#held.push(handle);
    else this.payloads.release(handle);
  }
}
