import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { Clock } from '../base/clock.js';
import { decodeFrame, MalformedFrameError, type WireFrame } from './codec.js';
import type { PeerLimits } from './limits.js';
import type { Channel } from './types.js';

/** Close codes of our own (4000 to 4999 are free for applications, RFC 6455 section 7.4.2). */
export const CLOSE = {
  /** Orderly: the node stops, or the peer was taken out of the list. */
  goingAway: 1001,
  malformed: 4002,
  /** The hello was refused; the reason is the text. */
  refused: 4003,
  timeout: 4008,
} as const;

/** How a connection ended: code 1006 without a close frame. */
export interface ChannelEnd {
  readonly code: number;
  readonly text: string;
}

/** After a close frame the other side has this long before the socket is destroyed. */
const CLOSE_GRACE_MS = 1_000;
/** RFC 6455 section 5.5: a control frame carries 125 bytes, two of them the code. */
const CLOSE_TEXT_BYTES = 123;
const SEND_OPTIONS = { binary: true, compress: false } as const;

/** One websocket connection as a channel of frames. After `close` or `kill` it reports nothing more. */
export class ChannelSocket {
  /** May be replaced at any time, also while a frame is being handled. */
  onFrame: (frame: WireFrame, length: number) => void = () => {};
  onEnd: (end: ChannelEnd) => void = () => {};
  readonly channel: Channel;
  readonly socket: Socket;
  readonly #ws: WebSocket;
  readonly #clock: Clock;
  readonly #limits: PeerLimits;
  #over = false;
  #corked = false;

  constructor(ws: WebSocket, socket: Socket, channel: Channel, clock: Clock, limits: PeerLimits) {
    this.channel = channel;
    this.socket = socket;
    this.#ws = ws;
    this.#clock = clock;
    this.#limits = limits;
    socket.setNoDelay(true);
    ws.on('message', (data, isBinary) => this.#message(data as Buffer, isBinary));
    // Once open, errors are the other side's offences against the protocol; `ws` itself answers with a close frame.
    ws.on('error', (error) => {
      if (this.#over) return;
      this.#over = true;
      this.#terminateSoon();
      this.onEnd({ code: CLOSE.malformed, text: error.message });
    });
    ws.on('close', (code, text) => this.#ended({ code, text: text.toString() }));
    // A killed peer's FIN must be seen at once, not after what is queued for it has been written. Where a close
    // frame came before, the state is no longer OPEN, and 'close' follows with its code.
    socket.prependListener('end', () => {
      if (ws.readyState === ws.OPEN) this.#cut('the connection was closed without a farewell');
    });
  }

  /** Bytes accepted by `send` and not yet given to the operating system. */
  get queued(): number {
    return this.#ws.bufferedAmount;
  }

  /** Frames sent in one turn leave in one write, at its end unless `flush` comes before. */
  send(bytes: Uint8Array): void {
    if (this.#over || this.#ws.readyState !== this.#ws.OPEN) return;
    if (!this.#corked) {
      this.#corked = true;
      this.socket.cork();
      process.nextTick(this.flush);
    }
    this.#ws.send(bytes, SEND_OPTIONS);
  }

  /** Writes what was sent in this turn so far. */
  readonly flush = (): void => {
    if (!this.#corked) return;
    this.#corked = false;
    this.socket.uncork();
  };

  /** Says farewell with a code and a text (cut to what fits), then closes. */
  close(code: number, text: string): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#ws.readyState !== this.#ws.OPEN) {
      this.#ws.terminate();
      return;
    }
    this.#ws.close(code, cutUtf8(text, CLOSE_TEXT_BYTES));
    this.#terminateSoon();
  }

  /** Destroys the connection without a word. */
  kill(): void {
    this.#over = true;
    this.#ws.terminate();
  }

  #message(data: Buffer, isBinary: boolean): void {
    if (this.#over) return;
    let frame: WireFrame;
    try {
      if (!isBinary) throw new MalformedFrameError('text instead of bytes');
      frame = decodeFrame(data, this.#limits);
    } catch (error) {
      if (!(error instanceof MalformedFrameError)) throw error;
      this.close(CLOSE.malformed, error.message);
      this.onEnd({ code: CLOSE.malformed, text: error.message });
      return;
    }
    this.onFrame(frame, data.length);
  }

  #terminateSoon(): void {
    const timer = this.#clock.setTimer(CLOSE_GRACE_MS, () => this.#ws.terminate());
    this.#ws.once('close', () => timer.cancel());
  }

  #cut(text: string): void {
    if (this.#over) return;
    this.kill();
    this.onEnd({ code: 1006, text });
  }

  #ended(end: ChannelEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.onEnd(end);
  }
}

/** At most `bytes` bytes of UTF-8, never half a character. */
function cutUtf8(text: string, bytes: number): string {
  const encoded = Buffer.from(text);
  if (encoded.length <= bytes) return text;
  let end = bytes;
  while (end > 0 && (encoded[end]! & 0xc0) === 0x80) end--;
  return encoded.toString('utf8', 0, end);
}
