/**
 * Hashes for tables and for comparing replicas. Not cryptographic: they find defects, not attackers.
 */

/** Spreads the bits of a u32 (finaliser of MurmurHash3). */
export function mix32(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Of a whole number below 2^53. */
export function mixNumber(value: number): number {
  return mix32((value | 0) ^ Math.imul(Math.floor(value / 4294967296), 0x9e3779b1));
}

/** Bits of an id's time that lead its hash: those of 256 ms to 32 s. */
const TIME_BITS = 7;

/**
 * Of a ULID given as its 16 bytes in four little-endian u32. What leads is its time: ids of one moment lie together in a
 * table that is sharded by the first bits, so that what comes and goes now is in the processor's cache, whatever else
 * waits.
 */
export function mixId(a: number, b: number, c: number, d: number): number {
  let h = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca77);
  h = Math.imul(h ^ (h >>> 15), 0xc2b2ae3d) ^ Math.imul(c, 0x27d4eb2f);
  h = Math.imul(h ^ (h >>> 13), 0x165667b1) ^ d;
  return ((b << (32 - TIME_BITS)) | (mix32(h) >>> TIME_BITS)) >>> 0;
}

/** Numbers that follow one another differ in their last bits alone: in a table they are neighbours. */
const NEIGHBOURS = 16;

/** Of a job's seq: those of a few jobs that came together lie in one line of the processor's cache. */
export function mixSeq(seq: number): number {
  return ((mixNumber(Math.floor(seq / NEIGHBOURS)) & -NEIGHBOURS) | (seq % NEIGHBOURS)) >>> 0;
}

/** Of a text, continuing from `seed`. */
export function mixText(text: string, seed: number): number {
  let h = seed ^ text.length;
  for (let i = 0; i < text.length; i++) {
    h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
    h ^= h >>> 15;
  }
  return mix32(h);
}

/** A running 64-bit hash in two u32 lanes that do not depend on each other. */
export class Hash64 {
  #a = 0x2545f491;
  #b = 0x6c078965;

  get high(): number {
    return mix32(this.#a);
  }

  get low(): number {
    return mix32(this.#b ^ 0x5bd1e995);
  }

  reset(): this {
    this.#a = 0x2545f491;
    this.#b = 0x6c078965;
    return this;
  }

  u32(value: number): void {
    let a = Math.imul(this.#a ^ value, 0x9e3779b1);
    a ^= a >>> 15;
    this.#a = a;
    let b = Math.imul(this.#b ^ (value >>> 7) ^ (value << 25), 0x85ebca6b);
    b ^= b >>> 13;
    this.#b = b;
  }

  /** Words `from` to `to` - 1. */
  words(values: Uint32Array, from: number, to: number): void {
    let a = this.#a;
    let b = this.#b;
    for (let i = from; i < to; i++) {
      const value = values[i]!;
      a = Math.imul(a ^ value, 0x9e3779b1);
      a ^= a >>> 15;
      b = Math.imul(b ^ (value >>> 7) ^ (value << 25), 0x85ebca6b);
      b ^= b >>> 13;
    }
    this.#a = a;
    this.#b = b;
  }

  bytes(values: Uint8Array): void {
    const whole = values.length & ~3;
    for (let i = 0; i < whole; i += 4) {
      this.u32(values[i]! | (values[i + 1]! << 8) | (values[i + 2]! << 16) | (values[i + 3]! << 24));
    }
    for (let i = whole; i < values.length; i++) this.u32(values[i]! + 256);
    this.u32(values.length);
  }

  hex(): string {
    return hex64(this.high, this.low);
  }
}

export function hex64(high: number, low: number): string {
  return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
}
