import { ByteReader, ByteWriter } from '../base/bytes.js';
import type { Clock } from '../base/clock.js';

/** What a chunk costs beside its bytes, so that empty ones cost something as well. */
const CHUNK_COST_BYTES = 64;
/** Bytes of data, and cost of its chunks, kept per lease, so that a watcher that comes late or anew gets what was said before. */
const REPLAY_BYTES_MAX = 256 * 1024;
/** How long they are kept after the job ended. */
export const REPLAY_AFTER_END_MS = 2_000;

const SUBSCRIBE = 1;
const UNSUBSCRIBE = 2;
const DATA = 3;
const PROGRESS = 4;

/** Where data and progress of jobs that somebody watches here end up. */
export interface LiveSink {
  data(seq: number, token: number, first: number, chunks: readonly Uint8Array[]): void;
  progress(seq: number, token: number, numerator: number, denominator: number, message: string): void;
}

export interface LiveDataParts {
  readonly clock: Clock;
  readonly peers: () => readonly string[];
  /** False: not connected or too much is queued; what is lost shows as a gap at the watcher. */
  readonly send: (peer: string, bytes: Uint8Array) => boolean;
}

interface Stream {
  token: number;
  /** Number of the first chunk kept. */
  first: number;
  next: number;
  chunks: Uint8Array[];
  bytes: number;
  progress: { numerator: number; denominator: number; message: string } | null;
}

/**
 * Data and progress of running jobs: ephemeral, node to node, past the log. A node that watches a job tells all others;
 * the node that holds the worker sends what comes and replays what it still has. Chunks are numbered per lease token.
 */
export class LiveData {
  readonly #parts: LiveDataParts;
  readonly #streams = new Map<number, Stream>();
  readonly #remote = new Map<number, Set<string>>();
  /** What this node watches: where each job's data is to go on, for a peer that connects anew. */
  readonly #watched = new Map<number, () => { token: number; next: number }>();
  readonly #writer = new ByteWriter(1024);
  #sink: LiveSink | null = null;

  constructor(parts: LiveDataParts) {
    this.#parts = parts;
  }

  setSink(sink: LiveSink): void {
    this.#sink = sink;
  }

  get streams(): number {
    return this.#streams.size;
  }

