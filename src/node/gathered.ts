import type { BatchBuilder } from '../core/interface.js';
import type { Origin } from './origin.js';

/** Items of one proposal; with more, another one begins. */
const ITEMS_MAX = 256;
const ITEM_BYTES = 16;

/**
 * What many connections add to one small command, as numbers by key: proposed once, and encoded with the turn's batch as
 * it stands then.
 */
export class Gathered {
  readonly #origin: Origin;
  readonly #encode: (builder: BatchBuilder, items: ReadonlyMap<number, number>) => void;
  /** Proposed and neither applied nor lost. */
  readonly #pending = new Set<Map<number, number>>();
  /** Not encoded yet. */
  #open: Map<number, number> | null = null;

  constructor(origin: Origin, encode: (builder: BatchBuilder, items: ReadonlyMap<number, number>) => void) {
    this.#origin = origin;
    this.#encode = encode;
  }

  /** What comes to nothing for a key is not said. */
  add(key: number, change: number): void {
    let items = this.#open;
    if (items === null || items.size >= ITEMS_MAX) items = this.#propose();
    const sum = (items.get(key) ?? 0) + change;
    if (sum === 0) items.delete(key);
    else items.set(key, sum);
  }

  /** It need not be said, where it was not said yet. */
  remove(key: number): void {
    this.#open?.delete(key);
  }

  /** Whatever was not applied yet shall not be. */
  void(): void {
    for (const items of this.#pending) items.clear();
    this.#open = null;
  }

  #propose(): Map<number, number> {
    const items = new Map<number, number>();
    const over = (): void => {
      this.#pending.delete(items);
      if (this.#open === items) this.#open = null;
    };
    this.#open = items;
    this.#pending.add(items);
    this.#origin.propose({
      bytes: 16 + ITEMS_MAX * ITEM_BYTES,
      repeatable: false,
      awaited: false,
      owed: true,
      encode: (builder) => {
        if (this.#open === items) this.#open = null;
        if (items.size > 0) this.#encode(builder, items);
      },
      done: over,
      failed: over,
    });
    return items;
  }
}
