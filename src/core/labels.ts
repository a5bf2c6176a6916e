import type { ByteReader, ByteWriter } from '../base/bytes.js';
import { type Pages, PlainPage } from './snapshot/page.js';

const LABELS_PER_PAGE = 256;

/** Who made an attempt. */
export interface Label {
  readonly id: number;
  readonly worker: string;
  readonly node: string;
}

interface CountedLabel extends Label {
  readonly page: LabelPage;
  /** Sessions and records that name it. */
  references: number;
}

class LabelPage extends PlainPage {
  /** Ascending by id. */
  readonly labels: CountedLabel[] = [];

  constructor(readonly number: number) {
    super(`labels/${number}`);
  }

  override encode(writer: ByteWriter): void {
    writer.u32(this.labels.length);
    for (const label of this.labels) {
      writer.f64(label.id);
      writer.string(label.worker);
      writer.string(label.node);
    }
  }
}

/** Names of workers with their nodes, each stored once and kept while a session or a record refers to it. */
export class LabelTable {
  readonly #pages: Pages;
  readonly #byId = new Map<number, CountedLabel>();
  readonly #byText = new Map<string, CountedLabel>();
  readonly #labelPages = new Map<number, LabelPage>();

  constructor(pages: Pages) {
    this.#pages = pages;
  }

  get(id: number): Label | null {
    return this.#byId.get(id) ?? null;
  }

  /** Id of the label, referred to once more; `nextId` is asked for one when it is new. */
  intern(worker: string, node: string, nextId: () => number): number {
    const text = `${worker}\u0000${node}`;
    const known = this.#byText.get(text);
    if (known !== undefined) {
      known.references++;
      return known.id;
    }
    const id = nextId();
    const number = Math.floor(id / LABELS_PER_PAGE);
    let page = this.#labelPages.get(number);
    if (page === undefined) {
      page = new LabelPage(number);
      this.#labelPages.set(number, page);
      this.#pages.add(page);
    } else {
      this.#pages.touch(page);
    }
    this.#insert({ id, worker, node, page, references: 1 });
    return id;
  }

  /** One more reference. 0 is no label. */
  hold(id: number): void {
    if (id !== 0) this.#byId.get(id)!.references++;
  }

  release(id: number): void {
    if (id === 0) return;
    const label = this.#byId.get(id)!;
    if (--label.references > 0) return;
    const { page } = label;
    this.#pages.touch(page);
    page.labels.splice(page.labels.indexOf(label), 1);
    this.#byId.delete(id);
    this.#byText.delete(`${label.worker}\u0000${label.node}`);
    if (page.labels.length > 0) return;
    this.#labelPages.delete(page.number);
    this.#pages.drop(page);
  }

  /** References are counted anew by `hold`. */
  restore(number: number, reader: ByteReader, version: number): void {
    const page = new LabelPage(number);
    this.#labelPages.set(number, page);
    this.#pages.restore(page, version);
    for (let left = reader.u32(); left > 0; left--) {
      this.#insert({ id: reader.f64(), worker: reader.string(), node: reader.string(), page, references: 0 });
    }
  }

  #insert(label: CountedLabel): void {
    label.page.labels.push(label);
    this.#byId.set(label.id, label);
    this.#byText.set(`${label.worker}\u0000${label.node}`, label);
  }
}
