import { ByteReader, type ByteWriter, MalformedBytesError } from '../base/bytes.js';
import { type FrozenPage, type Pages, PlainPage, StatePage } from './snapshot/page.js';
import { type Hash64, mixId, mixSeq } from './tables/hash.js';
import { TombIndex } from './tables/tomb-index.js';
import type { Settings } from './types.js';

/** Words of a tombstone: id (4), seq with the state (2), token (2), revision (2), digests of content and outcome. */
const WORDS = 12;
const ENTRIES_PER_PAGE = 4096;
/** A window's worth of tombstones is spread over this many generations, each dropped as a whole. */
const GENERATIONS = 8;
const ENTRIES_PER_GENERATION = 2 ** 22 - 1;
const TWO_32 = 4294967296;
/** State number of a submission that was coalesced: its seq is the other job's. */
export const ALIAS = 7;

/** Tombstones of one generation, in the order in which they came: only ever added to. */
class TombPage extends StatePage {
  words: Uint32Array;
  count = 0;

  constructor(generation: number, number: number, capacity = 64) {
    super(`ended/${generation}/${number}`);
    this.words = new Uint32Array(capacity * WORDS);
  }

  /** First word of a new entry. */
  grow(): number {
    const at = this.count * WORDS;
    if (at === this.words.length) {
      const words = new Uint32Array(this.words.length * 2);
      words.set(this.words);
      this.words = words;
    }
    this.count++;
    return at;
  }

  override hash(into: Hash64): void {
    into.u32(this.count);
    into.words(this.words, 0, this.count * WORDS);
  }

  override freeze(): FrozenPage {
    // Entries never change: remembering how many there were is enough.
    const { key, version, words, count } = this;
    return {
      parts: [
        {
          key,
          version,
          encode(writer: ByteWriter): void {
            writer.f64(version);
            writer.u32(count);
            writer.raw(new Uint8Array(words.buffer, 0, count * WORDS * 4));
          },
        },
      ],
    };
  }

  override present(): FrozenPage {
    return this.freeze();
  }
}

class Generation {
  readonly pages: TombPage[] = [];
  count = 0;
  /** Wall ms of its begin, and of its end (0 while it is the newest). */
  endWall = 0;
  /** Range of the times inside the ids in it. */
  minTime = Number.MAX_SAFE_INTEGER;
  maxTime = 0;
  readonly byId: TombIndex;
  readonly bySeq: TombIndex;

  constructor(
    readonly number: number,
    readonly startWall: number,
    before: Generation | null,
  ) {
    this.byId = new TombIndex((entry) => this.idHash(entry), before === null ? null : before.byId);
    this.bySeq = new TombIndex((entry) => mixSeq(this.seq(entry)), before === null ? null : before.bySeq);
  }

  word(entry: number, word: number): number {
    const page = this.pages[Math.floor(entry / ENTRIES_PER_PAGE)]!;
    return page.words[(entry % ENTRIES_PER_PAGE) * WORDS + word]!;
  }

  idHash(entry: number): number {
    return mixId(this.word(entry, 0), this.word(entry, 1), this.word(entry, 2), this.word(entry, 3));
  }

  seq(entry: number): number {
    return this.word(entry, 4) + (this.word(entry, 5) & 0x1fffff) * TWO_32;
  }

  state(entry: number): number {
    return this.word(entry, 5) >>> 29;
  }
}

/** A tombstone found: where it is. Reused by the next search. */
class Tombstone {
  generation: Generation | null = null;
  entry = 0;

  get seq(): number {
    return this.generation!.seq(this.entry);
  }
  /** State number, or `ALIAS`. */
  get state(): number {
    return this.generation!.state(this.entry);
  }
  get token(): number {
    return this.generation!.word(this.entry, 6) + this.generation!.word(this.entry, 7) * TWO_32;
  }
  get revision(): number {
    return this.generation!.word(this.entry, 8) + this.generation!.word(this.entry, 9) * TWO_32;
  }
  get digest(): number {
    return this.generation!.word(this.entry, 10);
  }
  get outcome(): number {
    return this.generation!.word(this.entry, 11);
  }
  id(word: number): number {
    return this.generation!.word(this.entry, word);
  }
}

/**
 * What is remembered of jobs whose record is gone, and of submissions that were coalesced, so that a repeated
 * submission or outcome finds what became of the first. Generations are dropped as a whole once every id in them is
 * behind the horizon: a submission whose id is older than the horizon and unknown is refused, never run twice.
 */
