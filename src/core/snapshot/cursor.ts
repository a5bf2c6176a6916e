import { ByteWriter } from '../../base/bytes.js';
import type { SnapshotCursor } from '../interface.js';
import type { State } from '../state.js';
import type { PagePart, StatePage } from './page.js';

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
  #ended = false;

  constructor(state: State) {
    this.#state = state;
    this.index = state.index;
    this.#pages = state.pages.beginSnapshot().reverse();
  }

  next(
    skip: (key: string, version: number) => boolean,
  ): { readonly key: string; readonly version: number; readonly bytes: Uint8Array | null } | null {
    if (this.#ended) return null;
    while (this.#part === this.#parts.length) {
      const page = this.#pages.pop();
      if (page === undefined) {
        this.cancel();
        return null;
      }
      this.#parts = (page.frozen ?? page.present()).parts;
      this.#part = 0;
      page.frozen = null;
      page.snapshot = this.#state.pages.snapshot;
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
