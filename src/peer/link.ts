import type { Timer } from '../base/clock.js';
import { type ChannelEnd, type ChannelSocket, CLOSE } from './channel-socket.js';
import { encodeFrame, type WireFrame } from './codec.js';
import type { PeerContext } from './context.js';
import { CHANNELS, type Channel, type Hello, type LostReason, type PeerFrame } from './types.js';

/** Bytes and frames of one channel, going on over reconnects. */
export interface Tally {
  sentBytes: number;
  receivedBytes: number;
  sentFrames: number;
  receivedFrames: number;
}

export type Sockets = Readonly<Record<Channel, ChannelSocket>>;

/** How the transport learns what happens on a link. `down` is called once, and nothing after it. */
export interface LinkOwner {
  frame(link: Link, frame: PeerFrame): void;
  down(link: Link, reason: LostReason, text: string): void;
}

/** Three standing connections with one peer. They live and die together. */
export class Link {
  readonly name: string;
  readonly hello: Hello;
  readonly sinceMs: number;
  readonly #context: PeerContext;
  readonly #sockets: Sockets;
  readonly #tallies: Readonly<Record<Channel, Tally>>;
  readonly #owner: LinkOwner;
  readonly #pongs = new Map<number, (alive: boolean) => void>();
  #timer: Timer;
  #timerDueMs = 0;
  #heardMs: number;
  #pings = 0;
  #over = false;

  constructor(
    context: PeerContext,
    hello: Hello,
    sockets: Sockets,
    tallies: Readonly<Record<Channel, Tally>>,
    owner: LinkOwner,
  ) {
    this.name = hello.name;
    this.hello = hello;
    this.#context = context;
    this.#sockets = sockets;
    this.#tallies = tallies;
    this.#owner = owner;
    this.sinceMs = context.clock.monotonicMs();
    this.#heardMs = this.sinceMs;
    for (const channel of CHANNELS) {
      const socket = sockets[channel];
      socket.onFrame = (frame, length) => this.#received(channel, frame, length);
      socket.onEnd = (end) => this.#ended(channel, end);
    }
    this.#timer = this.#setTimer();
  }

  get up(): boolean {
    return !this.#over;
  }

  queued(channel: Channel): number {
    return this.#sockets[channel].queued;
  }

  /** False: the queue is full, or the frame is longer than the other side takes. */
  send(channel: Channel, frame: PeerFrame): boolean {
    if (this.#over) return false;
    const { frameBytesMax, queueBytesMax } = this.#context.limits;
    const socket = this.#sockets[channel];
    const queued = socket.queued;
    if (queued >= queueBytesMax[channel]) return false;
    const bytes = encodeFrame(frame);
    if (bytes.length > frameBytesMax[channel]) {
      this.#context.log.error(
        { peer: this.name, channel, frame: frame.type, bytes: bytes.length, limit: frameBytesMax[channel] },
        'a frame is longer than the limit and was not sent',
      );
      return false;
    }
    if (queued + bytes.length > queueBytesMax[channel]) return false;
    this.#transmit(channel, bytes);
    return true;
  }

  flush(): void {
    for (const channel of CHANNELS) this.#sockets[channel].flush();
  }

  /** Resolves true when the other side answers in time, false when it does not or the link ends. */
  ping(timeoutMs: number): Promise<boolean> {
    if (this.#over) return Promise.resolve(false);
    const id = ++this.#pings;
    return new Promise((resolve) => {
      const timer = this.#context.clock.setTimer(timeoutMs, () => answer(false));
      const answer = (alive: boolean) => {
        timer.cancel();
        this.#pongs.delete(id);
        resolve(alive);
      };
      this.#pongs.set(id, answer);
      this.#transmit('control', encodeFrame({ type: 'ping', id }));
    });
  }

  /** Ends the link by our own will: the owner is told. */
  end(code: number, reason: LostReason, text: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#timer.cancel();
    for (const channel of CHANNELS) this.#sockets[channel].close(code, text);
    for (const answer of [...this.#pongs.values()]) answer(false);
    this.#owner.down(this, reason, text);
  }

  #transmit(channel: Channel, bytes: Uint8Array): void {
    const tally = this.#tallies[channel];
    tally.sentFrames++;
    tally.sentBytes += bytes.length;
    this.#sockets[channel].send(bytes);
  }

  #received(channel: Channel, frame: WireFrame, length: number): void {
    if (this.#over) return;
    const tally = this.#tallies[channel];
    tally.receivedFrames++;
    tally.receivedBytes += length;
    if (channel === 'control') this.#heardMs = this.#context.clock.monotonicMs();
    switch (frame.type) {
      case 'ping':
        this.#transmit('control', encodeFrame({ type: 'pong', id: frame.id }));
        return;
      case 'pong':
        this.#pongs.get(frame.id)?.(true);
        return;
      case 'ready': // the listener says it on each channel, and the first one made the link
        return;
      case 'hello':
      case 'join':
        this.#ended(channel, { code: CLOSE.malformed, text: `a second ${frame.type} on a standing link` });
        return;
      default:
        this.#owner.frame(this, frame);
    }
  }

  #ended(channel: Channel, end: ChannelEnd): void {
    const reason = end.code === CLOSE.refused ? 'rejected' : 'closed';
    if (end.code === CLOSE.malformed) this.#context.dropped(this.name, `${channel}: ${end.text}`);
    const code = end.code === CLOSE.malformed ? CLOSE.malformed : CLOSE.goingAway;
    this.end(code, reason, `${channel}: ${end.text || `closed with code ${end.code}`}`);
  }

  #setTimer(): Timer {
    const { clock, limits } = this.#context;
    this.#timerDueMs = clock.monotonicMs() + limits.pingIntervalMs;
    return clock.setTimer(limits.pingIntervalMs, () => this.#beat());
  }

  #beat(): void {
    const { clock, limits } = this.#context;
    const now = clock.monotonicMs();
    // When this process itself stood still, what the peer sent meanwhile is still unread: no verdict yet.
    const late = now - this.#timerDueMs;
    if (late > limits.pingIntervalMs) this.#heardMs = Math.max(this.#heardMs, now - limits.pingIntervalMs);
    if (now - this.#heardMs >= limits.silenceMaxMs) {
      this.end(CLOSE.timeout, 'timeout', `silent for ${Math.round(now - this.#heardMs)} ms`);
      return;
    }
    this.#transmit('control', encodeFrame({ type: 'ping', id: 0 }));
    this.#timer = this.#setTimer();
  }
}
