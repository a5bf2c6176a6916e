import type { ByteReader, ByteWriter } from '../base/bytes.js';
import { type Pages, PlainPage } from './snapshot/page.js';

/** Nodes remembered at most; beyond, those that are down are forgotten, the longest gone first. */
const NODES_MAX = 64;

/** The newest life of a node. */
export interface NodeState {
  readonly name: string;
  readonly nonce: number;
  readonly incarnation: number;
  readonly grpc: string;
  readonly http: string;
  readonly version: string;
  up: boolean;
  stalled: boolean;
  /** Clients of this life waited for jobs: where it ends, they are looked for. */
  waits: boolean;
  /** Number of the last batch applied. */
  lastBatch: number;
}

/** The nodes by name, each with its newest incarnation. */
export class NodeTable extends PlainPage {
  readonly #pages: Pages;
  readonly #byName = new Map<string, NodeState>();
  readonly #live = new Map<number, NodeState>();

  constructor(pages: Pages) {
    super('nodes');
    this.#pages = pages;
  }

  byName(name: string): NodeState | null {
    return this.#byName.get(name) ?? null;
  }

  /** Null for an unknown or retired incarnation. */
  live(incarnation: number): NodeState | null {
    return this.#live.get(incarnation) ?? null;
  }

  /** Ascending by name. */
  all(): NodeState[] {
    return Array.from(this.#byName.values()).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** A new life of a node; the caller has retired the one before. */
  put(node: NodeState): void {
    this.#pages.touch(this);
    this.#byName.set(node.name, node);
    if (node.up) this.#live.set(node.incarnation, node);
    if (this.#byName.size <= NODES_MAX) return;
    let oldest: NodeState | null = null;
    for (const other of this.#byName.values()) {
      if (!other.up && (oldest === null || other.incarnation < oldest.incarnation)) oldest = other;
    }
    if (oldest !== null) this.#byName.delete(oldest.name);
  }

  retire(node: NodeState): void {
    this.#pages.touch(this);
    node.up = false;
    this.#live.delete(node.incarnation);
  }

  override encode(writer: ByteWriter): void {
    const nodes = this.all();
    writer.u32(nodes.length);
    for (const node of nodes) {
      writer.string(node.name);
      writer.f64(node.nonce);
      writer.f64(node.incarnation);
      writer.string(node.grpc);
      writer.string(node.http);
      writer.string(node.version);
      writer.u8((node.up ? 1 : 0) | (node.stalled ? 2 : 0) | (node.waits ? 4 : 0));
      writer.f64(node.lastBatch);
    }
  }

  restore(reader: ByteReader): void {
    for (let left = reader.u32(); left > 0; left--) {
      const life = {
        name: reader.string(),
        nonce: reader.f64(),
        incarnation: reader.f64(),
        grpc: reader.string(),
        http: reader.string(),
        version: reader.string(),
      };
      const flags = reader.u8();
      this.put({
        ...life,
        up: (flags & 1) !== 0,
        stalled: (flags & 2) !== 0,
        waits: (flags & 4) !== 0,
        lastBatch: reader.f64(),
      });
    }
  }
}
