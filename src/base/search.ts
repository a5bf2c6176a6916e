/** Index of the first of ascending numbers, from `from` on, that is at least `value`; their count when none is. */
export function firstAtLeast(ascending: readonly number[], value: number, from = 0): number {
  let low = from;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
