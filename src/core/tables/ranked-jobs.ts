import type { PriorityRank } from '../types.js';
import { TimerHeap } from './timer-heap.js';

const FIRST_PLACES = 4;

/** Some jobs of a function, by priority and by their order (F_ORDER) within. Node-local: derives from the records. */
export class RankedJobs {
  /** Made with the first job: most functions never have one. */
  readonly #heaps: [TimerHeap | null, TimerHeap | null, TimerHeap | null] = [null, null, null];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  count(priority: PriorityRank): number {
    return this.#heaps[priority]?.size ?? 0;
  }

  /** Seq of the first job of this priority, 0: there is none. */
  first(priority: PriorityRank): number {
    return this.#heaps[priority]?.key ?? 0;
  }

  /** Order of that job; Infinity: there is none. */
  order(priority: PriorityRank): number {
    return this.#heaps[priority]?.due ?? Number.POSITIVE_INFINITY;
  }

  /** Gives the handle by which the job is taken out again. */
  add(priority: PriorityRank, order: number, seq: number): number {
    let heap = this.#heaps[priority];
    if (heap === null) {
      heap = new TimerHeap(FIRST_PLACES);
      this.#heaps[priority] = heap;
    }
    this.#size++;
    return heap.add(order, seq);
  }

  remove(priority: PriorityRank, handle: number): void {
    this.#heaps[priority]!.remove(handle);
    this.#size--;
  }
}
