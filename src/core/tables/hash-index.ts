import { invariant } from '../../base/invariant.js';

/** Slots of a shard that is used for the first time. */
const FIRST_SLOTS = 16;

/**
 * Finds numbers (1 to 2^53 - 1: job seqs) by a 32-bit hash of their key; the key itself stays where it is, and
 * `matches` compares it. Open addressing in typed arrays. Sharded by the hash's top bits, each shard with a growth
 * threshold of its own, so that no growth ever copies more than a small part of the table.
 */
export class HashIndex {
  readonly #shift: number;
  readonly #tags: Uint32Array[] = [];
  /** 0: free. */
  readonly #values: Float64Array[] = [];
  readonly #used: Uint32Array;
  #size = 0;

  constructor(shardBits: number) {
    this.#shift = 32 - shardBits;
    const shards = 2 ** shardBits;
    this.#used = new Uint32Array(shards);
    const noTags = new Uint32Array(0);
    const noValues = new Float64Array(0);
    for (let i = 0; i < shards; i++) {
      this.#tags.push(noTags);
      this.#values.push(noValues);
    }
  }

  get size(): number {
    return this.#size;
  }

  /** First value under this hash for which `matches` says yes; 0 when there is none. */
  find<K>(hash: number, key: K, matches: (key: K, value: number) => boolean): number {
    const shard = hash >>> this.#shift;
    const tags = this.#tags[shard]!;
    const values = this.#values[shard]!;
    if (values.length === 0) return 0;
    const mask = values.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const value = values[slot]!;
      if (value === 0) return 0;
      if (tags[slot] === hash && matches(key, value)) return value;
    }
  }

  /** The caller knows that the key is not in the table yet. */
  add(hash: number, value: number): void {
    const shard = hash >>> this.#shift;
    const used = this.#used[shard]!;
    const slots = this.#values[shard]!.length;
    // Between 1/2 and 3/4, by the shard's number.
    if (used >= slots * (0.5 + (0.25 * shard) / this.#values.length)) this.#grow(shard);
    put(this.#tags[shard]!, this.#values[shard]!, hash, value);
    this.#used[shard] = used + 1;
    this.#size++;
  }

  /** Takes out exactly this pair, which must be there. */
  remove(hash: number, value: number): void {
    const shard = hash >>> this.#shift;
    const tags = this.#tags[shard]!;
    const values = this.#values[shard]!;
    invariant(values.length > 0, 'what is removed from an index is in it', { value });
    const mask = values.length - 1;
    let hole = hash & mask;
    while (values[hole] !== value || tags[hole] !== hash) {
      invariant(values[hole] !== 0, 'what is removed from an index is in it', { value });
      hole = (hole + 1) & mask;
    }
    // Close the gap: whatever may stand at the hole or before it moves there.
    for (let next = (hole + 1) & mask; values[next] !== 0; next = (next + 1) & mask) {
      const home = tags[next]! & mask;
      if (((next - home) & mask) >= ((next - hole) & mask)) {
        values[hole] = values[next]!;
        tags[hole] = tags[next]!;
        hole = next;
      }
    }
    values[hole] = 0;
    const used = this.#used[shard]! - 1;
    this.#used[shard] = used;
    this.#size--;
    if (values.length > FIRST_SLOTS && used < values.length / 8) this.#resize(shard, values.length / 4);
  }

  #grow(shard: number): void {
    const slots = this.#values[shard]!.length;
    this.#resize(shard, slots === 0 ? FIRST_SLOTS : slots * 2);
  }

  #resize(shard: number, slots: number): void {
    const size = Math.max(FIRST_SLOTS, slots);
    const tags = new Uint32Array(size);
    const values = new Float64Array(size);
    const oldTags = this.#tags[shard]!;
    const oldValues = this.#values[shard]!;
    for (let i = 0; i < oldValues.length; i++) {
      if (oldValues[i] !== 0) put(tags, values, oldTags[i]!, oldValues[i]!);
    }
    this.#tags[shard] = tags;
    this.#values[shard] = values;
  }
}

function put(tags: Uint32Array, values: Float64Array, hash: number, value: number): void {
  const mask = values.length - 1;
  let slot = hash & mask;
  while (values[slot] !== 0) slot = (slot + 1) & mask;
  tags[slot] = hash;
  values[slot] = value;
}
