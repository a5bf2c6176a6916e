import { ByteReader, MalformedBytesError } from '../../base/bytes.js';
import type { Restorer } from '../interface.js';
import { readBlobs } from '../jobs/blob-pages.js';
import { type JobPage, readJobPage } from '../jobs/page.js';
import type { State } from '../state.js';
import { rebuild } from './rebuild.js';

/** A blob that did not come in the page of its job. */
interface LargeBlob {
  readonly place: number;
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
  /** Blobs whose job's page has not come yet, by its number. */
  readonly #early = new Map<number, LargeBlob[]>();
  /** How many blobs are still to come for a page that has come. */
  readonly #missing = new Map<number, number>();
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
        const { jobs } = this.#state;
        if (jobs.peek(number) !== null) throw new MalformedBytesError(`${key} came twice`);
        let missing = 0;
        const { page, version } = readJobPage(number, bytes, payloads, () => missing++, jobs.tally);
        jobs.restore(page, version);
        if (missing > 0) this.#missing.set(number, missing);
        else this.#whole(page);
        const early = this.#early.get(number) ?? [];
        for (let blob = early.pop(); blob !== undefined; blob = early.pop()) this.#setBlob(page, blob);
        this.#early.delete(number);
        return;
      }
      case 'blob':
      case 'blobs':
        readBlobs(bytes, (place, column, bytes) => {
          const blob = { place, column, handle: payloads.put(bytes) };
          const page = this.#state.jobs.peek(number);
          const early = this.#early.get(number);
          if (page !== null) this.#setBlob(page, blob);
          else if (early === undefined) this.#early.set(number, [blob]);
          else early.push(blob);
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
    for (const _ of this.steps());
  }

  *steps(): Iterable<void> {
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
    if (this.#missing.size > 0) throw new MalformedBytesError('blobs are missing');
    const [homeless] = this.#early.keys();
    if (homeless !== undefined)
      throw new MalformedBytesError(`blobs of page ${homeless}, which is not there`);
    yield* rebuild(state);
    this.#done();
    this.#over = true;
  }

  abandon(): void {
    if (this.#over) return;
    this.#over = true;
    const { payloads, schedules, jobs } = this.#state;
    for (const { handle } of Array.from(this.#early.values()).flat()) payloads.release(handle);
    jobs.releaseAll();
    schedules.releaseAll();
  }

  #setBlob(page: JobPage, { place, column, handle }: LargeBlob): void {
    const { number } = page;
    const missing = this.#missing.get(number) ?? 0;
    const row = missing === 0 ? -1 : page.rows[place]!;
    if (row < 0 || page.blob(row, column) !== 0) {
      this.#state.payloads.release(handle);
      throw new MalformedBytesError(`a blob that job ${page.first + place} does not ask for`);
    }
    page.setBlob(row, column, handle);
    if (missing > 1) {
      this.#missing.set(number, missing - 1);
    } else {
      this.#missing.delete(number);
      this.#whole(page);
    }
  }

  /** A page has all its jobs' blobs. */
  #whole(page: JobPage): void {
    if (this.#state.relief.isTight) this.#state.jobs.putAway(page);
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
