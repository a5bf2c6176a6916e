import type { ByteReader, ByteWriter } from '../base/bytes.js';
import { F_FIELDS, F_ORDER, SUCCEEDED } from './jobs/fields.js';
import { JobList, type JobTable } from './jobs/table.js';
import type { ClassPlace } from './matching/class.js';
import { type Pages, PlainPage } from './snapshot/page.js';
import { RankedJobs } from './tables/ranked-jobs.js';
import type { PriorityRank } from './types.js';

const FUNCTIONS_PER_PAGE = 64;

/** Totals in the order in which they are stored; names as in `QueueTotals`. */
export const TOTAL = {
  submitted: 0,
  coalesced: 1,
  started: 2,
  succeeded: 3,
  failedAttempts: 4,
  failed: 5,
  retried: 6,
  cancelled: 7,
  expired: 8,
  leasesLost: 9,
} as const;
const TOTALS = 10;

/** A function of a namespace and its queue. */
export class FunctionState {
  paused = false;
  /** Dropped: unseen, until a sweep has removed its ended jobs and its id is free. */
  dropped = false;
  /** Jobs that have not ended at most, by the priority that is submitted; 0: no limit. Replicated, as `paused` is. */
  jobsMax: readonly [number, number, number] = [0, 0, 0];
  /** Replicated; whoever changes one touches the page. */
  readonly totals = new Float64Array(TOTALS);
  /** Jobs by state, derived from the records. */
  readonly counts = new Float64Array(8);
  /** Waiting jobs by priority, oldest first: ascending in F_ORDER. */
  readonly waiting: readonly [JobList, JobList, JobList] = [new JobList(), new JobList(), new JobList()];
  /**
   * Jobs that came back from sessions for which they were reserved, to their place among those of `waiting`, by F_ORDER: no
   * list is searched for it. A restore finds them in `waiting`.
   */
  readonly returned = new RankedJobs();
  /** Queued jobs that sessions have and did not begin yet. */
  readonly reserved = new RankedJobs();
  /** Jobs that wait for their time. */
  readonly scheduled = new JobList();
  /** Ended jobs by state, from `SUCCEEDED` on: ascending in F_ORDER, as `scheduled` is. */
  readonly ended: readonly JobList[] = [0, 1, 2, 3].map(() => new JobList(true));
  /** Jobs that views last found to be first, and since when they wait (wall ms). Node-local. */
  readonly firstSeen = new Float64Array(12);
  /** Classes of sessions that can do this function. Node-local, order without meaning. */
  readonly classes: ClassPlace[] = [];

  constructor(
    readonly id: number,
    readonly namespace: string,
    readonly name: string,
    readonly page: FunctionPage,
  ) {}

  /** Queued jobs that no session has. */
  get waitingCount(): number {
    return this.waiting[0].size + this.waiting[1].size + this.waiting[2].size + this.returned.size;
  }

  /** Queued jobs of a priority, as everybody outside sees them. */
  queuedCount(priority: PriorityRank): number {
    return this.waiting[priority].size + this.returned.count(priority) + this.reserved.count(priority);
  }

  /** Jobs that have not ended. */
  get live(): number {
    return this.counts[0]! + this.counts[1]! + this.counts[2]!;
  }

  endedList(state: number): JobList {
    return this.ended[state - SUCCEEDED]!;
  }

  /** Best priority that has a waiting job, -1 for none; a paused queue offers none. */
  best(): PriorityRank | -1 {
    if (this.paused) return -1;
    const { waiting, returned } = this;
    if (returned.size > 0) {
      for (const priority of [0, 1, 2] as const) {
        if (returned.count(priority) > 0 || waiting[priority].size > 0) return priority;
      }
    }
    return waiting[0].size > 0 ? 0 : waiting[1].size > 0 ? 1 : waiting[2].size > 0 ? 2 : -1;
  }

  /** Seq of the first waiting job of a priority, 0: none. */
  head(priority: PriorityRank, jobs: JobTable): number {
    const { head } = this.waiting[priority];
    if (this.returned.count(priority) === 0) return head;
    // What came back before a restore is in the list.
    const listed = head === 0 ? Number.POSITIVE_INFINITY : orderOf(jobs, head);
    return listed < this.returned.order(priority) ? head : this.returned.first(priority);
  }

  headOrder(priority: PriorityRank, jobs: JobTable): number {
    return orderOf(jobs, this.head(priority, jobs));
  }
}

function orderOf(jobs: JobTable, seq: number): number {
  const page = jobs.pageOf(seq);
  return page.f[page.row(seq) * F_FIELDS + F_ORDER]!;
}

class FunctionPage extends PlainPage {
  /** Ascending by id. */
  readonly functions: FunctionState[] = [];

  constructor(readonly number: number) {
    super(`functions/${number}`);
  }

