import { ByteReader, ByteWriter } from '../../base/bytes.js';
import type { Pages } from '../snapshot/page.js';
import type { SpillStore } from '../types.js';
import { readImage, writeImage } from './image.js';
import type { JobPage, PageLoader } from './page.js';

const WRITER_BYTES = 64 * 1024;
/** A writer that grew larger than this is not kept. */
const WRITER_BYTES_MAX = 1024 * 1024;

/**
 * Pages of jobs on disk. It changes where a page is, and never what it says: replicas may differ in it. A page comes
 * back as a whole as soon as one of its jobs is looked at; its image stays good for the next time until something changes.
 */
export class Spill implements PageLoader {
  readonly #pages: Pages;
  readonly #store: SpillStore | null;
  #writer = new ByteWriter(WRITER_BYTES);
  #jobs = 0;
  #gone = 0;
  #loads = 0;

  constructor(pages: Pages, store: SpillStore | null) {
    this.#pages = pages;
    this.#store = store;
  }

  /** Jobs that are on disk alone. */
  get jobs(): number {
    return this.#jobs;
  }

  /** Pages whose jobs are on disk alone. */
  get pages(): number {
    return this.#gone;
  }

  /** Pages that came back. */
  get loads(): number {
    return this.#loads;
  }

  get accepts(): boolean {
    return this.#store?.accepts === true;
  }

  /** Puts a page on disk; false where that cannot be. Nobody may hold its rows, or views on its payloads. */
  take(page: JobPage): boolean {
    const store = this.#store;
    if (store === null || page.spilledTo !== null || page.dropped) return false;
    // A running snapshot needs what they have in memory.
    if (page.frozen !== null || page === this.#pages.presenting) return false;
    if (page.image === 0 || page.imageVersion !== page.version) {
      if (!store.accepts) return false;
      this.#pages.settle(page);
      this.drop(page);
      const writer = this.#writer;
      writeImage(page, writer);
      page.image = store.put(writer.view());
      page.imageBytes = writer.length;
      page.imageVersion = page.version;
      writer.reset();
      if (page.imageBytes > WRITER_BYTES_MAX) this.#writer = new ByteWriter(WRITER_BYTES);
    }
    this.#jobs += page.count;
    this.#gone++;
    page.unload(this);
    return true;
  }

  load(page: JobPage): void {
    const bytes = this.#store!.get(page.image, page.imageBytes);
    page.reload();
    readImage(page, new ByteReader(bytes));
    this.#jobs -= page.count;
    this.#gone--;
    this.#loads++;
  }

  /** The image of a page is good for nothing. */
  drop(page: JobPage): void {
    if (page.image === 0) return;
    this.#store!.release(page.image, page.imageBytes);
    page.image = 0;
  }

  /** The page is gone, and its image with it. */
  forget(page: JobPage): void {
    if (page.spilledTo !== null) {
      this.#jobs -= page.count;
      this.#gone--;
    }
    this.drop(page);
  }

  /** Something on disk should be moved: see `tidy`. */
  get isWasteful(): boolean {
    return this.#store?.isWasteful === true;
  }

  /** Gives up an image that is out of date, and puts another one elsewhere where the store wants that. */
  tidy(page: JobPage): void {
    const store = this.#store;
    if (store === null || page.image === 0) return;
    const isScattered = store.isScattered(page.image);
    if (page.spilledTo === null) {
      if (isScattered || page.imageVersion !== page.version) this.drop(page);
    } else if (isScattered && store.accepts) {
      const image = store.put(store.get(page.image, page.imageBytes));
      this.drop(page);
      page.image = image;
    }
  }
}
