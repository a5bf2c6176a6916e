import type { Lease } from './history.js';
import type { Story } from './story.js';

interface Known {
  readonly token: number;
  /** The grant was after this: its job, or that of a smaller token, was not there before. */
  after: number;
  /** The grant was before this: its lease, or that of a larger token, was seen then. */
  before: number;
}

/**
 * What the tokens tell about time. There is one counter in the cluster: a larger token was granted later, whenever and
 * wherever the two leases were seen.
 */
export class TokenOrder {
  readonly #known: Known[] = [];
  /** Leases by the time at which they were seen, each with the largest token seen until then. */
  readonly #seen: { readonly at: number; readonly lease: Lease }[] = [];

  constructor(stories: Iterable<Story>) {
    const leases: Lease[] = [];
    for (const story of stories) {
      for (const lease of story.leases) {
        if (lease.token === 0) continue;
        leases.push(lease);
        const after = story.from === Number.POSITIVE_INFINITY ? Number.NEGATIVE_INFINITY : story.from;
        this.#known.push({ token: lease.token, after, before: lease.at });
      }
    }
    this.#known.sort((a, b) => a.token - b.token);
    for (let i = 1; i < this.#known.length; i++) {
      this.#known[i]!.after = Math.max(this.#known[i]!.after, this.#known[i - 1]!.after);
    }
    for (let i = this.#known.length - 2; i >= 0; i--) {
      this.#known[i]!.before = Math.min(this.#known[i]!.before, this.#known[i + 1]!.before);
    }
    leases.sort((a, b) => a.at - b.at);
    let largest: Lease | null = null;
    for (const lease of leases) {
      if (largest === null || lease.token > largest.token) largest = lease;
      this.#seen.push({ at: lease.at, lease: largest });
    }
  }

  /** The token was granted after this time; -Infinity: nothing is known. */
  grantedAfter(token: number): number {
    const at = lastIndex(this.#known, (one) => one.token <= token);
    return at < 0 ? Number.NEGATIVE_INFINITY : this.#known[at]!.after;
  }

  /** The token was granted before this time, as far as leases with it or larger ones show; Infinity: nothing does. */
  grantedBefore(token: number): number {
    const at = lastIndex(this.#known, (one) => one.token < token) + 1;
    return at === this.#known.length ? Number.POSITIVE_INFINITY : this.#known[at]!.before;
  }

  /** The lease with the largest token that somebody had seen before `time`. */
  largestBefore(time: number): Lease | null {
    const at = lastIndex(this.#seen, (one) => one.at < time);
    return at < 0 ? null : this.#seen[at]!.lease;
  }
}

/** Index of the last one that holds, of a list in which all that hold come first; -1: none. */
function lastIndex<T>(list: readonly T[], holds: (one: T) => boolean): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(list[middle]!)) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
