import { randomFillSync } from 'node:crypto';

/** Crockford's base 32, as the ULID specification orders it. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
/** Two characters for every 10 bits: a ULID is made by look-ups instead of arithmetic per character. */
const PAIRS: readonly string[] = Array.from(
  { length: 1024 },
  (_, i) => ALPHABET.charAt(i >> 5) + ALPHABET.charAt(i & 31),
);
const BITS_40 = 2 ** 40;
const BITS_20 = 2 ** 20;

/** 8 characters for 40 bits. */
function eight(value: number): string {
  const high = Math.floor(value / BITS_20);
  const low = value % BITS_20;
  return PAIRS[high >> 10]! + PAIRS[high & 1023]! + PAIRS[low >> 10]! + PAIRS[low & 1023]!;
}

/** A difference below this is left alone: the cluster accepts ids up to 60 s ahead and minutes behind. */
const TOLERATED_SKEW_MS = 1_000;

/**
 * Makes job ids: ULIDs whose time is the cluster's as far as it is known, ascending within one millisecond too.
 *
 * The 80 random bits are drawn anew each millisecond and counted up inside it, so that ids of one process never
 * collide and those of two processes would need the same 79 bits in the same millisecond.
 */
export class IdSource {
  readonly #now: () => number;
  readonly #random = new Uint8Array(10);
  #skewMs = 0;
  #lastMs = -1;
  #head = '';
  #high = 0;
  #low = 0;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Milliseconds since 1970-01-01 UTC by the cluster's clock, as far as it is known. */
  now(): number {
    return this.#now() + this.#skewMs;
  }

  /** Tells what time the cluster has: milliseconds since 1970-01-01 UTC, taken just now. */
  observe(serverMs: number): void {
    const skew = serverMs - this.#now();
    if (Math.abs(skew - this.#skewMs) <= TOLERATED_SKEW_MS) return;
    this.#skewMs = skew;
    this.#lastMs = -1; // a clock put back would otherwise leave all ids at the old, later time
  }

  /** 26 characters. */
  next(): string {
    const ms = Math.max(0, Math.floor(this.now()));
    if (ms > this.#lastMs) {
      this.#draw(ms);
    } else if (++this.#low === BITS_40) {
      this.#low = 0;
      this.#high = (this.#high + 1) % BITS_40;
    }
    return this.#head + eight(this.#high) + eight(this.#low);
  }

  #draw(ms: number): void {
    const random = this.#random;
    randomFillSync(random);
    this.#lastMs = ms;
    this.#head = PAIRS[Math.floor(ms / BITS_40) & 1023]! + eight(ms % BITS_40);
    // The topmost bit stays 0: room to count up.
    this.#high = five(random, 0) % (BITS_40 / 2);
    this.#low = five(random, 5);
  }
}

function five(bytes: Uint8Array, at: number): number {
  let value = 0;
  for (let i = 0; i < 5; i++) value = value * 256 + bytes[at + i]!;
  return value;
}
