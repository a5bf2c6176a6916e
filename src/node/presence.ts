import { encodeNodeUp } from '../core/index.js';
import type { NodeOptions } from './options.js';
import type { Origin } from './origin.js';

export interface PresenceParts {
  readonly options: NodeOptions;
  readonly origin: Origin;
  /** Hands a NodeUp to the leader; it may be lost. */
  readonly deliver: (bytes: Uint8Array) => void;
  /** This node has its incarnation. */
  readonly begun: () => void;
}

/**
 * This node's own start and end in the log: NodeUp, whose index becomes the incarnation, is said again until it was
 * applied here; NodeDown takes the incarnation back. A nonce tells the present start from earlier ones.
 */
export class Presence {
  readonly #parts: PresenceParts;
  #nonce: number;
  #leaving = false;

  constructor(parts: PresenceParts) {
    this.#parts = parts;
    this.#nonce = parts.options.random.below(2 ** 32);
  }

  get leaving(): boolean {
    return this.#leaving;
  }

  propose(): void {
    if (this.#leaving) return;
    const { options } = this.#parts;
    const bytes = encodeNodeUp({
      name: options.name,
      nonce: this.#nonce,
      grpc: options.advertised.grpc,
      http: options.advertised.http,
      version: options.version,
    });
    this.#parts.deliver(bytes);
  }

  /** To be called a few times per second, and whenever somebody may take it. */
  proposeIfMissing(): void {
    if (this.#parts.origin.incarnation === 0) this.propose();
  }

  /** A NodeUp was applied. */
  up(name: string, nonce: number, incarnation: number): void {
    const { options, origin } = this.#parts;
    if (name !== options.name || nonce !== this.#nonce) return;
    if (origin.incarnation === incarnation || this.#leaving) return;
    origin.begin(incarnation);
    this.#parts.begun();
  }

  /** The node counts as started anew. */
  renew(): void {
    this.#nonce = this.#parts.options.random.below(2 ** 32);
    this.propose();
  }

  /** To be called once nothing is under way any more. */
  leave(): Promise<void> {
    this.#leaving = true;
    const { origin } = this.#parts;
    const { incarnation } = origin;
    if (incarnation === 0) return Promise.resolve();
    return new Promise((resolve) => {
      origin.propose({
        bytes: 32,
        repeatable: false,
        encode: (builder) => builder.nodeDown(incarnation),
        done: () => resolve(),
        failed: () => resolve(),
      });
    });
  }
}
