import { invariant } from '../base/invariant.js';
import type { PayloadStore } from '../core/types.js';

/** Bytes of the largest slot; what is larger gets a chunk of its own. */
const SLOT_MAX = 64 * 1024;
const SLOT_MIN = 16;
/** Up to here slots are of every size that is a multiple of 8: most payloads are small, and there are many of them. */
const FINE_MAX = 256;
const CHUNK_BYTES = 1024 * 1024;
/**
 * The first chunks of a class are small, so that a few payloads of many sizes do not take a megabyte each: four of the
 * first size, four of the second. From the fifth on, a new chunk is no larger than all before it.
 */
const SMALL_CHUNK_BYTES = [64 * 1024, 256 * 1024] as const;
const SMALL_CHUNKS = 4;
/** Emptied chunks of each size kept for the next need, whatever their class: saves zeroing and page faults. */
const SPARES_MAX = 4;

/** A handle is chunk · 2^32 + slot · 2^16 + generation: 20 + 16 + 16 bits. */
const CHUNK_FACTOR = 2 ** 32;
const CHUNKS_MAX = 2 ** 20;
const SLOTS_MAX = 2 ** 16 - 1;

/** Ascending slot sizes, multiples of 8: all of them, then each about a quarter larger than the one before. */
const CLASS_BYTES = sizeClasses();
/** For a length of n bytes, the class at `[ceil(n / 8)]`. */
const CLASS_BY_EIGHTHS = classTable();

export interface OffHeapPayloads extends PayloadStore {
  /** Bytes of buffers held, free slots included. */
  readonly reservedBytes: number;
}

/** Slots of one size in one buffer. Free slots form a list through `rests`. */
class Chunk {
  readonly id: number;
  readonly sizeClass: number;
  readonly slotBytes: number;
  readonly slots: number;
  readonly buffer: Buffer;
  /** Of a used slot: bytes that are not used. Of a free one: the next free slot, or `slots` at the list's end. */
  readonly rests: Uint16Array;
  /** Odd while the slot is used. A handle carries it, so that an old one is recognised. */
  readonly generations: Uint16Array;
  firstFree = 0;
  used = 0;
  next: Chunk | null = null;
  previous: Chunk | null = null;

  constructor(id: number, sizeClass: number, slotBytes: number, buffer: Buffer, generation: number) {
    this.id = id;
    this.sizeClass = sizeClass;
    this.slotBytes = slotBytes;
    this.slots = Math.min(SLOTS_MAX, Math.floor(buffer.length / slotBytes));
    this.buffer = buffer;
    this.rests = new Uint16Array(this.slots);
    for (let slot = 0; slot < this.slots; slot++) this.rests[slot] = slot + 1;
    this.generations = new Uint16Array(this.slots).fill(generation & 0xfffe);
  }
}

