import { invariant } from '../../base/invariant.js';

/** Slots of a shard that is used for the first time. */
const FIRST_SLOTS = 16;
/** Words of a slot: hash, lower and upper half of the value. Value 0: free. */
const WORDS = 3;
const TWO_32 = 4294967296;

/**
 * Finds numbers (1 to 2^53 - 1: job seqs) by a 32-bit hash of their key; the key itself stays where it is, and
 * `matches` compares it. Open addressing in typed arrays, a slot's words side by side. Sharded by the hash's top
 * bits, each shard with a growth threshold of its own, so that no growth ever copies more than a small part.
 */
export class HashIndex {
  readonly #shift: number;
  readonly #shards: Uint32Array[] = [];
  readonly #used: Uint32Array;

  /** `shardBits`: at least 1. */
  constructor(shardBits: number) {
    this.#shift = 32 - shardBits;
    const count = 2 ** shardBits;
    this.#used = new Uint32Array(count);
    const none = new Uint32Array(0);
    for (let i = 0; i < count; i++) this.#shards.push(none);
  }

  /** First value under this hash for which `matches` says yes; 0 when there is none. */
  find<K>(hash: number, key: K, matches: (key: K, value: number) => boolean): number {
    const words = this.#shards[hash >>> this.#shift]!;
    if (words.length === 0) return 0;
    const mask = words.length / WORDS - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const at = slot * WORDS;
      const low = words[at + 1]!;
      const high = words[at + 2]!;
      if (low === 0 && high === 0) return 0;
      if (words[at] !== hash) continue;
      const value = low + high * TWO_32;
      if (matches(key, value)) return value;
    }
  }

  /** The caller knows that the key is not in the table yet. */
  add(hash: number, value: number): void {
    const shard = hash >>> this.#shift;
    const used = this.#used[shard]!;
    const slots = this.#shards[shard]!.length / WORDS;
    // Between 1/2 and 3/4, by the shard's number.
    if (used >= slots * (0.5 + (0.25 * shard) / this.#shards.length)) {
      this.#resize(shard, slots === 0 ? FIRST_SLOTS : slots * 2);
    }
    put(this.#shards[shard]!, hash, value >>> 0, Math.floor(value / TWO_32));
    this.#used[shard] = used + 1;
  }

  /** Takes out exactly this pair, which must be there. */
  remove(hash: number, value: number): void {
    const shard = hash >>> this.#shift;
    const words = this.#shards[shard]!;
    invariant(words.length > 0, 'what is removed from an index is in it', { value });
    const mask = words.length / WORDS - 1;
    const low = value >>> 0;
    const high = Math.floor(value / TWO_32);
    let hole = hash & mask;
    for (;;) {
      const at = hole * WORDS;
      if (words[at] === hash && words[at + 1] === low && words[at + 2] === high) break;
      invariant(words[at + 1] !== 0 || words[at + 2] !== 0, 'what is removed from an index is in it', {
        value,
      });
      hole = (hole + 1) & mask;
    }
    // Close the gap: whatever may stand at the hole or before it moves there.
    for (let next = (hole + 1) & mask; ; next = (next + 1) & mask) {
      const at = next * WORDS;
      if (words[at + 1] === 0 && words[at + 2] === 0) break;
      const home = words[at]! & mask;
      if (((next - home) & mask) < ((next - hole) & mask)) continue;
      words[hole * WORDS] = words[at]!;
      words[hole * WORDS + 1] = words[at + 1]!;
      words[hole * WORDS + 2] = words[at + 2]!;
      hole = next;
    }
    words[hole * WORDS + 1] = 0;
    words[hole * WORDS + 2] = 0;
    const used = this.#used[shard]! - 1;
    this.#used[shard] = used;
    const slots = words.length / WORDS;
    if (slots > FIRST_SLOTS && used < slots / 16) this.#resize(shard, slots / 4);
  }

  #resize(shard: number, slots: number): void {
    const before = this.#shards[shard]!;
    const words = new Uint32Array(Math.max(FIRST_SLOTS, slots) * WORDS);
    for (let at = 0; at < before.length; at += WORDS) {
      const low = before[at + 1]!;
      const high = before[at + 2]!;
      if (low !== 0 || high !== 0) put(words, before[at]!, low, high);
    }
    this.#shards[shard] = words;
  }
}

function put(words: Uint32Array, hash: number, low: number, high: number): void {
  const mask = words.length / WORDS - 1;
  let slot = hash & mask;
  while (words[slot * WORDS + 1] !== 0 || words[slot * WORDS + 2] !== 0) slot = (slot + 1) & mask;
  words[slot * WORDS] = hash;
  words[slot * WORDS + 1] = low;
  words[slot * WORDS + 2] = high;
}
