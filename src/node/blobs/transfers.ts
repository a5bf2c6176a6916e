import type { Clock } from '../../base/clock.js';
import { invariant } from '../../base/invariant.js';
import type { BlobRef } from '../../core/types.js';
import type { PeerFrame, Transport } from '../../peer/types.js';
import { BLOB_CHUNK_BYTES } from '../../storage/index.js';

/** Chunks of one stream that may be on their way without being written at the other side. */
export const WINDOW_CHUNKS = 16;
/** A stream that moves nothing for this long although something is to be moved is given up. */
const STREAM_STALL_MS = 10_000;
/** The same where a peer sends a blob here: its client may have nothing to say for long, and it says when it gives up. */
const PUT_STALL_MS = 300_000;
/** What is written is told at least this often while it is being written: a slow reader is no dead one. */
const TELL_MS = 1_000;
/** Pause before a full queue towards a peer is looked at again. */
const LOOK_MS = 5;
/** Streams that one node takes in or serves at a time, from all others together. */
const STREAMS_MAX = 256;

type Frame<T extends PeerFrame['type']> = Extract<PeerFrame, { type: T }>;

/** What is known of a blob once all of it is there. */
export interface BlobEnd {
  readonly size: number;
  readonly digest: Uint8Array;
}

/** Where a stream's chunks come from. Whoever has it calls `Outgoing.kick` when there is more. */
export interface BlobSource {
  readonly id: string;
  /** Bytes that it will have, where that is known; else 0. */
  readonly announced: number;
  readonly chunks: number;
  /** Null: more may come. */
  readonly end: BlobEnd | null;
  read(number: number): Promise<Uint8Array>;
}

/** Where a stream's chunks go: one call after the other. A rejection ends the stream. */
export interface BlobSink {
  piece(bytes: Uint8Array): Promise<void>;
  /** All of it came; resolves when it is durable. */
  end(end: BlobEnd): Promise<void>;
  /** The stream ended before that. */
  stopped(reason: string): void;
}

/** Who sends is told how it goes, never before the stream was handed to it. */
export interface StreamEars {
  /** More chunks are written there. */
  moved(): void;
  /** Once: null when it is sealed there, else why not. */
  ended(reason: string | null): void;
}

export interface TransfersParts {
  readonly transport: Pick<Transport, 'send' | 'isConnected'>;
  readonly clock: Clock;
  /** A peer sends a blob here. Null: it is here already. Rejects where it is not wanted. */
  readonly accept: (peer: string, put: Frame<'blob-put'>) => Promise<BlobSink | null>;
  /** A peer wants a blob. Rejects where it is not here. */
  readonly serve: (ref: BlobRef) => Promise<{ readonly source: BlobSource; close(): void }>;
}

/** A stream to a peer, of a blob that this node sends by itself or was asked for. */
export class Outgoing {
  readonly peer: string;
  readonly source: BlobSource;
  /** Chunks that are written there. */
  taken: number;
  readonly #parts: TransfersParts;
  readonly #transfer: number;
  readonly #fetch: boolean;
  readonly #ears: StreamEars;
  #next: number;
  #saidEnd = false;
  #over = false;
  #movedMs: number;
  #wake: (() => void) | null = null;

  constructor(
    parts: TransfersParts,
    o: { peer: string; transfer: number; fetch: boolean; source: BlobSource; from: number },
    ears: StreamEars,
  ) {
    this.#parts = parts;
    this.peer = o.peer;
    this.source = o.source;
    this.#transfer = o.transfer;
    this.#fetch = o.fetch;
    this.#next = o.from;
    this.taken = o.from;
    this.#ears = ears;
    this.#movedMs = parts.clock.monotonicMs();
    this.#run().catch((error: unknown) => this.stop((error as Error).message));
  }

  /** There may be more to send. */
  kick(): void {
    this.#wake?.();
  }