  override encode(writer: ByteWriter): void {
    writer.u32(this.functions.length);
    for (const fn of this.functions) {
      writer.f64(fn.id);
      writer.string(fn.namespace);
      writer.string(fn.name);
      writer.u8((fn.paused ? 1 : 0) | (fn.dropped ? 2 : 0));
      for (const limit of fn.jobsMax) writer.f64(limit);
      for (const total of fn.totals) writer.f64(total);
    }
  }
}

/**
 * All functions of all namespaces; a function exists from its first use until it is dropped. Ids count from 1; a new
 * function gets the smallest that is free, so that which ones are taken says all.
 */
export class FunctionTable {
  readonly #pages: Pages;
  readonly #byName = new Map<string, Map<string, FunctionState>>();
  /** By id minus one; null where the id is free. */
  readonly #byId: (FunctionState | null)[] = [];
  /** Free ids below the greatest one that was given out, descending: the smallest is taken first. */
  readonly #free: number[] = [];
  readonly #functionPages = new Map<number, FunctionPage>();

  constructor(pages: Pages) {
    this.#pages = pages;
  }

  /** Ids in use: dropped functions count until they are gone. */
  get size(): number {
    return this.#byId.length - this.#free.length;
  }

  find(namespace: string, name: string): FunctionState | null {
    return this.#byName.get(namespace)?.get(name) ?? null;
  }

  byId(id: number): FunctionState {
    return this.#byId[id - 1]!;
  }

  /** Null where the id is free. */
  get(id: number): FunctionState | null {
    return this.#byId[id - 1] ?? null;
  }

  /** Those that were not dropped, ascending by id. */
  all(): readonly FunctionState[] {
    return this.#byId.filter((fn) => fn !== null && !fn.dropped) as FunctionState[];
  }

  /** The caller has looked whether it exists and whether the limit allows one more. */
  create(namespace: string, name: string): FunctionState {
    const id = this.#free.pop() ?? this.#byId.length + 1;
    const page = this.#page(id);
    if (page.functions.length > 0) this.#pages.touch(page);
    else this.#pages.add(page);
    return this.#insert(new FunctionState(id, namespace, name, page));
  }

  /** The name is free from now on. Nothing but ended jobs may refer to the function. */
  drop(fn: FunctionState): void {
    this.#pages.touch(fn.page);
    fn.dropped = true;
    this.#unname(fn);
  }

  /** Nothing refers to the dropped function any more: its id is free. */
  free(fn: FunctionState): void {
    const { id, page } = fn;
    this.#pages.touch(page);
    page.functions.splice(page.functions.indexOf(fn), 1);
    this.#byId[id - 1] = null;
    const free = this.#free;
    let at = free.length;
    while (at > 0 && free[at - 1]! < id) at--;
    free.splice(at, 0, id);
    if (page.functions.length > 0) return;
    this.#functionPages.delete(page.number);
    this.#pages.drop(page);
  }

  restore(number: number, reader: ByteReader, version: number): void {
    const page = this.#page(number * FUNCTIONS_PER_PAGE + 1);
    this.#pages.restore(page, version);
    for (let left = reader.u32(); left > 0; left--) {
      const fn = new FunctionState(reader.f64(), reader.string(), reader.string(), page);
      const flags = reader.u8();
      fn.paused = (flags & 1) !== 0;
      fn.dropped = (flags & 2) !== 0;
      fn.jobsMax = [reader.f64(), reader.f64(), reader.f64()];
      for (let i = 0; i < TOTALS; i++) fn.totals[i] = reader.f64();
      this.#insert(fn);
    }
  }

  /** To be called behind the last page. */
  restored(): void {
    for (let at = this.#byId.length - 1; at >= 0; at--) {
      if (this.#byId[at] === null) this.#free.push(at + 1);
    }
  }

  #insert(fn: FunctionState): FunctionState {
    const { id, namespace, name, page } = fn;
    const at = page.functions.findIndex((other) => other.id > id);
    page.functions.splice(at < 0 ? page.functions.length : at, 0, fn);
    while (this.#byId.length < id) this.#byId.push(null);
    this.#byId[id - 1] = fn;
    if (fn.dropped) return fn;
    let names = this.#byName.get(namespace);
    if (names === undefined) {
      names = new Map();
      this.#byName.set(namespace, names);
    }
    names.set(name, fn);
    return fn;
  }

  #unname({ namespace, name }: FunctionState): void {
    const names = this.#byName.get(namespace)!;
    names.delete(name);
    if (names.size === 0) this.#byName.delete(namespace);
  }

  #page(id: number): FunctionPage {
    const number = Math.floor((id - 1) / FUNCTIONS_PER_PAGE);
    let page = this.#functionPages.get(number);
    if (page === undefined) {
      page = new FunctionPage(number);
      this.#functionPages.set(number, page);
    }
    return page;
  }
}
