const SHARD_BITS = 8;
const SHARDS = 2 ** SHARD_BITS;
const FIRST_SLOTS = 16;
/** A slot holds the entry plus one in its lower bits and a few bits of the hash above; 0 is free. */
const ENTRY_BITS = 22;
const ENTRY_MASK = 2 ** ENTRY_BITS - 1;

/**
 * Finds entries (0 to 2^22 - 2) by a 32-bit hash: four bytes a slot, sharded so that growing never copies much.
 * Entries are only added. A search is `first`, then `next` until -1; it may give entries of another key.
 */
export class TombIndex {
  readonly #hashOf: (entry: number) => number;
  readonly #shards: (Uint32Array | null)[] = new Array<Uint32Array | null>(SHARDS).fill(null);
  readonly #used = new Uint32Array(SHARDS);
  readonly #expected: Uint32Array;
  #slots: Uint32Array | null = null;
  #slot = 0;
  #tag = 0;

  /** `hashOf` gives the hash of an entry again, when a shard grows. `like`: expect about as many entries as there. */
  constructor(hashOf: (entry: number) => number, like: TombIndex | null) {
    this.#hashOf = hashOf;
    this.#expected = like === null ? new Uint32Array(SHARDS) : like.#used;
  }

  first(hash: number): number {
    this.#slots = this.#shards[hash >>> (32 - SHARD_BITS)]!;
    if (this.#slots === null) return -1;
    this.#tag = tagOf(hash);
    this.#slot = hash & (this.#slots.length - 1);
    return this.next();
  }

  next(): number {
    const slots = this.#slots!;
    const mask = slots.length - 1;
    for (;;) {
      const value = slots[this.#slot]!;
      if (value === 0) return -1;
      this.#slot = (this.#slot + 1) & mask;
      if (value >>> ENTRY_BITS === this.#tag) return (value & ENTRY_MASK) - 1;
    }
  }

  add(hash: number, entry: number): void {
    const shard = hash >>> (32 - SHARD_BITS);
    let slots = this.#shards[shard]!;
    const used = this.#used[shard]!;
    if (slots === null) {
      const expected = this.#expected[shard]! * 2;
      slots = new Uint32Array(expected <= FIRST_SLOTS ? FIRST_SLOTS : 2 ** Math.floor(Math.log2(expected)));
      this.#shards[shard] = slots;
    } else if (used >= slots.length * (0.5 + (0.25 * shard) / SHARDS)) {
      const more = new Uint32Array(slots.length * 2);
      for (const value of slots) {
        if (value !== 0) put(more, this.#hashOf((value & ENTRY_MASK) - 1), value);
      }
      slots = more;
      this.#shards[shard] = slots;
    }
    put(slots, hash, ((tagOf(hash) << ENTRY_BITS) | (entry + 1)) >>> 0);
    this.#used[shard] = used + 1;
  }
}

/** Bits that choose neither the shard nor, in most tables, the slot. */
function tagOf(hash: number): number {
  return (hash >>> 14) & 0x3ff;
}

function put(slots: Uint32Array, hash: number, value: number): void {
  const mask = slots.length - 1;
  let slot = hash & mask;
  while (slots[slot] !== 0) slot = (slot + 1) & mask;
  slots[slot] = value;
}
