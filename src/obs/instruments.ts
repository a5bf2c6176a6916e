/** One sample: a value and its labels. `metricName` where it differs from the metric's (a histogram's parts). */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  readonly metricName?: string;
}

/** Label value under which everything beyond a limit of series is summed. */
export const OTHER = '(other)';

/** Counts into fixed buckets: no allocation and no label lookup for an observation. */
export class Histogram {
  readonly #name: string;
  readonly #bounds: readonly number[];
  /** Per bucket, not cumulative; the last one has no upper bound. */
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(name: string, bounds: readonly number[]) {
    this.#name = name;
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let low = 0;
    let high = bounds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (value <= bounds[middle]!) high = middle;
      else low = middle + 1;
    }
    this.#counts[low]! += 1;
    this.#sum += value;
  }

  /** `perUnit`: how many of the values' unit make one of the histogram's. */
  observeMany(values: ArrayLike<number>, perUnit: number): void {
    for (let i = 0; i < values.length; i++) this.observe(values[i]! / perUnit);
  }

  samples(): Sample[] {
    const name = this.#name;
    let total = 0;
    const buckets = this.#bounds.map((bound, i) => {
      total += this.#counts[i]!;
      return { metricName: `${name}_bucket`, labels: { le: String(bound) }, value: total };
    });
    total += this.#counts[this.#bounds.length]!;
    return [
      ...buckets,
      { metricName: `${name}_bucket`, labels: { le: '+Inf' }, value: total },
      { metricName: `${name}_sum`, labels: {}, value: this.#sum },
      { metricName: `${name}_count`, labels: {}, value: total },
    ];
  }
}

export class Counter {
  #value = 0;

  inc(by = 1): void {
    this.#value += by;
  }

  samples(): Sample[] {
    return [{ labels: {}, value: this.#value }];
  }
}

/** Counts by one or more labels, with at most `seriesMax` series; what comes later counts as `(other)`. */
export class LabelledCounter {
  readonly #labels: readonly string[];
  readonly #seriesMax: number;
  readonly #series = new Map<string, { readonly values: readonly string[]; count: number }>();

  constructor(labels: readonly string[], seriesMax: number) {
    this.#labels = labels;
    this.#seriesMax = seriesMax;
  }

  inc(...values: readonly string[]): void {
    const key = values.join('\u0000');
    const known = this.#series.get(key);
    if (known !== undefined) known.count++;
    else if (this.#series.size < this.#seriesMax) this.#series.set(key, { values, count: 1 });
    else this.#other().count++;
  }

  samples(): Sample[] {
    return [...this.#series.values()].map(({ values, count }) => ({
      labels: Object.fromEntries(this.#labels.map((label, i) => [label, values[i] ?? ''])),
      value: count,
    }));
  }

  /** One series above the limit. */
  #other(): { count: number } {
    let other = this.#series.get(OTHER);
    if (other === undefined) {
      other = { values: this.#labels.map(() => OTHER), count: 0 };
      this.#series.set(OTHER, other);
    }
    return other;
  }
}
