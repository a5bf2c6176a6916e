import { ByteWriter } from '../../base/bytes.js';
import type { SnapshotCursor } from '../interface.js';
import { JobPage } from '../jobs/page.js';
import type { State } from '../state.js';
import type { PagePart, Skip, StatePage } from './page.js';

/**
 * Hands out the pages as they were at the begin, one a call, while entries go on being applied: a page that changes
 * before its turn was frozen by `Pages.touch`. The records of a page are encoded in the call that comes to it; its
 * blobs never change, and none is released while the snapshot runs.
 */
class Cursor implements SnapshotCursor {
  readonly index: number;
  readonly #state: State;
  readonly #writer = new ByteWriter(64 * 1024);
  #pages: StatePage[];
  #parts: readonly PagePart[] = [];
  #part = 0;
  /** The page was brought into memory for this. */
  #loaded: JobPage | null = null;
  #ended = false;

  constructor(state: State) {
    this.#state = state;
    this.index = state.index;
    this.#pages = state.pages.beginSnapshot().reverse();
  }

  next(
    skip: Skip,
  ): { readonly key: string; readonly version: number; readonly bytes: Uint8Array | null } | null {
    if (this.#ended) return null;
    const { pages, jobs } = this.#state;
    while (this.#part === this.#parts.length) {
      const page = this.#pages.pop();
      pages.presenting = null;
      // It was on disk before its turn came, and goes back.
      if (this.#loaded !== null) jobs.putAway(this.#loaded);
      this.#loaded = null;
      if (page === undefined) {
        this.cancel();
        return null;
      }
      const spilled = page instanceof JobPage && page.spilledTo !== null;
      this.#parts = (page.frozen ?? page.present(skip)).parts;
      if (spilled && page.spilledTo === null) this.#loaded = page;
      this.#part = 0;
      page.frozen = null;
      page.snapshot = pages.snapshot;
      pages.presenting = page;
    }
    const part = this.#parts[this.#part++]!;
    const { key, version } = part;
    if (skip(key, version)) return { key, version, bytes: null };
    part.encode(this.#writer);
    return { key, version, bytes: this.#writer.take() };
  }

  cancel(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const page of this.#pages) page.frozen = null;
    this.#pages = [];
    this.#parts = [];
    this.#state.pages.endSnapshot();
    this.#state.jobs.releaseHeld();
  }
}

export function beginSnapshot(state: State): SnapshotCursor {
  return new Cursor(state);
}
