import type { Random } from '../base/random.js';

/** Small fast counter generator (sfc32): all randomness of a simulated run comes from one seed. */
export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.#a = seed >>> 0;
    this.#b = Math.floor(seed / 2 ** 32) >>> 0;
    this.#c = 0x9e3779b9;
    for (let i = 0; i < 15; i++) this.u32();
  }

  u32(): number {
    const t = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t;
    return t >>> 0;
  }

  below(below: number): number {
    return Math.floor((this.u32() / 2 ** 32) * below);
  }

  bytes(length: number): Uint8Array {
    const out = Buffer.alloc(length);
    for (let i = 0; i < length; i++) out[i] = this.u32() & 0xff;
    return out;
  }

  /** True `permille` times out of a thousand. */
  chance(permille: number): boolean {
    return this.below(1000) < permille;
  }

  /** A number from `low` to `high`, with a fraction. */
  between(low: number, high: number): number {
    return low + (this.u32() / 2 ** 32) * (high - low);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** A generator of its own for one part, so that its use does not shift the others'. */
  fork(): SeededRandom {
    return new SeededRandom(this.u32() * 2 ** 20 + this.below(2 ** 20));
  }
}