  /** A worker of this node sent chunks `first`, `first` + 1, … under `token`. */
  data(seq: number, token: number, first: number, chunks: readonly Uint8Array[]): void {
    const stream = this.#stream(seq, token);
    if (stream === null) return;
    const known = stream.next - first;
    const fresh = known > 0 ? chunks.slice(known) : chunks;
    if (fresh.length === 0) return;
    const from = known > 0 ? stream.next : first;
    if (from > stream.next) {
      stream.chunks = [];
      stream.bytes = 0;
      stream.first = from;
    }
    for (const chunk of fresh) {
      // A copy: the chunk may be a small view that would hold a whole frame.
      stream.chunks.push(Buffer.from(chunk));
      stream.bytes += chunk.length + CHUNK_COST_BYTES;
    }
    stream.next = from + fresh.length;
    while (stream.bytes > REPLAY_BYTES_MAX && stream.chunks.length > 0) {
      stream.bytes -= stream.chunks.shift()!.length + CHUNK_COST_BYTES;
      stream.first += 1;
    }
    if (this.#watched.has(seq)) this.#sink?.data(seq, token, from, fresh);
    const remote = this.#remote.get(seq);
    if (remote !== undefined) {
      const bytes = this.#encodeData(seq, token, from, fresh);
      for (const peer of remote) this.#parts.send(peer, bytes);
    }
  }

  progress(seq: number, token: number, numerator: number, denominator: number, message: string): void {
    const stream = this.#stream(seq, token);
    if (stream === null) return;
    stream.progress = { numerator, denominator, message };
    if (this.#watched.has(seq)) this.#sink?.progress(seq, token, numerator, denominator, message);
    const remote = this.#remote.get(seq);
    if (remote !== undefined) {
      const bytes = this.#encodeProgress(seq, token, stream.progress);
      for (const peer of remote) this.#parts.send(peer, bytes);
    }
  }

  /** Starts to follow `seq`; `at` tells where to go on, now and whenever a peer connects anew. */
  watch(seq: number, at: () => { token: number; next: number }): void {
    this.#watched.set(seq, at);
    for (const peer of this.#parts.peers()) this.#subscribe(peer, seq, at());
    const own = this.#streams.get(seq);
    if (own === undefined) return;
    if (own.chunks.length > 0) this.#sink?.data(seq, own.token, own.first, own.chunks.slice());
  }

  unwatch(seq: number): void {
    if (!this.#watched.delete(seq)) return;
    this.#writer.u8(UNSUBSCRIBE);
    this.#writer.f64(seq);
    const bytes = this.#writer.take();
    for (const peer of this.#parts.peers()) this.#parts.send(peer, bytes);
  }

  peerConnected(peer: string): void {
    for (const [seq, at] of this.#watched) this.#subscribe(peer, seq, at());
  }

  peerLost(peer: string): void {
    for (const [seq, peers] of this.#remote) {
      peers.delete(peer);
      if (peers.size === 0) this.#remote.delete(seq);
    }
  }

  /** The job is over: nobody has more to say about it, and those who still watch learn of its end by the log. */
  jobEnded(seq: number): void {
    this.leaseEnded(seq);
    const peers = this.#remote.get(seq);
    if (peers === undefined) return;
    this.#parts.clock.setTimer(REPLAY_AFTER_END_MS, () => {
      if (this.#remote.get(seq) === peers) this.#remote.delete(seq);
    });
  }

  /** After log was skipped: what belongs to jobs that ended meanwhile goes. */
  sweep(isOver: (seq: number) => boolean): void {
    for (const seq of [...this.#streams.keys(), ...this.#remote.keys()]) if (isOver(seq)) this.jobEnded(seq);
  }

  /** A lease ended; what was said under it is kept a moment for watchers that are on their way. */
  leaseEnded(seq: number): void {
    const stream = this.#streams.get(seq);
    if (stream === undefined) return;
    this.#parts.clock.setTimer(REPLAY_AFTER_END_MS, () => {
      if (this.#streams.get(seq) === stream) this.#streams.delete(seq);
    });
  }

  /** Throws MalformedBytesError. */
  frame(from: string, bytes: Uint8Array): void {
    const reader = new ByteReader(bytes);
    const kind = reader.u8();
    const seq = reader.f64();
    if (kind === SUBSCRIBE) {
      const token = reader.f64();
      const next = reader.u32();
      let peers = this.#remote.get(seq);
      if (peers === undefined) {
        peers = new Set();
        this.#remote.set(seq, peers);
      }
      peers.add(from);
      this.#replay(from, seq, token, next);
    } else if (kind === UNSUBSCRIBE) {
      const peers = this.#remote.get(seq);
      peers?.delete(from);
      if (peers?.size === 0) this.#remote.delete(seq);
    } else if (kind === DATA) {
      const token = reader.f64();
      const first = reader.u32();
      const chunks: Uint8Array[] = [];
      for (let count = reader.u32(); count > 0; count--) chunks.push(reader.bytes());
      if (this.#watched.has(seq)) this.#sink?.data(seq, token, first, chunks);
    } else if (kind === PROGRESS) {
      const token = reader.f64();
      const numerator = reader.f64();
      const denominator = reader.f64();
      const message = reader.string();
      if (this.#watched.has(seq)) this.#sink?.progress(seq, token, numerator, denominator, message);
    }
  }

  #replay(peer: string, seq: number, token: number, next: number): void {
    const stream = this.#streams.get(seq);
    if (stream === undefined) return;
    const from = token === stream.token ? Math.max(next, stream.first) : stream.first;
    const chunks = stream.chunks.slice(from - stream.first);
    if (chunks.length > 0) this.#parts.send(peer, this.#encodeData(seq, stream.token, from, chunks));
    if (stream.progress !== null)
      this.#parts.send(peer, this.#encodeProgress(seq, stream.token, stream.progress));
  }

  #subscribe(peer: string, seq: number, at: { token: number; next: number }): void {
    this.#writer.u8(SUBSCRIBE);
    this.#writer.f64(seq);
    this.#writer.f64(at.token);
    this.#writer.u32(at.next);
    this.#parts.send(peer, this.#writer.take());
  }

  #encodeData(seq: number, token: number, first: number, chunks: readonly Uint8Array[]): Uint8Array {
    this.#writer.u8(DATA);
    this.#writer.f64(seq);
    this.#writer.f64(token);
    this.#writer.u32(first);
    this.#writer.u32(chunks.length);
    for (const chunk of chunks) this.#writer.bytes(chunk);
    return this.#writer.take();
  }

  #encodeProgress(seq: number, token: number, p: NonNullable<Stream['progress']>): Uint8Array {
    this.#writer.u8(PROGRESS);
    this.#writer.f64(seq);
    this.#writer.f64(token);
    this.#writer.f64(p.numerator);
    this.#writer.f64(p.denominator);
    this.#writer.string(p.message);
    return this.#writer.take();
  }

  #stream(seq: number, token: number): Stream | null {
    let stream = this.#streams.get(seq);
    if (stream === undefined || stream.token < token) {
      stream = { token, first: 0, next: 0, chunks: [], bytes: 0, progress: null };
      this.#streams.set(seq, stream);
    }
    return stream.token === token ? stream : null;
  }
}
