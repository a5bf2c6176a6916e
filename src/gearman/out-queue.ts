import type { Socket } from 'node:net';
import type { Clock, Timer } from '../base/clock.js';
import type { BlobRef } from '../core/types.js';
import type { TurnWrites } from './turn-writes.js';

/** A packet whose last argument is read from a blob while it goes out. */
export interface LargePacket {
  /** Header and arguments before it; the header counts the blob. */
  readonly head: Buffer;
  readonly blob: BlobRef;
}

export type Outgoing = Buffer | LargePacket;

export interface OutQueueOptions {
  readonly clock: Clock;
  readonly writes: TurnWrites;
  /** A peer that takes nothing for so long, while a large packet waits, is given up: milliseconds. */
  readonly slowReaderMs: number;
  read(blob: BlobRef, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** A large packet cannot be finished. What went out cannot be taken back: the connection is to be destroyed. */
  failed(why: string): void;
  /** What waited here went to the socket. */
  moved(): void;
}

/** Larger chunks go out in pieces, so that progress shows; so many bytes may wait in the socket meanwhile. */
const PIECE_BYTES = 64 << 10;
const AHEAD_BYTES = 256 << 10;
/** Packets of one turn are joined up to so many bytes: cheaper than to hand over several. */
const JOINED_BYTES = 16 << 10;

/**
 * What goes out over one connection, in order. Bytes go to the socket at once; while a large packet is on its way, what
 * comes waits behind it. A large packet is never held: it is read as fast as the peer reads.
 */
export class OutQueue {
  readonly #socket: Socket;
  readonly #options: OutQueueOptions;
  #queue: Outgoing[] = [];
  #queuedBytes = 0;
  /** Of this turn, not with the socket yet. */
  #written: Buffer[] = [];
  #writtenBytes = 0;
  #large: AbortController | null = null;
  #whenEmpty: (() => void) | null = null;
  /** Pieces that the kernel took. */
  #taken = 0;
  #roomWaits: (() => void) | null = null;
  #over = false;

  constructor(socket: Socket, options: OutQueueOptions) {
    this.#socket = socket;
    this.#options = options;
  }

  /** Bytes that wait here or in the socket, without what is still in blobs. */
  get waitingBytes(): number {
    return this.#socket.writableLength + this.#queuedBytes + this.#writtenBytes;
  }

  send(out: Outgoing): void {
    if (this.#over) return;
    if (this.#large !== null) {
      this.#queue.push(out);
      this.#queuedBytes += out instanceof Uint8Array ? out.length : out.head.length;
    } else if (out instanceof Uint8Array) {
      this.#write(out);
    } else {
      void this.#sendLarge(out);
    }
  }

  /** Calls `fn` once everything so far is with the socket; what comes later is dropped. */
  end(fn: () => void): void {
    if (this.#over || this.#whenEmpty !== null) return;
    if (this.#large === null) {
      this.#flush();
      this.#over = true;
      fn();
    } else {
      this.#whenEmpty = fn;
    }
  }

  /** The connection is gone. */
  stop(): void {
    this.#over = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#written = [];
    this.#writtenBytes = 0;
    this.#large?.abort();
  }

  /** What one turn produces goes to the kernel together. */
  #write(bytes: Buffer): void {
    if (this.#written.push(bytes) === 1) this.#options.writes.add(this.#flush);
    this.#writtenBytes += bytes.length;
  }

  readonly #flush = (): void => {
    const written = this.#written;
    if (written.length === 0) return;
    this.#written = [];
    const bytes = this.#writtenBytes;
    this.#writtenBytes = 0;
    if (written.length === 1) {
      this.#socket.write(written[0]!);
    } else if (bytes <= JOINED_BYTES) {
      this.#socket.write(Buffer.concat(written, bytes));
    } else {
      this.#socket.cork();
      for (const one of written) this.#socket.write(one);
      this.#socket.uncork();
    }
  };

  async #sendLarge({ head, blob }: LargePacket): Promise<void> {
    const controller = new AbortController();
    this.#large = controller;
    try {
      this.#write(head);
      let left = blob.size;
      for await (const chunk of this.#options.read(blob, controller.signal)) {
        if (this.#over) return;
        left -= chunk.length;
        if (left < 0) break;
        await this.#pass(chunk);
        if (this.#over) return;
      }
      if (this.#over) return;
      if (left !== 0) throw new Error(`${Math.abs(left)} bytes ${left < 0 ? 'too many' : 'are missing'}`);
    } catch (error) {
      if (this.#over) return;
      this.stop();
      this.#options.failed(error instanceof Error ? error.message : String(error));
      return;
    }
    this.#large = null;
    this.#next();
  }

  /** Hands a chunk to the socket, and resolves when there is room for another. */
  async #pass(chunk: Uint8Array): Promise<void> {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    this.#flush();
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      this.#socket.write(bytes.subarray(at, at + PIECE_BYTES), this.#pieceTaken);
    }
    if (this.#socket.writableLength > AHEAD_BYTES) await this.#room();
  }

  readonly #pieceTaken = (): void => {
    this.#taken++;
    if (this.#socket.writableLength <= AHEAD_BYTES) this.#roomWaits?.();
  };

  #room(): Promise<void> {
    return new Promise((resolve, reject) => {
      const { clock, slowReaderMs } = this.#options;
      let timer: Timer;
      let before = this.#taken;
      const done = (): void => {
        timer.cancel();
        this.#roomWaits = null;
        this.#large?.signal.removeEventListener('abort', done);
        resolve();
      };
      const look = (): void => {
        timer = clock.setTimer(slowReaderMs, () => {
          if (this.#taken === before) reject(new Error('it does not read'));
          else {
            before = this.#taken;
            look();
          }
        });
      };
      look();
      this.#roomWaits = done;
      this.#large?.signal.addEventListener('abort', done, { once: true });
    });
  }

  /** What waited behind a large packet, up to the next one. */
  #next(): void {
    const queue = this.#queue;
    let done = 0;
    for (; done < queue.length && this.#large === null; done++) {
      const out = queue[done]!;
      this.#queuedBytes -= out instanceof Uint8Array ? out.length : out.head.length;
      if (out instanceof Uint8Array) this.#write(out);
      else void this.#sendLarge(out);
    }
    this.#queue = queue.slice(done);
    this.#options.moved();
    if (this.#large !== null || this.#whenEmpty === null) return;
    this.#flush();
    this.#over = true;
    this.#whenEmpty();
  }
}