export class Dedupe extends PlainPage {
  readonly #pages: Pages;
  #generations: Generation[] = [];
  #nextGeneration = 1;
  #count = 0;
  /** Ids older than this may have been forgotten, wall ms. */
  #dropped = 0;
  readonly #found = new Tombstone();

  constructor(pages: Pages) {
    super('dedupe');
    this.#pages = pages;
  }

  get count(): number {
    return this.#count;
  }

  /** Ids with a time before this, wall ms, are refused unless they are in a table. */
  horizon(wall: number, settings: Settings): number {
    return Math.max(this.#dropped, wall - settings.dedupeWindowMs);
  }

  /** Time inside an id, ms: its first two little-endian words hold it big-endian. */
  static time(a: number, b: number): number {
    const high = ((a << 24) | ((a & 0xff00) << 8) | ((a >>> 8) & 0xff00) | (a >>> 24)) >>> 0;
    return high * 65536 + (((b & 0xff) << 8) | ((b >>> 8) & 0xff));
  }

  findId(a: number, b: number, c: number, d: number): Tombstone | null {
    const time = Dedupe.time(a, b);
    const hash = mixId(a, b, c, d);
    for (let i = this.#generations.length - 1; i >= 0; i--) {
      const generation = this.#generations[i]!;
      if (time < generation.minTime || time > generation.maxTime) continue;
      const { byId } = generation;
      for (let entry = byId.first(hash); entry >= 0; entry = byId.next()) {
        if (
          generation.word(entry, 3) === d &&
          generation.word(entry, 2) === c &&
          generation.word(entry, 1) === b &&
          generation.word(entry, 0) === a
        ) {
          return this.#result(generation, entry);
        }
      }
    }
    return null;
  }

  findSeq(seq: number): Tombstone | null {
    const hash = mixSeq(seq);
    for (let i = this.#generations.length - 1; i >= 0; i--) {
      const generation = this.#generations[i]!;
      const { bySeq } = generation;
      for (let entry = bySeq.first(hash); entry >= 0; entry = bySeq.next()) {
        if (generation.seq(entry) === seq) return this.#result(generation, entry);
      }
    }
    return null;
  }

  /** False when the table is full and nothing in it may be forgotten yet. */
  makeRoom(wall: number, settings: Settings, more: number): boolean {
    while (this.#count + more > settings.dedupeEntriesMax) {
      const oldest = this.#generations[0];
      if (oldest === undefined || oldest.endWall === 0) return false;
      if (oldest.maxTime >= wall - settings.dedupeWindowMinMs) return false;
      this.#pages.touch(this);
      this.#forget(oldest);
    }
    return true;
  }

  add(
    wall: number,
    settings: Settings,
    a: number,
    b: number,
    c: number,
    d: number,
    seq: number,
    state: number,
    token: number,
    revision: number,
    digest: number,
    outcome: number,
  ): void {
    this.#pages.touch(this);
    const generation = this.#current(wall, settings);
    let page = generation.pages[generation.pages.length - 1];
    if (page === undefined || page.count === ENTRIES_PER_PAGE) {
      page = new TombPage(generation.number, generation.pages.length);
      generation.pages.push(page);
      this.#pages.add(page);
    } else {
      this.#pages.touch(page);
    }
    const at = page.grow();
    const { words } = page;
    words[at] = a;
    words[at + 1] = b;
    words[at + 2] = c;
    words[at + 3] = d;
    words[at + 4] = seq >>> 0;
    words[at + 5] = Math.floor(seq / TWO_32) | (state << 29);
    words[at + 6] = token >>> 0;
    words[at + 7] = Math.floor(token / TWO_32);
    words[at + 8] = revision >>> 0;
    words[at + 9] = Math.floor(revision / TWO_32);
    words[at + 10] = digest;
    words[at + 11] = outcome;
    const time = Dedupe.time(a, b);
    if (time < generation.minTime) generation.minTime = time;
    if (time > generation.maxTime) generation.maxTime = time;
    const entry = generation.count++;
    generation.byId.add(mixId(a, b, c, d), entry);
    if (state !== ALIAS) generation.bySeq.add(mixSeq(seq), entry);
    this.#count++;
  }

  /** Forgets generations that lie behind the window as a whole. */
  expire(wall: number, settings: Settings): void {
    for (;;) {
      const oldest = this.#generations[0];
      if (oldest === undefined) return;
      const end = wall - settings.dedupeWindowMs;
      if (oldest.endWall === 0) {
        // Nothing came for a long time: close it, so that an idle cluster forgets too.
        if (oldest.startWall + settings.dedupeWindowMs / GENERATIONS > wall) return;
        this.#pages.touch(this);
        oldest.endWall = wall;
      }
      if (oldest.endWall >= end || oldest.maxTime >= end) return;
      this.#pages.touch(this);
      this.#forget(oldest);
    }
  }

  /** When `expire` next has something to do; Infinity: never. */
  dueWall(settings: Settings): number {
    const oldest = this.#generations[0];
    if (oldest === undefined) return Number.POSITIVE_INFINITY;
    if (oldest.endWall === 0) return Math.ceil(oldest.startWall + settings.dedupeWindowMs / GENERATIONS);
    return Math.max(oldest.endWall, oldest.maxTime) + settings.dedupeWindowMs + 1;
  }

  override encode(writer: ByteWriter): void {
    writer.f64(this.#nextGeneration);
    writer.f64(this.#dropped);
    writer.u32(this.#generations.length);
    for (const generation of this.#generations) {
      writer.f64(generation.number);
      writer.f64(generation.startWall);
      writer.f64(generation.endWall);
      writer.f64(generation.minTime);
      writer.f64(generation.maxTime);
      writer.u32(generation.count);
    }
  }

  /** `tombs` gives the pages named `ended/…` by key. */
  restore(reader: ByteReader, tombs: ReadonlyMap<string, Uint8Array>): void {
    this.#nextGeneration = reader.f64();
    this.#dropped = reader.f64();
    for (let left = reader.u32(); left > 0; left--) {
      const generation = new Generation(reader.f64(), reader.f64(), null);
      generation.endWall = reader.f64();
      generation.minTime = reader.f64();
      generation.maxTime = reader.f64();
      const count = reader.u32();
      for (let number = 0; generation.count < count; number++) this.#readPage(generation, number, tombs);
      if (generation.count !== count) throw new MalformedBytesError('tombstones do not add up');
      this.#generations.push(generation);
      this.#count += count;
    }
  }

  #readPage(generation: Generation, number: number, tombs: ReadonlyMap<string, Uint8Array>): void {
    const key = `ended/${generation.number}/${number}`;
    const bytes = tombs.get(key);
    if (bytes === undefined) throw new MalformedBytesError(`page ${key} is missing`);
    const reader = new ByteReader(bytes);
    const version = reader.f64();
    const count = reader.u32();
    if (count === 0 || count > ENTRIES_PER_PAGE) throw new MalformedBytesError(`${key} has ${count} entries`);
    const page = new TombPage(generation.number, number, Math.max(64, 2 ** Math.ceil(Math.log2(count))));
    new Uint8Array(page.words.buffer).set(reader.raw(count * WORDS * 4));
    page.count = count;
    generation.pages.push(page);
    this.#pages.restore(page, version);
    for (let i = 0; i < count; i++) {
      const entry = generation.count++;
      generation.byId.add(generation.idHash(entry), entry);
      if (generation.state(entry) !== ALIAS) generation.bySeq.add(mixSeq(generation.seq(entry)), entry);
    }
  }

  #result(generation: Generation, entry: number): Tombstone {
    this.#found.generation = generation;
    this.#found.entry = entry;
    return this.#found;
  }

  #current(wall: number, settings: Settings): Generation {
    const newest = this.#generations[this.#generations.length - 1];
    if (newest !== undefined && newest.endWall === 0) {
      const most = Math.min(ENTRIES_PER_GENERATION, Math.ceil(settings.dedupeEntriesMax / GENERATIONS));
      const late = wall - newest.startWall >= settings.dedupeWindowMs / GENERATIONS;
      if (!late && newest.count < most) return newest;
      newest.endWall = wall;
    }
    const next = new Generation(this.#nextGeneration++, wall, newest ?? null);
    this.#generations.push(next);
    return next;
  }

  #forget(generation: Generation): void {
    this.#generations.shift();
    this.#count -= generation.count;
    this.#dropped = Math.max(this.#dropped, generation.maxTime + 1);
    for (const page of generation.pages) this.#pages.drop(page);
  }
}
