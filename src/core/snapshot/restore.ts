import { ByteReader, MalformedBytesError } from '../../base/bytes.js';
import type { Restorer } from '../interface.js';
import { readBlobs } from '../jobs/blob-pages.js';
import { JOBS_PER_PAGE } from '../jobs/fields.js';
import { readJobPage } from '../jobs/page.js';
import type { State } from '../state.js';
import { checkBlobs } from './blob-check.js';
import { rebuild } from './rebuild.js';

interface LargeBlob {
  readonly seq: number;
  readonly column: number;
  readonly handle: number;
}

/** Takes the pages of a snapshot in any order, then makes the state of which they are. */
class StateRestorer implements Restorer {
  readonly #state: State;
  readonly #done: () => void;
  /** Pages that are read in `finish`, in an order of ours. */
  readonly #plain = new Map<string, Uint8Array>();
  readonly #numbered = new Map<string, { readonly number: number; readonly bytes: Uint8Array }[]>();
  readonly #tombs = new Map<string, Uint8Array>();
  readonly #blobs: LargeBlob[] = [];
  /** Of all that jobs have: what goes where no state is made of it. */
  #handles: number[] = [];
  #missing = 0;
  #over = false;

  constructor(state: State, done: () => void) {
    this.#state = state;
    this.#done = done;
  }

  page(key: string, bytes: Uint8Array): void {
    const { payloads } = this.#state;
    const [kind, first, ...rest] = key.split('/');
    const number = Number(first ?? 0);
    if (!Number.isSafeInteger(number) || number < 0) throw new MalformedBytesError(`page key ${key}`);
    switch (kind) {
      case 'jobs': {
        const put = (blob: Uint8Array): number => this.#put(blob);
        const { page, version } = readJobPage(number, bytes, payloads, put, () => this.#missing++);
        if (this.#state.jobs.pageFrom(number)?.number === number)
          throw new MalformedBytesError(`${key} came twice`);
        this.#state.jobs.restore(page, version);
        return;
      }
      case 'blob':
      case 'blobs':
        readBlobs(bytes, (place, column, blob) => {
          const seq = number * JOBS_PER_PAGE + place;
          this.#blobs.push({ seq, column, handle: this.#put(blob) });
        });
        return;
      case 'ended':
        this.#tombs.set(key, Uint8Array.from(bytes));
        return;
      case 'schedule-payload': {
        const reader = new ByteReader(bytes);
        const version = reader.f64();
        this.#state.schedules.restorePayload(number, reader, version);
        return;
      }
      case 'functions':
      case 'labels':
      case 'schedules':
      case 'sessions': {
        if (rest.length > 0) throw new MalformedBytesError(`page key ${key}`);
        const pages = this.#numbered.get(kind) ?? [];
        pages.push({ number, bytes: Uint8Array.from(bytes) });
        this.#numbered.set(kind, pages);
        return;
      }
      case 'meta':
      case 'nodes':
      case 'dedupe':
        this.#plain.set(kind, Uint8Array.from(bytes));
        return;
      default:
        throw new MalformedBytesError(`page key ${key}`);
    }
  }

  finish(): void {
    const state = this.#state;
    state.jobs.restored();
    this.#plainPage('meta', (reader, version) => {
      state.meta.restore(reader);
      state.pages.restore(state.meta, version);
    });
    this.#plainPage('nodes', (reader, version) => {
      state.nodes.restore(reader);
      state.pages.restore(state.nodes, version);
    });
    this.#plainPage('dedupe', (reader, version) => {
      state.dedupe.restore(reader, this.#tombs);
      state.pages.restore(state.dedupe, version);
    });
    this.#each('functions', (number, reader, version) => state.functions.restore(number, reader, version));
    state.functions.restored();
    this.#each('labels', (number, reader, version) => state.labels.restore(number, reader, version));
    this.#each('sessions', (number, reader, version) => state.sessions.restore(number, reader, version));
    this.#each('schedules', (number, reader, version) => state.schedules.restore(number, reader, version));
    state.schedules.restored();
    if (this.#blobs.length !== this.#missing) throw new MalformedBytesError('blobs are missing');
    for (const { seq, column, handle } of this.#blobs) {
      const page = state.jobs.page(seq);
      const row = page === null ? -1 : page.row(seq);
      if (page === null || row < 0) throw new MalformedBytesError(`a blob of job ${seq}, which is not there`);
      page.setBlob(row, column, handle);
    }
    rebuild(state);
    checkBlobs(state);
    this.#handles = [];
    this.#done();
    this.#over = true;
  }

  abandon(): void {
    if (this.#over) return;
    this.#over = true;
    const { payloads, schedules } = this.#state;
    for (const handle of this.#handles) payloads.release(handle);
    schedules.releaseAll();
  }

  #put(blob: Uint8Array): number {
    const handle = this.#state.payloads.put(blob);
    this.#handles.push(handle);
    return handle;
  }

  #plainPage(key: string, read: (reader: ByteReader, version: number) => void): void {
    const bytes = this.#plain.get(key);
    if (bytes === undefined) throw new MalformedBytesError(`page ${key} is missing`);
    const reader = new ByteReader(bytes);
    read(reader, reader.f64());
    if (reader.left > 0) throw new MalformedBytesError(`page ${key} is too long`);
  }

  #each(kind: string, read: (number: number, reader: ByteReader, version: number) => void): void {
    const pages = this.#numbered.get(kind) ?? [];
    pages.sort((a, b) => a.number - b.number);
    for (const { number, bytes } of pages) {
      const reader = new ByteReader(bytes);
      read(number, reader, reader.f64());
    }
  }
}

/** `done` is called at the end: the state is whole. */
export function beginRestore(state: State, done: () => void): Restorer {
  return new StateRestorer(state, done);
}
