import { randomBytes, randomInt } from 'node:crypto';

/** Randomness as an argument, so that a simulated run is repeated by its seed. */
export interface Random {
  /** A whole number from 0 to `below` - 1; `below` at most 2^32. */
  below(below: number): number;
  bytes(length: number): Uint8Array;
}

export const systemRandom: Random = {
  below: (below: number) => randomInt(below),
  bytes: (length: number) => randomBytes(length),
};