  heard(frame: Frame<'blob-taken'>): void {
    if (this.#over) return;
    this.taken = Math.max(this.taken, Math.min(frame.count, this.#next));
    this.#movedMs = this.#parts.clock.monotonicMs();
    if (frame.sealed) {
      this.#finish(null);
      return;
    }
    this.kick();
    this.#ears.moved();
  }

  /** The other side, or this one, gives it up. */
  stop(reason: string, tell = true): void {
    if (this.#over) return;
    if (tell) {
      const frame = { type: 'blob-stop', transfer: this.#transfer, fetch: this.#fetch, reason } as const;
      // Behind what was sent: it must not overtake the put.
      this.#parts.transport.send(this.peer, 'bulk', frame);
    }
    this.#finish(reason);
  }

  /** To be called now and then. */
  look(): void {
    const waits = this.#next > this.taken || this.#saidEnd;
    const silentMs = this.#parts.clock.monotonicMs() - this.#movedMs;
    if (waits && silentMs > STREAM_STALL_MS) this.stop('the other side takes nothing');
  }

  async #run(): Promise<void> {
    const { source } = this;
    const transfer = this.#transfer;
    const fetch = this.#fetch;
    while (!this.#over) {
      const { end } = source;
      if (this.#next < source.chunks) {
        if (this.#next - this.taken < WINDOW_CHUNKS) {
          const number = this.#next;
          const bytes = await source.read(number);
          if (await this.#push({ type: 'blob-piece', transfer, fetch, number, bytes })) this.#next += 1;
          continue;
        }
      } else if (end !== null && !this.#saidEnd) {
        this.#saidEnd = await this.#push({ type: 'blob-end', transfer, fetch, ...end });
        continue;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
  }

  async #push(frame: PeerFrame): Promise<boolean> {
    const { transport, clock } = this.#parts;
    while (!this.#over) {
      if (transport.send(this.peer, 'bulk', frame)) {
        this.#movedMs = clock.monotonicMs();
        return true;
      }
      if (!transport.isConnected(this.peer)) throw new Error('the connection was lost');
      await new Promise<void>((resolve) => {
        clock.setTimer(LOOK_MS, resolve);
      });
    }
    return false;
  }

  #finish(reason: string | null): void {
    this.#over = true;
    this.kick();
    this.#ears.ended(reason);
  }
}

/** A stream from a peer. */
class Incoming {
  readonly peer: string;
  readonly id: string;
  readonly fetch: boolean;
  readonly #parts: TransfersParts;
  readonly #transfer: number;
  readonly #sink: Promise<BlobSink | null>;
  readonly #gone: () => void;
  #next: number;
  #written: number;
  #told: number;
  #toldMs: number;
  #work: Promise<void>;
  #over = false;
  #ended = false;
  #movedMs: number;

  constructor(
    parts: TransfersParts,
    o: { peer: string; id: string; transfer: number; fetch: boolean; from: number },
    sink: Promise<BlobSink | null>,
    gone: () => void,
  ) {
    this.#parts = parts;
    this.peer = o.peer;
    this.id = o.id;
    this.fetch = o.fetch;
    this.#transfer = o.transfer;
    this.#next = o.from;
    this.#written = o.from;
    this.#told = o.from;
    this.#gone = gone;
    this.#movedMs = parts.clock.monotonicMs();
    this.#toldMs = this.#movedMs;
    this.#sink = sink;
    this.#work = Promise.resolve();
    this.#then(async () => {
      if ((await sink) === null) this.#seal();
    });
  }

  piece(frame: Frame<'blob-piece'>): void {
    if (this.#over) return;
    const { length } = frame.bytes;
    if (frame.number !== this.#next || this.#ended || length === 0 || length > BLOB_CHUNK_BYTES) {
      this.stop(`chunk ${frame.number} of ${length} bytes came instead of chunk ${this.#next}`);
      return;
    }
    if (this.#next - this.#written >= WINDOW_CHUNKS) {
      this.stop(`more than ${WINDOW_CHUNKS} chunks came that are not written yet`);
      return;
    }
    this.#next += 1;
    this.#movedMs = this.#parts.clock.monotonicMs();
    this.#then(async () => {
      await (await this.#sink)?.piece(frame.bytes);
      this.#written += 1;
      this.#movedMs = this.#parts.clock.monotonicMs();
      const many = this.#written - this.#told >= WINDOW_CHUNKS / 4;
      if (many || this.#written === this.#next || this.#movedMs - this.#toldMs >= TELL_MS) this.#tell(false);
    });
  }

  end(frame: Frame<'blob-end'>): void {
    if (this.#over || this.#ended) return;
    this.#ended = true;
    this.#then(async () => {
      await (await this.#sink)?.end({ size: frame.size, digest: Buffer.from(frame.digest) });
      this.#seal();
    });
  }

  /** Given up, by the other side when `tell` is false. */
  stop(reason: string, tell = true): void {
    if (this.#over) return;
    this.#over = true;
    if (tell) {
      const frame = { type: 'blob-stop', transfer: this.#transfer, fetch: this.fetch, reason } as const;
      this.#parts.transport.send(this.peer, 'control', frame);
    }
    this.#gone();
    // Behind what is being written.
    void this.#work.then(async () => (await this.#sink.catch(() => null))?.stopped(reason));
  }

  /** To be called now and then. */
  look(): void {
    const silentMs = this.#parts.clock.monotonicMs() - this.#movedMs;
    const patienceMs = this.fetch ? STREAM_STALL_MS : PUT_STALL_MS;
    if (this.#written === this.#next && silentMs > patienceMs) this.stop('no more chunks came');
  }

  #then(step: () => Promise<void>): void {
    this.#work = this.#work
      .then(() => (this.#over ? undefined : step()))
      .catch((error: unknown) => this.stop((error as Error).message));
  }

  #seal(): void {
    if (this.#over) return;
    this.#over = true;
    this.#tell(true);
    this.#gone();
  }

  #tell(sealed: boolean): void {
    this.#told = this.#written;
    this.#toldMs = this.#parts.clock.monotonicMs();
    this.#parts.transport.send(this.peer, 'control', {
      type: 'blob-taken',
      transfer: this.#transfer,
      fetch: this.fetch,
      count: this.#written,
      sealed,
    });
  }
}

const keyOf = (peer: string, frame: { readonly transfer: number; readonly fetch: boolean }): string =>
  `${frame.fetch ? 'fetch' : 'put'} ${frame.transfer} ${peer}`;

/** The streams of blobs between this node and the others. */
export class BlobTransfers {
  readonly #parts: TransfersParts;
  readonly #outgoing = new Map<string, Outgoing>();
  readonly #incoming = new Map<string, Incoming>();
  #lastTransfer = 0;

  constructor(parts: TransfersParts) {
    this.#parts = parts;
  }

  /** True while a peer sends this blob here. */
  receives(id: string): boolean {
    for (const incoming of this.#incoming.values()) if (incoming.id === id && !incoming.fetch) return true;
    return false;
  }

  /** Sends a blob. Null: the peer's queue takes nothing now. */
  put(peer: string, source: BlobSource, ears: StreamEars): Outgoing | null {
    const transfer = ++this.#lastTransfer;
    const { end } = source;
    const sent = this.#parts.transport.send(peer, 'bulk', {
      type: 'blob-put',
      transfer,
      id: source.id,
      size: source.announced,
      digest: end?.digest ?? new Uint8Array(0),
    });
    return sent ? this.#send({ peer, transfer, fetch: false, source, from: 0 }, ears) : null;
  }

  /** Asks for a blob from chunk `from` on. Returns how to give it up; null: the peer cannot be asked now. */
  get(peer: string, ref: BlobRef, from: number, sink: BlobSink): ((reason: string) => void) | null {
    const transfer = ++this.#lastTransfer;
    const { id, size, digest } = ref;
    const frame = { type: 'blob-get', transfer, id, size, digest, from } as const;
    if (!this.#parts.transport.send(peer, 'control', frame)) return null;
    const incoming = this.#receive({ peer, id, transfer, fetch: true, from }, Promise.resolve(sink));
    return (reason) => incoming.stop(reason);
  }

  /** Ends what peers send here of this blob. */
  refuse(id: string, reason: string): void {
    for (const incoming of [...this.#incoming.values()]) {
      if (incoming.id === id && !incoming.fetch) incoming.stop(reason);
    }
  }

  frame(from: string, frame: PeerFrame): void {
    switch (frame.type) {
      case 'blob-put': {
        const { id, transfer } = frame;
        const full = this.#incoming.size >= STREAMS_MAX;
        const sink = full
          ? Promise.reject(new Error('too many blobs come in at once'))
          : this.#parts.accept(from, frame);
        this.#receive({ peer: from, id, transfer, fetch: false, from: 0 }, sink);
        return;
      }
      case 'blob-get':
        this.#serve(from, frame);
        return;
      case 'blob-piece':
        this.#incoming.get(keyOf(from, frame))?.piece(frame);
        return;
      case 'blob-end':
        this.#incoming.get(keyOf(from, frame))?.end(frame);
        return;
      case 'blob-taken':
        this.#outgoing.get(keyOf(from, frame))?.heard(frame);
        return;
      case 'blob-stop': {
        const key = keyOf(from, frame);
        this.#outgoing.get(key)?.stop(frame.reason, false);
        this.#incoming.get(key)?.stop(frame.reason, false);
        return;
      }
      default:
        return;
    }
  }

  peerLost(peer: string): void {
    for (const one of [...this.#outgoing.values(), ...this.#incoming.values()]) {
      if (one.peer === peer) one.stop('the connection was lost', false);
    }
  }

  /** To be called about once a second. */
  look(): void {
    for (const one of [...this.#outgoing.values(), ...this.#incoming.values()]) one.look();
  }

  stop(): void {
    for (const one of [...this.#outgoing.values(), ...this.#incoming.values()]) {
      one.stop('the node is stopping');
    }
  }

  #serve(peer: string, { transfer, id, size, digest, from }: Frame<'blob-get'>): void {
    const refuse = (error: unknown): void => {
      const reason = (error as Error).message;
      this.#parts.transport.send(peer, 'control', { type: 'blob-stop', transfer, fetch: true, reason });
    };
    if (this.#outgoing.size >= STREAMS_MAX) {
      refuse(new Error('too many blobs are asked for at once'));
      return;
    }
    this.#parts.serve({ id, size, digest: Buffer.from(digest) }).then(({ source, close }) => {
      if (from <= source.chunks)
        this.#send({ peer, transfer, fetch: true, source, from }, { moved: () => {}, ended: close });
      else {
        close();
        refuse(new Error(`it has ${source.chunks} chunks, not ${from}`));
      }
    }, refuse);
  }

  #send(
    o: { peer: string; transfer: number; fetch: boolean; source: BlobSource; from: number },
    ears: StreamEars,
  ): Outgoing {
    const key = keyOf(o.peer, o);
    const outgoing = new Outgoing(this.#parts, o, {
      moved: () => ears.moved(),
      ended: (reason) => {
        this.#outgoing.delete(key);
        ears.ended(reason);
      },
    });
    this.#outgoing.set(key, outgoing);
    return outgoing;
  }

  #receive(
    o: { peer: string; id: string; transfer: number; fetch: boolean; from: number },
    sink: Promise<BlobSink | null>,
  ): Incoming {
    const key = keyOf(o.peer, o);
    invariant(!this.#incoming.has(key) || !o.fetch, 'own fetches have numbers of their own', { key });
    // A number that is used again: the peer began anew.
    this.#incoming.get(key)?.stop('another stream begins under its number', false);
    const incoming = new Incoming(this.#parts, o, sink, () => {
      if (this.#incoming.get(key) === incoming) this.#incoming.delete(key);
    });
    this.#incoming.set(key, incoming);
    return incoming;
  }
}