/** A slab allocator: payloads lie in a few large buffers, so that a million of them are no work for the collector. */
class SlabPayloads implements OffHeapPayloads {
  /** By id; ids from 1, so that no handle is 0. */
  readonly #chunks: (Chunk | null)[] = [null];
  readonly #freeIds: number[] = [];
  /** Per class: the first of its chunks with a free slot. */
  readonly #open: (Chunk | null)[] = CLASS_BYTES.map(() => null);
  readonly #chunksOfClass: number[] = CLASS_BYTES.map(() => 0);
  /** By size. */
  readonly #spares = new Map<number, Buffer[]>([...SMALL_CHUNK_BYTES, CHUNK_BYTES].map((size) => [size, []]));
  #generation = 0;
  #bytes = 0;
  #reserved = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get reservedBytes(): number {
    return this.#reserved;
  }

  put(bytes: Uint8Array): number {
    const { length } = bytes;
    const chunk =
      length <= SLOT_MAX ? this.#openChunk(CLASS_BY_EIGHTHS[(length + 7) >>> 3]!) : this.#own(length);
    const slot = chunk.firstFree;
    chunk.firstFree = chunk.rests[slot]!;
    chunk.rests[slot] = chunk.slotBytes - length;
    const generation = chunk.generations[slot]! + 1;
    chunk.generations[slot] = generation;
    chunk.buffer.set(bytes, slot * chunk.slotBytes);
    chunk.used++;
    if (chunk.used === chunk.slots && chunk.sizeClass >= 0) this.#unlink(chunk);
    this.#bytes += length;
    return chunk.id * CHUNK_FACTOR + slot * 0x10000 + generation;
  }

  get(handle: number): Uint8Array {
    const chunk = this.#chunkOf(handle);
    const slot = (handle >>> 16) & 0xffff;
    const at = slot * chunk.slotBytes;
    return chunk.buffer.subarray(at, at + chunk.slotBytes - chunk.rests[slot]!);
  }

  length(handle: number): number {
    const chunk = this.#chunkOf(handle);
    return chunk.slotBytes - chunk.rests[(handle >>> 16) & 0xffff]!;
  }

  release(handle: number): void {
    const chunk = this.#chunkOf(handle);
    const slot = (handle >>> 16) & 0xffff;
    this.#bytes -= chunk.slotBytes - chunk.rests[slot]!;
    chunk.generations[slot] = chunk.generations[slot]! + 1;
    chunk.rests[slot] = chunk.firstFree;
    chunk.firstFree = slot;
    chunk.used--;
    if (chunk.used === 0) this.#drop(chunk);
    else if (chunk.used === chunk.slots - 1) this.#link(chunk);
  }

  /** The chunk of a live handle; anything else is a broken promise of the caller. */
  #chunkOf(handle: number): Chunk {
    const chunk = this.#chunks[Math.floor(handle / CHUNK_FACTOR)] ?? null;
    invariant(chunk !== null, 'a payload handle is live', { handle });
    const slot = (handle >>> 16) & 0xffff;
    const generation = handle & 0xffff;
    invariant((generation & 1) === 1, 'a payload handle is live', { handle });
    invariant(chunk.generations[slot] === generation, 'a payload handle is live', { handle });
    return chunk;
  }

  #openChunk(sizeClass: number): Chunk {
    const open = this.#open[sizeClass]!;
    if (open !== null) return open;
    const slotBytes = CLASS_BYTES[sizeClass]!;
    const small =
      slotBytes <= SMALL_CHUNK_BYTES[0] / 8
        ? SMALL_CHUNK_BYTES[Math.floor(this.#chunksOfClass[sizeClass]! / SMALL_CHUNKS)]
        : undefined;
    const size = small ?? CHUNK_BYTES;
    const buffer = this.#spares.get(size)!.pop() ?? Buffer.allocUnsafeSlow(size);
    const chunk = this.#add(sizeClass, slotBytes, buffer);
    this.#chunksOfClass[sizeClass]!++;
    this.#link(chunk);
    return chunk;
  }

  #own(length: number): Chunk {
    return this.#add(-1, length, Buffer.allocUnsafeSlow(length));
  }

  #add(sizeClass: number, slotBytes: number, buffer: Buffer): Chunk {
    const id = this.#freeIds.pop() ?? this.#chunks.length;
    invariant(id < CHUNKS_MAX, 'payload chunks within their limit', { id });
    // Another start each time, so that a handle into the former holder of this id is recognised.
    this.#generation = (this.#generation + 7_918) & 0xffff;
    const chunk = new Chunk(id, sizeClass, slotBytes, buffer, this.#generation);
    this.#chunks[id] = chunk;
    this.#reserved += buffer.length;
    return chunk;
  }

  #drop(chunk: Chunk): void {
    this.#chunks[chunk.id] = null;
    this.#freeIds.push(chunk.id);
    this.#reserved -= chunk.buffer.length;
    if (chunk.sizeClass < 0) return;
    // A chunk of a single slot was full until now and in no list.
    if (chunk.slots > 1) this.#unlink(chunk);
    this.#chunksOfClass[chunk.sizeClass]!--;
    const spares = this.#spares.get(chunk.buffer.length)!;
    if (spares.length < SPARES_MAX) spares.push(chunk.buffer);
  }

  #link(chunk: Chunk): void {
    const first = this.#open[chunk.sizeClass]!;
    chunk.next = first;
    chunk.previous = null;
    if (first !== null) first.previous = chunk;
    this.#open[chunk.sizeClass] = chunk;
  }

  #unlink(chunk: Chunk): void {
    if (chunk.previous === null) this.#open[chunk.sizeClass] = chunk.next;
    else chunk.previous.next = chunk.next;
    if (chunk.next !== null) chunk.next.previous = chunk.previous;
    chunk.next = null;
    chunk.previous = null;
  }
}

function sizeClasses(): number[] {
  const sizes: number[] = [];
  for (let size = SLOT_MIN; size < FINE_MAX; size += 8) sizes.push(size);
  for (let size = FINE_MAX; size < SLOT_MAX; size = Math.ceil((size * 1.25) / 8) * 8) sizes.push(size);
  sizes.push(SLOT_MAX);
  return sizes;
}

function classTable(): Uint8Array {
  const table = new Uint8Array(SLOT_MAX / 8 + 1);
  let sizeClass = 0;
  for (let eighths = 0; eighths < table.length; eighths++) {
    while (CLASS_BYTES[sizeClass]! < eighths * 8) sizeClass++;
    table[eighths] = sizeClass;
  }
  return table;
}

/** An empty store of payloads off the heap. A handle that is not live is an invariant broken by the caller. */
export function createPayloadStore(): OffHeapPayloads {
  return new SlabPayloads();
}
