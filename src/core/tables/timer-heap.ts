import { invariant } from '../../base/invariant.js';

/**
 * Timers in (due, key) order. A key is a job's seq, or negative: a session's (elapsed) or a schedule's (wall). `add`
 * gives a handle by which the timer is taken out again, so nothing stale stays behind. Node-local: what it holds
 * derives from the records.
 */
export class TimerHeap {
  /** By handle. */
  #due: Float64Array;
  #key: Float64Array;
  #place: Uint32Array;
  /** Handles in heap order; behind `#size` the free ones. Handle 0 is never given out. */
  #heap: Uint32Array;
  #size = 0;
  #handles = 1;

  /** `capacity`: places at the beginning, a power of two. */
  constructor(capacity = 64) {
    this.#due = new Float64Array(capacity);
    this.#key = new Float64Array(capacity);
    this.#place = new Uint32Array(capacity);
    this.#heap = new Uint32Array(capacity);
  }

  get size(): number {
    return this.#size;
  }

  /** Infinity when empty. */
  get due(): number {
    return this.#size === 0 ? Number.POSITIVE_INFINITY : this.#due[this.#heap[0]!]!;
  }

  /** Key of the first timer; 0 when empty. */
  get key(): number {
    return this.#size === 0 ? 0 : this.#key[this.#heap[0]!]!;
  }

  add(due: number, key: number): number {
    let handle: number;
    if (this.#size < this.#handles - 1) {
      handle = this.#heap[this.#size]!;
    } else {
      handle = this.#handles++;
      if (handle >= this.#due.length) this.#grow();
    }
    this.#due[handle] = due;
    this.#key[handle] = key;
    this.#up(this.#size++, handle);
    return handle;
  }

  remove(handle: number): void {
    const place = this.#place[handle]!;
    invariant(handle > 0 && place < this.#size && this.#heap[place] === handle, 'a removed timer is set', {
      handle,
    });
    const last = this.#heap[--this.#size]!;
    this.#heap[this.#size] = handle;
    if (last === handle) return;
    this.#up(place, last);
    if (this.#place[last] === place) this.#down(place, last);
  }

  #before(a: number, b: number): boolean {
    const left = this.#due[a]!;
    const right = this.#due[b]!;
    return left < right || (left === right && this.#key[a]! < this.#key[b]!);
  }

  #up(from: number, handle: number): void {
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >>> 1;
      const other = this.#heap[parent]!;
      if (!this.#before(handle, other)) break;
      this.#heap[place] = other;
      this.#place[other] = place;
      place = parent;
    }
    this.#heap[place] = handle;
    this.#place[handle] = place;
  }

  #down(from: number, handle: number): void {
    let place = from;
    for (;;) {
      let child = place * 2 + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && this.#before(this.#heap[child + 1]!, this.#heap[child]!)) child++;
      const other = this.#heap[child]!;
      if (!this.#before(other, handle)) break;
      this.#heap[place] = other;
      this.#place[other] = place;
      place = child;
    }
    this.#heap[place] = handle;
    this.#place[handle] = place;
  }

  #grow(): void {
    const size = this.#due.length * 2;
    const due = new Float64Array(size);
    const key = new Float64Array(size);
    const place = new Uint32Array(size);
    const heap = new Uint32Array(size);
    due.set(this.#due);
    key.set(this.#key);
    place.set(this.#place);
    heap.set(this.#heap);
    this.#due = due;
    this.#key = key;
    this.#place = place;
    this.#heap = heap;
  }
}
