import { invariant } from '../../base/invariant.js';

/** Words of a slot: hash, and the value within its part plus one. 0: free. */
const WORDS = 2;
/** Values of a part. */
const PART = 2 ** 31;
/** Slots of a shard when it is used for the first time: so many and, by the shard's number, up to half as many more. */
const FIRST_SLOTS = 16;
const FULL = 0.75;
const GROWTH = 1.5;
const SPARSE = 0.125;

/**
 * Finds numbers (1 to 2^53 - 1: job seqs) by a 32-bit hash of their key; the key itself stays where it is, and
 * `matches` compares it. Values that lie far apart are kept apart, so that half of each is enough: as seqs count up, all of
 * them are in the newest part, but for jobs that outlive 2^31 others or a restore.
 */
export class HashIndex {
  readonly #shardBits: number;
  /** The part of the greatest values so far. */
  #newest: Part;
  /** The others that are not empty. */
  #older: readonly Part[] = [];

  /** `shardBits`: 1 to 16. */
  constructor(shardBits: number) {
    this.#shardBits = shardBits;
    this.#newest = new Part(0, shardBits);
  }

  /** First value under this hash for which `matches` says yes; 0 when there is none. */
  find<K>(hash: number, key: K, matches: (key: K, value: number) => boolean): number {
    let value = this.#newest.find(hash, key, matches);
    for (let i = 0; value === 0 && i < this.#older.length; i++) {
      value = this.#older[i]!.find(hash, key, matches);
    }
    return value;
  }

  /** The caller knows that the key is not in the table yet. */
  add(hash: number, value: number): void {
    const newest = this.#newest;
    if (newest.holds(value)) newest.add(hash, value);
    else this.#other(value).add(hash, value);
  }

  /** Takes out exactly this pair, which must be there. */
  remove(hash: number, value: number): void {
    const newest = this.#newest;
    if (newest.holds(value)) {
      newest.remove(hash, value);
      return;
    }
    const part = this.#older.find((older) => older.holds(value));
    invariant(part !== undefined, 'what is removed from an index is in it', { value });
    part.remove(hash, value);
    if (part.size === 0) this.#older = this.#older.filter((older) => older !== part);
  }

  /** The part of a value that is not of the newest; that of a greater one becomes the newest. */
  #other(value: number): Part {
    const known = this.#older.find((older) => older.holds(value));
    if (known !== undefined) return known;
    const part = new Part(Math.floor(value / PART), this.#shardBits);
    const before = this.#newest;
    if (part.number < before.number) {
      this.#older = [...this.#older, part];
    } else {
      if (before.size > 0) this.#older = [...this.#older, before];
      this.#newest = part;
    }
    return part;
  }
}

/**
 * Open addressing in typed arrays, a slot's words side by side. Sharded by the hash's top bits; each shard grows by itself,
 * at sizes of its own, so that no growth ever copies more than a small part, and all together are as full at any time.
 */
class Part {
  size = 0;
  readonly #base: number;
  readonly #shardBits: number;
  readonly #shards: Uint32Array[] = [];
  readonly #used: Uint32Array;

  constructor(
    readonly number: number,
    shardBits: number,
  ) {
    this.#base = number * PART - 1;
    this.#shardBits = shardBits;
    const count = 2 ** shardBits;
    this.#used = new Uint32Array(count);
    const none = new Uint32Array(0);
    for (let i = 0; i < count; i++) this.#shards.push(none);
  }

  holds(value: number): boolean {
    const low = value - this.#base;
    return low > 0 && low <= PART;
  }

  find<K>(hash: number, key: K, matches: (key: K, value: number) => boolean): number {
    const words = this.#shards[hash >>> (32 - this.#shardBits)]!;
    const { length } = words;
    if (length === 0) return 0;
    for (let at = this.#home(hash, length); ; at = at + WORDS === length ? 0 : at + WORDS) {
      const low = words[at + 1]!;
      if (low === 0) return 0;
      if (words[at] !== hash) continue;
      const value = this.#base + low;
      if (matches(key, value)) return value;
    }
  }

  add(hash: number, value: number): void {
    const shard = hash >>> (32 - this.#shardBits);
    const used = this.#used[shard]!;
    const slots = this.#shards[shard]!.length / WORDS;
    if (used >= slots * FULL) {
      const first = FIRST_SLOTS + Math.floor((shard * FIRST_SLOTS) / 2 / this.#shards.length);
      this.#resize(shard, slots === 0 ? first : Math.floor(slots * GROWTH));
    }
    this.#put(this.#shards[shard]!, hash, value - this.#base);
    this.#used[shard] = used + 1;
    this.size++;
  }

  remove(hash: number, value: number): void {
    const shard = hash >>> (32 - this.#shardBits);
    const words = this.#shards[shard]!;
    const { length } = words;
    invariant(length > 0, 'what is removed from an index is in it', { value });
    const low = value - this.#base;
    let hole = this.#home(hash, length);
    while (words[hole] !== hash || words[hole + 1] !== low) {
      invariant(words[hole + 1] !== 0, 'what is removed from an index is in it', { value });
      hole = hole + WORDS === length ? 0 : hole + WORDS;
    }
    // Close the gap: whatever may stand at the hole or before it moves there.
    for (let next = hole; ; ) {
      next = next + WORDS === length ? 0 : next + WORDS;
      if (words[next + 1] === 0) break;
      const home = this.#home(words[next]!, length);
      if (behind(next, home, length) < behind(next, hole, length)) continue;
      words[hole] = words[next]!;
      words[hole + 1] = words[next + 1]!;
      hole = next;
    }
    words[hole + 1] = 0;
    const used = this.#used[shard]! - 1;
    this.#used[shard] = used;
    this.size--;
    const slots = length / WORDS;
    if (slots > FIRST_SLOTS * GROWTH && used < slots * SPARSE) {
      this.#resize(shard, Math.max(FIRST_SLOTS, Math.floor(slots / 2)));
    }
  }

  /** Where the slot of a hash lies if it is free: in the order of the 16 bits below those of the shard. */
  #home(hash: number, length: number): number {
    const bits = (hash << this.#shardBits) >>> 16;
    const slots = length >>> 1;
    // In whole numbers of 32 bits where they suffice, which is faster.
    return slots < 0x8000 ? ((bits * slots) >>> 16) * WORDS : Math.floor((bits * slots) / 0x10000) * WORDS;
  }

  #put(words: Uint32Array, hash: number, low: number): void {
    const { length } = words;
    let at = this.#home(hash, length);
    while (words[at + 1] !== 0) at = at + WORDS === length ? 0 : at + WORDS;
    words[at] = hash;
    words[at + 1] = low;
  }

  #resize(shard: number, slots: number): void {
    const before = this.#shards[shard]!;
    const words = new Uint32Array(slots * WORDS);
    for (let at = 0; at < before.length; at += WORDS) {
      const low = before[at + 1]!;
      if (low !== 0) this.#put(words, before[at]!, low);
    }
    this.#shards[shard] = words;
  }
}

/** How far a slot lies behind another one, round the end. */
function behind(at: number, from: number, length: number): number {
  return at >= from ? at - from : at - from + length;
}
