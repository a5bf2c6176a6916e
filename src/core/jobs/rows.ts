/** Numbers that are only read. */
export interface Numbers {
  readonly [at: number]: number;
}

/**
 * Rows of zeros. Arrays that pages gave back are used again: allocating them costs more than all else about a page, and
 * what is left to the collector leaves holes.
 */
export class RowPool {
  readonly #fields: number;
  readonly #kept = new Map<number, Float64Array[]>();
  readonly #max: number;

  /** Keeps up to `max` arrays of each of these numbers of rows. */
  constructor(fields: number, rows: readonly number[], max: number) {
    this.#fields = fields;
    this.#max = max;
    for (const count of rows) this.#kept.set(count, []);
  }

  /** True when an array of so many rows is kept. */
  has(rows: number): boolean {
    return (this.#kept.get(rows)?.length ?? 0) > 0;
  }

  take(rows: number): Float64Array {
    const used = this.#kept.get(rows)?.pop();
    return used === undefined ? new Float64Array(rows * this.#fields) : used.fill(0);
  }

  /** Nobody reads or writes the array any more. */
  give(array: Float64Array): void {
    const kept = this.#kept.get(array.length / this.#fields);
    if (kept !== undefined && kept.length < this.#max) kept.push(array);
  }
}
