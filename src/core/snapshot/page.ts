import { ByteWriter } from '../../base/bytes.js';
import { invariant } from '../../base/invariant.js';
import { Hash64, hex64, mixText } from '../tables/hash.js';

const scratch = new ByteWriter(16 * 1024);

/** A page as it was when a snapshot began. `parts` are made one by one, each when the cursor comes to it. */
export interface FrozenPage {
  readonly parts: readonly PagePart[];
}

/** Names a part of a page, and the state in which it is. */
export interface PartName {
  readonly key: string;
  readonly version: number;
}

export interface PagePart extends PartName {
  encode(writer: ByteWriter): void;
}

/** Whether a part is wanted as a reference only: it is written already. */
export type Skip = (key: string, version: number) => boolean;

/**
 * A piece of the replicated state that is hashed, copied and restored as a whole. Whoever changes anything in it
 * calls `Pages.touch` first.
 */
export abstract class StatePage {
  /** Log index of the last change. */
  version = 0;
  /** In the list of pages whose hash must be computed anew. */
  dirty = false;
  dropped = false;
  hashHigh = 0;
  hashLow = 0;
  /** Number of the newest snapshot that this page no longer concerns: written, copied, or made after its begin. */
  snapshot = 0;
  frozen: FrozenPage | null = null;

  constructor(readonly key: string) {}

  /** Feeds all replicated content, in an order that a restored replica reproduces. */
  abstract hash(into: Hash64): void;
  /** Captures the content as it is now. */
  abstract freeze(): FrozenPage;
  /**
   * The same without a copy where that can be had: valid until the next change.
   *
   * @param skip which parts are wanted as references only
   */
  abstract present(skip: Skip): FrozenPage;
}

/** A page that is small enough to be encoded at once when it is frozen. */
export abstract class PlainPage extends StatePage {
  /** All replicated content. In a snapshot the page's version, a f64, stands before it. */
  abstract encode(writer: ByteWriter): void;

  override hash(into: Hash64): void {
    const writer = scratch;
    writer.reset();
    this.encode(writer);
    into.bytes(writer.view());
    writer.reset();
  }

  override freeze(): FrozenPage {
    scratch.reset();
    scratch.f64(this.version);
    this.encode(scratch);
    const bytes = scratch.take();
    const { key, version } = this;
    return { parts: [{ key, version, encode: (writer) => writer.raw(bytes) }] };
  }

  override present(): FrozenPage {
    return this.freeze();
  }
}

/** All pages, the sum of their hashes, and what a running snapshot still needs of them. */
export class Pages {
  /** Log index being applied. */
  index = 0;
  readonly #all = new Set<StatePage>();
  readonly #hash = new Hash64();
  #dirty: StatePage[] = [];
  #sumHigh = 0;
  #sumLow = 0;
  #snapshot = 0;
  #running = false;
  /** Whose parts a running snapshot is at. */
  presenting: StatePage | null = null;

  /** Number of the newest snapshot begun. */
  get snapshot(): number {
    return this.#snapshot;
  }

  get snapshotRuns(): boolean {
    return this.#running;
  }

  /** Moves on to an entry of the log. `meta` holds the index: a snapshot keeps it with the one before. */
  begin(index: number, meta: StatePage): void {
    this.#keep(meta);
    this.index = index;
    this.touch(meta);
  }

  /** To be called before anything in the page changes. */
  touch(page: StatePage): void {
    if (page.version === this.index && page.dirty && page.snapshot === this.#snapshot) return;
    this.#keep(page);
    page.version = this.index;
    if (!page.dirty) {
      page.dirty = true;
      this.#dirty.push(page);
    }
  }

  /** A page made by the entry being applied. */
  add(page: StatePage): void {
    page.snapshot = this.#snapshot;
    this.#all.add(page);
    page.version = this.index;
    page.dirty = true;
    this.#dirty.push(page);
  }

  /** A page that came out of a snapshot with this version. */
  restore(page: StatePage, version: number): void {
    this.add(page);
    page.version = version;
  }

  drop(page: StatePage): void {
    this.#keep(page);
    this.#all.delete(page);
    page.dropped = true;
    this.#sumHigh = (this.#sumHigh - page.hashHigh) >>> 0;
    this.#sumLow = (this.#sumLow - page.hashLow) >>> 0;
  }

  stateHash(): string {
    this.#rehash();
    return hex64(this.#sumHigh, this.#sumLow);
  }

  pageHashes(): ReadonlyMap<string, string> {
    this.#rehash();
    const out = new Map<string, string>();
    for (const page of this.#all) out.set(page.key, hex64(page.hashHigh, page.hashLow));
    return out;
  }

  /** From now on pages are frozen before their first change, until `endSnapshot`. */
  beginSnapshot(): StatePage[] {
    invariant(!this.#running, 'one snapshot at a time');
    this.#snapshot++;
    this.#running = true;
    return Array.from(this.#all);
  }

  endSnapshot(): void {
    this.#running = false;
    this.presenting = null;
  }

  /** Brings the hash of one page up to date, which then need not be in memory for it. */
  settle(page: StatePage): void {
    if (page.dirty) this.#rehashPage(page);
  }

  #keep(page: StatePage): void {
    if (page.snapshot === this.#snapshot) return;
    page.snapshot = this.#snapshot;
    if (this.#running) page.frozen = page.freeze();
  }

  #rehash(): void {
    for (const page of this.#dirty) {
      if (page.dirty) this.#rehashPage(page);
    }
    this.#dirty = [];
  }

  #rehashPage(page: StatePage): void {
    page.dirty = false;
    if (page.dropped) return;
    const hash = this.#hash;
    hash.reset();
    hash.u32(mixText(page.key, 1));
    page.hash(hash);
    const { high, low } = hash;
    this.#sumHigh = (this.#sumHigh - page.hashHigh + high) >>> 0;
    this.#sumLow = (this.#sumLow - page.hashLow + low) >>> 0;
    page.hashHigh = high;
    page.hashLow = low;
  }
}
