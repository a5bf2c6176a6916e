import type { BlobsParts } from './parts.js';
import { type BlobSource, type BlobTransfers, type Outgoing, WINDOW_CHUNKS } from './transfers.js';

/** Pause before a node that gave a blob up is sent it again, milliseconds. */
const AGAIN_MS = 1_000;

export interface SpreadParts
  extends Pick<BlobsParts, 'clock' | 'membership' | 'nameOf' | 'raftId' | 'transport'> {
  readonly transfers: BlobTransfers;
}

/**
 * One blob on its way to the voters. Each has a stream of its own, so a slow one holds up nobody: it is read from this
 * node's disk where it does not keep up. What counts is the majority, of both halves while the membership changes.
 */
export class Spread {
  /** All of it is durable here. */
  sealedHere = false;
  readonly #parts: SpreadParts;
  readonly #source: BlobSource;
  readonly #changed: () => void;
  readonly #streams = new Map<number, Outgoing>();
  readonly #sealed = new Set<number>();
  readonly #pauses = new Map<number, number>();
  #closed = false;

  /** `changed`: something was written somewhere, or a stream ended. */
  constructor(parts: SpreadParts, source: BlobSource, changed: () => void) {
    this.#parts = parts;
    this.#source = source;
    this.#changed = changed;
  }

  /** Begins the streams that are missing. To be called at the start, when a peer connects, and now and then. */
  look(): void {
    const { raftId, nameOf, transport, clock, transfers } = this.#parts;
    if (this.#closed) return;
    for (const id of this.#voters()) {
      const name = nameOf(id);
      if (id === raftId || this.#sealed.has(id) || this.#streams.has(id) || name === null) continue;
      if (!transport.isConnected(name) || clock.monotonicMs() < (this.#pauses.get(id) ?? 0)) continue;
      const stream = transfers.put(name, this.#source, {
        moved: this.#changed,
        ended: (reason) => {
          this.#streams.delete(id);
          if (reason === null) this.#sealed.add(id);
          else this.#pauses.set(id, clock.monotonicMs() + AGAIN_MS);
          this.#changed();
        },
      });
      if (stream !== null) this.#streams.set(id, stream);
    }
  }

  /** There is more to send. */
  kick(): void {
    for (const stream of this.#streams.values()) stream.kick();
  }

  /** A majority has all of it. */
  get isCounted(): boolean {
    return this.#halves().every((half) => half.filter((id) => this.#has(id)).length * 2 > half.length);
  }

  /** Chunks that a majority has written. */
  get pace(): number {
    let pace = Number.POSITIVE_INFINITY;
    for (const half of this.#halves()) {
      const written = half.map((id) => this.#written(id)).sort((a, b) => b - a);
      pace = Math.min(pace, written[Math.floor(half.length / 2)] ?? 0);
    }
    return pace;
  }

  /** The majority has it: those who are nearly done go on, the others fetch it later. True while some go on. */
  linger(): boolean {
    this.#closed = true;
    for (const stream of [...this.#streams.values()]) {
      if (this.#source.chunks - stream.taken > 2 * WINDOW_CHUNKS) stop(stream, 'the majority has it');
    }
    return this.#streams.size > 0;
  }

  close(reason: string): void {
    this.#closed = true;
    for (const stream of [...this.#streams.values()]) stop(stream, reason);
  }

  #has(id: number): boolean {
    return id === this.#parts.raftId ? this.sealedHere : this.#sealed.has(id);
  }

  #written(id: number): number {
    const { chunks } = this.#source;
    if (id === this.#parts.raftId || this.#sealed.has(id)) return chunks;
    return this.#streams.get(id)?.taken ?? 0;
  }

  #halves(): readonly (readonly number[])[] {
    const { voters, outgoing } = this.#parts.membership();
    return outgoing.length === 0 ? [voters] : [voters, outgoing];
  }

  #voters(): Set<number> {
    return new Set(this.#halves().flat());
  }
}

function stop(stream: Outgoing, reason: string): void {
  stream.stop(reason);
}
