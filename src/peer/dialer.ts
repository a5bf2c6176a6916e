import { get } from 'node:http';
import WebSocket from 'ws';
import { type ChannelEnd, ChannelSocket, CLOSE } from './channel-socket.js';
import { encodeFrame, type WireFrame } from './codec.js';
import { ALIVE_PATH, CHANNEL_PATH, type PeerContext } from './context.js';
import { guardBytes } from './guard.js';
import type { Sockets } from './link.js';
import { CHANNELS, type Channel, type Hello, type LostReason, type PeerAddress } from './types.js';

export type DialResult =
  | { readonly ok: true; readonly hello: Hello; readonly sockets: Sockets }
  | { readonly ok: false; readonly reason: LostReason; readonly text: string };

/**
 * One attempt to connect to a peer: control first (hello both ways), then the other two with the token that the
 * listener gave; its `ready` on any of them says that all stand. `done` is called once, never in this turn,
 * and not after `abort`. Nothing but this handshake is sent before it.
 */
export class Dial {
  readonly #context: PeerContext;
  readonly #address: PeerAddress;
  readonly #done: (result: DialResult) => void;
  readonly #raw: WebSocket[] = [];
  readonly #sockets: Partial<Record<Channel, ChannelSocket>> = {};
  readonly #lift: (() => void)[] = [];
  readonly #cancelTimeout: () => void;
  #hello: Hello | null = null;
  #token = '';
  #over = false;

  constructor(context: PeerContext, address: PeerAddress, done: (result: DialResult) => void) {
    this.#context = context;
    this.#address = address;
    this.#done = done;
    const ms = context.limits.handshakeTimeoutMs;
    const timer = context.clock.setTimer(ms, () => this.#fail('timeout', `no answer within ${ms} ms`));
    this.#cancelTimeout = () => timer.cancel();
    this.#open('control');
  }

  abort(): void {
    if (this.#over) return;
    this.#finish();
    this.#destroy();
  }

  #open(channel: Channel): void {
    const { clock, limits } = this.#context;
    let ws: WebSocket;
    try {
      ws = new WebSocket(`ws://${authority(this.#address)}${CHANNEL_PATH}${channel}`, {
        perMessageDeflate: false,
        maxPayload: limits.frameBytesMax[channel],
        skipUTF8Validation: true,
        autoPong: false,
        // Masking protects proxies from browsers (RFC 6455 section 10.3), not us: a zero mask saves the work.
        generateMask: (mask) => mask.fill(0),
      });
    } catch (error) {
      // The address is no address at all.
      clock.defer(() => this.#fail('closed', error instanceof Error ? error.message : String(error)));
      return;
    }
    this.#raw.push(ws);
    const early = (error: Error) =>
      this.#fail(reasonOf(error), `${channel}: ${error.message || codeOf(error)}`);
    ws.on('error', early);
    ws.once('upgrade', (response) => {
      ws.off('error', early);
      const socket = new ChannelSocket(ws, response.socket, channel, clock, limits);
      this.#sockets[channel] = socket;
      this.#lift.push(
        guardBytes(response.socket, limits.helloBytesMax, () =>
          this.#fail('closed', `${channel}: more than ${limits.helloBytesMax} bytes before it was ready`),
        ),
      );
      socket.onFrame = (frame) => this.#received(channel, frame);
      socket.onEnd = (end) => this.#ended(channel, end);
      ws.once('open', () => socket.send(encodeFrame(this.#firstFrame(channel))));
    });
  }

  #firstFrame(channel: Channel): WireFrame {
    return channel === 'control'
      ? { type: 'hello', channel, token: '', hello: this.#context.ownHello() }
      : { type: 'join', channel, token: this.#token };
  }

  #received(channel: Channel, frame: WireFrame): void {
    if (this.#over) return;
    if (frame.type === 'hello' && channel === 'control' && this.#hello === null) this.#greeted(frame);
    else if (frame.type === 'ready' && frame.channel === channel) this.#ready(channel);
    else this.#fail('closed', `${channel}: ${frame.type} at this point of the handshake`);
  }

  #greeted(frame: { readonly token: string; readonly hello: Hello }): void {
    const { name } = frame.hello;
    const refusal =
      name === this.#address.name
        ? this.#context.handler.hello(frame.hello)
        : `expected ${this.#address.name} at ${authority(this.#address)}, found ${name}`;
    if (refusal !== null) {
      this.#sockets.control?.close(CLOSE.refused, refusal);
      this.#fail('rejected', `we refuse it: ${refusal}`);
      return;
    }
    this.#hello = frame.hello;
    this.#token = frame.token;
    this.#open('data');
    this.#open('bulk');
  }

  #ready(channel: Channel): void {
    const { control, data, bulk } = this.#sockets;
    if (this.#hello === null || control === undefined || data === undefined || bulk === undefined) {
      this.#fail('closed', `${channel}: ready before all channels were open`);
      return;
    }
    this.#finish();
    this.#done({ ok: true, hello: this.#hello, sockets: { control, data, bulk } });
  }

  #ended(channel: Channel, end: ChannelEnd): void {
    if (end.code === CLOSE.refused) this.#fail('rejected', `it refuses us: ${end.text}`);
    else this.#fail('closed', `${channel}: ${end.text || `closed with code ${end.code}`}`);
  }

  #fail(reason: LostReason, text: string): void {
    if (this.#over) return;
    this.#finish();
    this.#destroy();
    this.#done({ ok: false, reason, text });
  }

  #finish(): void {
    this.#over = true;
    this.#cancelTimeout();
    for (const lift of this.#lift) lift();
  }

  /** A channel that was told why (`close`) ends by itself; the others go at once. */
  #destroy(): void {
    for (const channel of CHANNELS) this.#sockets[channel]?.close(CLOSE.goingAway, 'the attempt is given up');
    for (const ws of this.#raw) {
      ws.on('error', () => {}); // what terminating an unfinished attempt reports
      if (ws.readyState === ws.CONNECTING) ws.terminate();
    }
  }
}

export type AliveResult = 'alive' | 'refused' | 'timeout' | 'closed';

/** Whether the process behind a peer's listener answers; nothing stays open. */
export function askAlive(
  context: PeerContext,
  address: PeerAddress,
  timeoutMs: number,
): Promise<AliveResult> {
  return new Promise((resolve) => {
    const request = get({
      host: address.host,
      port: address.port,
      path: ALIVE_PATH,
      agent: false,
      headers: { connection: 'close' },
    });
    const finish = (result: AliveResult) => {
      timer.cancel();
      resolve(result);
      request.destroy();
    };
    const timer = context.clock.setTimer(timeoutMs, () => finish('timeout'));
    request.on('response', (response) => finish(response.statusCode === 200 ? 'alive' : 'closed'));
    request.on('error', (error) => finish(reasonOf(error) === 'refused' ? 'refused' : 'closed'));
  });
}

export function authority(address: { readonly host: string; readonly port: number }): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

function reasonOf(error: Error): LostReason {
  const code = codeOf(error);
  if (code === 'ECONNREFUSED') return 'refused';
  return code === 'ETIMEDOUT' ? 'timeout' : 'closed';
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
