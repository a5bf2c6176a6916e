import { randomBytes, randomFillSync, randomInt } from 'node:crypto';

/** Randomness as an argument, so that a simulated run is repeated by its seed. */
export interface Random {
  /** A whole number from 0 to `below` - 1; `below` at most 2^32. */
  below(below: number): number;
  bytes(length: number): Uint8Array;
}

/** Every job needs one: drawn many at a time. */
const words = new Uint32Array(1_024);
let drawn = words.length;

function u32(): number {
  if (drawn === words.length) {
    randomFillSync(words);
    drawn = 0;
  }
  return words[drawn++]!;
}

export const systemRandom: Random = {
  below: (below: number) => (below === 2 ** 32 ? u32() : randomInt(below)),
  bytes: (length: number) => randomBytes(length),
};
