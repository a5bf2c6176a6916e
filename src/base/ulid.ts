import type { Random } from './random.js';

/** Crockford's base 32, as the ULID specification orders it. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const CODES = Buffer.from(ALPHABET, 'latin1');
const VALUES = new Uint8Array(128).fill(255);
for (let i = 0; i < 32; i++) {
  VALUES[ALPHABET.charCodeAt(i)] = i;
  VALUES[ALPHABET.toLowerCase().charCodeAt(i)] = i;
}
/** Crockford's aliases for digits that people misread. */
for (const [alias, digit] of [
  ['i', 1],
  ['l', 1],
  ['o', 0],
] as const) {
  VALUES[alias.charCodeAt(0)] = digit;
  VALUES[alias.toUpperCase().charCodeAt(0)] = digit;
}

const ULID_LENGTH = 26;
export const ULID_BYTES = 16;

/** True for 26 characters of base 32 whose 48-bit time does not overflow (first character at most 7). */
export function isUlid(text: string): boolean {
  if (text.length !== ULID_LENGTH) return false;
  for (let i = 0; i < ULID_LENGTH; i++) {
    const code = text.charCodeAt(i);
    if (code > 127 || VALUES[code] === 255) return false;
  }
  return VALUES[text.charCodeAt(0)]! <= 7;
}

/** Writes the 128 bits of a valid ULID into `out` at `at`, big-endian: 6 bytes of time, 10 of randomness. */
export function ulidToBytes(text: string, out: Uint8Array, at = 0): void {
  let bits = 0;
  let held = -2; // 26 × 5 = 130 bits: the two topmost are zero and are dropped
  let position = at;
  for (let i = 0; i < ULID_LENGTH; i++) {
    bits = ((bits << 5) | VALUES[text.charCodeAt(i)]!) & 0x1fff;
    held += 5;
    if (held >= 8) {
      held -= 8;
      out[position++] = (bits >> held) & 0xff;
    }
  }
}

/** The text being made: one flat string in the end, not a chain of 26. */
const text = Buffer.alloc(ULID_LENGTH);

export function ulidFromBytes(bytes: Uint8Array, at = 0): string {
  let position = 0;
  let bits = 0;
  let held = 2; // two zero bits lead
  for (let i = 0; i < ULID_BYTES; i++) {
    bits = ((bits << 8) | bytes[at + i]!) & 0x1fff;
    held += 8;
    while (held >= 5) {
      held -= 5;
      text[position++] = CODES[(bits >> held) & 31]!;
    }
  }
  return text.toString('latin1');
}

/** The time inside a ULID's bytes: milliseconds since 1970-01-01 UTC. */
export function ulidTimeMs(bytes: Uint8Array, at = 0): number {
  let time = 0;
  for (let i = 0; i < 6; i++) time = time * 256 + bytes[at + i]!;
  return time;
}

/** Makes ULIDs that ascend within one millisecond too. */
export class UlidSource {
  readonly #random: Random;
  readonly #last = new Uint8Array(ULID_BYTES);
  #lastMs = -1;

  constructor(random: Random) {
    this.#random = random;
  }

  /** `wallMs`: the time to carry, milliseconds since 1970-01-01 UTC. */
  next(wallMs: number): string {
    if (wallMs > this.#lastMs) {
      this.#lastMs = wallMs;
      let time = wallMs;
      for (let i = 5; i >= 0; i--) {
        this.#last[i] = time % 256;
        time = Math.floor(time / 256);
      }
      this.#last.set(this.#random.bytes(10), 6);
      this.#last[6]! &= 0x7f; // headroom for the increments below
    } else {
      for (let i = 15; i >= 6; i--) {
        this.#last[i] = (this.#last[i]! + 1) & 0xff;
        if (this.#last[i] !== 0) break;
      }
    }
    return ulidFromBytes(this.#last);
  }
}
