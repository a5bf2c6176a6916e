import type { Socket } from 'node:net';
import type { Condition } from './conditions.js';

/** While so much waits, nothing more is read: a slow link holds its sender up. */
const WAITING_BYTES_MAX = 4 * 2 ** 20;
/** A packet of 1,448 bytes is what a loss hits; TCP sends it again after at least this long, and then twice as long. */
const SEGMENT_BYTES = 1_448;
const RESEND_MS = 200;
const RESENDS_MAX = 4;

export interface PipeHost {
  condition(): Condition;
  /** 0 to 999. */
  draw(): number;
  /** The proxy itself loses nothing: a filter of packets does that. */
  readonly losesByItself: boolean;
  readonly counts: { held: number; delayed: number };
}

/**
 * One direction of a connection through a proxy: what comes leaves later, in its order. A lost packet is what it is
 * for those above TCP: a pause until it is sent again, for all behind it too. While the way is cut, nothing passes,
 * the end of the connection least of all.
 */
export class Pipe {
  readonly #source: Socket;
  readonly #sink: Socket;
  readonly #host: PipeHost;
  #queue: { readonly bytes: Buffer | null; readonly at: number }[] = [];
  #waiting = 0;
  #last = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(source: Socket, sink: Socket, host: PipeHost) {
    this.#source = source;
    this.#sink = sink;
    this.#host = host;
    source.on('data', (bytes: Buffer) => this.#came(bytes));
    source.on('close', () => this.#came(null));
    sink.on('drain', () => this.flush());
  }

  #came(bytes: Buffer | null): void {
    const { delayMs, cut, lossPermille } = this.#host.condition();
    const { counts } = this.#host;
    let pause = delayMs;
    if (cut) counts.held++;
    if (delayMs > 0) counts.delayed++;
    if (lossPermille > 0 && this.#host.losesByItself) {
      const lost = this.#lostFor(bytes?.length ?? 1, lossPermille);
      if (lost > 0) counts.held++;
      pause += lost;
    }
    this.#last = Math.max(this.#last, performance.now() + pause);
    this.#queue.push({ bytes, at: this.#last });
    this.#waiting += bytes?.length ?? 0;
    if (this.#waiting > WAITING_BYTES_MAX) this.#source.pause();
    this.flush();
  }

  #lostFor(length: number, lossPermille: number): number {
    let pause = 0;
    for (let sent = 0; sent < length; sent += SEGMENT_BYTES) {
      let resends = 0;
      while (resends < RESENDS_MAX && this.#host.draw() < lossPermille) resends++;
      pause = Math.max(pause, resends === 0 ? 0 : RESEND_MS * (2 ** resends - 1));
    }
    return pause;
  }

  /** Lets out what is due; called again when the way has changed. */
  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#host.condition().cut) return;
    while (this.#queue.length > 0 && !this.#sink.writableNeedDrain) {
      const { bytes, at } = this.#queue[0]!;
      const early = at - performance.now();
      if (early > 0.5) {
        this.#timer = setTimeout(() => this.flush(), early);
        return;
      }
      this.#queue.shift();
      if (bytes === null) {
        this.#sink.destroySoon();
        continue;
      }
      this.#waiting -= bytes.length;
      if (this.#sink.writable) this.#sink.write(bytes);
    }
    if (this.#waiting <= WAITING_BYTES_MAX / 2) this.#source.resume();
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#queue = [];
    this.#source.destroy();
    this.#sink.destroy();
  }
}
