import type { FunctionState } from '../functions.js';
import type { JobTable } from '../jobs/table.js';
import type { Session } from '../sessions.js';
import type { PriorityRank } from '../types.js';

/** Where a function stands within a class. */
export interface ClassPlace {
  readonly cls: SessionClass;
  readonly local: number;
}

/**
 * Sessions that can do the same functions. Holds a heap of functions that may have waiting jobs, keyed by a lower
 * bound of (priority, order of the first job), and a queue of the sessions that can take a job, the one that waited
 * longest first. Node-local; a session whose functions have limits of their own has a class to itself.
 */
export class SessionClass {
  references = 0;
  /** Sessions that are attached, and the sum of their free credits: for views. */
  workers = 0;
  credits = 0;
  /** Sessions that can take a job, ascending by stamp. */
  head: Session | null = null;
  tail: Session | null = null;

  readonly #priority: Uint8Array;
  readonly #order: Float64Array;
  /** Place in the heap, -1 when not in it. */
  readonly #place: Int32Array;
  readonly #heap: Int32Array;
  #size = 0;
  /** Running jobs by function, where functions have limits. */
  readonly running: Uint32Array | null;
  readonly #locals: Map<number, number> | null;

  constructor(
    readonly key: string,
    readonly functions: readonly FunctionState[],
    /** 0: no limit. Null where no function has one. */
    readonly limits: Uint32Array | null,
    /** Milliseconds, 0: the job's own. Null where no function has one. */
    readonly runTimeouts: Float64Array | null,
  ) {
    const count = functions.length;
    this.#priority = new Uint8Array(count);
    this.#order = new Float64Array(count);
    this.#place = new Int32Array(count).fill(-1);
    this.#heap = new Int32Array(count);
    this.running = limits === null ? null : new Uint32Array(count);
    this.#locals =
      limits === null && runTimeouts === null ? null : new Map(functions.map((fn, local) => [fn.id, local]));
  }

  /** Number of the function here, -1 when it is none of the class's or nothing depends on it. */
  local(fn: FunctionState): number {
    return this.#locals === null ? -1 : (this.#locals.get(fn.id) ?? -1);
  }

  blocked(local: number): boolean {
    const { limits, running } = this;
    return limits !== null && running !== null && limits[local] !== 0 && running[local]! >= limits[local]!;
  }

  push(session: Session): void {
    session.prev = this.tail;
    session.next = null;
    if (this.tail === null) this.head = session;
    else this.tail.next = session;
    this.tail = session;
    session.listed = true;
  }

  unlink(session: Session): void {
    if (session.prev === null) this.head = session.next;
    else session.prev.next = session.next;
    if (session.next === null) this.tail = session.prev;
    else session.next.prev = session.prev;
    session.prev = null;
    session.next = null;
    session.listed = false;
  }

  /** The function has a waiting job with this key, maybe a better one than before. */
  raise(local: number, priority: number, order: number): void {
    let place = this.#place[local]!;
    if (place < 0) {
      place = this.#size++;
    } else if (
      !(
        priority < this.#priority[local]! ||
        (priority === this.#priority[local]! && order < this.#order[local]!)
      )
    ) {
      return;
    }
    this.#priority[local] = priority;
    this.#order[local] = order;
    this.#up(place, local);
  }

  /** The function whose first waiting job is best, null when there is none. */
  bestFunction(jobs: JobTable): FunctionState | null {
    while (this.#size > 0) {
      const local = this.#heap[0]!;
      const fn = this.functions[local]!;
      const priority: PriorityRank | -1 = this.blocked(local) ? -1 : fn.best();
      if (priority < 0) {
        this.#removeFirst();
        continue;
      }
      const order = fn.headOrder(priority as PriorityRank, jobs);
      if (this.#priority[local] === priority && this.#order[local] === order) return fn;
      this.#priority[local] = priority;
      this.#order[local] = order;
      this.#down(0, local);
    }
    return null;
  }

  #removeFirst(): void {
    this.#place[this.#heap[0]!] = -1;
    const last = this.#heap[--this.#size]!;
    if (this.#size > 0) this.#down(0, last);
  }

  #before(a: number, b: number): boolean {
    const left = this.#priority[a]!;
    const right = this.#priority[b]!;
    return left < right || (left === right && this.#order[a]! < this.#order[b]!);
  }

  #up(from: number, local: number): void {
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >>> 1;
      const other = this.#heap[parent]!;
      if (!this.#before(local, other)) break;
      this.#heap[place] = other;
      this.#place[other] = place;
      place = parent;
    }
    this.#heap[place] = local;
    this.#place[local] = place;
  }

  #down(from: number, local: number): void {
    let place = from;
    for (;;) {
      let child = place * 2 + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && this.#before(this.#heap[child + 1]!, this.#heap[child]!)) child++;
      const other = this.#heap[child]!;
      if (!this.#before(other, local)) break;
      this.#heap[place] = other;
      this.#place[other] = place;
      place = child;
    }
    this.#heap[place] = local;
    this.#place[local] = place;
  }
}
