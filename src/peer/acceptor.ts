import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { WebSocketServer } from 'ws';
import { ChannelSocket, CLOSE } from './channel-socket.js';
import { encodeFrame, type WireFrame } from './codec.js';
import { ALIVE_PATH, CHANNEL_PATH, type PeerContext } from './context.js';
import { guardBytes } from './guard.js';
import type { Sockets } from './link.js';
import { CHANNELS, type Channel, type Hello } from './types.js';

/** A peer whose hello was accepted and whose other channels are on their way. */
interface Arrival {
  readonly token: string;
  readonly hello: Hello;
  readonly sockets: Partial<Record<Channel, ChannelSocket>>;
}

/** Null takes the peer; a text refuses it. */
export type Admit = (hello: Hello) => string | null;

/**
 * The listening side. Every connection stays in `#waiting`, with a guard on its bytes and its time, until its peer's
 * three channels stand; when too many wait, the oldest goes, because an honest one waits a moment only.
 */
export class Acceptor {
  readonly #context: PeerContext;
  readonly #admit: Admit;
  readonly #arrived: (hello: Hello, sockets: Sockets) => void;
  readonly #http: Server;
  readonly #websockets: Readonly<Record<Channel, WebSocketServer>>;
  /** In order of their age; the value releases the connection from its guards. */
  readonly #waiting = new Map<Socket, () => void>();
  readonly #arrivals = new Map<string, Arrival>();

  constructor(context: PeerContext, admit: Admit, arrived: (hello: Hello, sockets: Sockets) => void) {
    this.#context = context;
    this.#admit = admit;
    this.#arrived = arrived;
    const websocket = (channel: Channel) =>
      new WebSocketServer({
        noServer: true,
        clientTracking: false,
        perMessageDeflate: false,
        skipUTF8Validation: true,
        autoPong: false,
        maxPayload: context.limits.frameBytesMax[channel],
      });
    this.#websockets = {
      control: websocket('control'),
      data: websocket('data'),
      bulk: websocket('bulk'),
    };
    // Time is kept by `#waiting` for the whole handshake, so the server's own timeouts are off.
    this.#http = createServer({ maxHeaderSize: 8_192, noDelay: true, requestTimeout: 0, headersTimeout: 0 });
    this.#http.on('connection', (socket: Socket) => this.#connected(socket));
    this.#http.on('request', (request, response) => this.#plain(request, response));
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket as Socket, head));
    this.#http.on('clientError', (_error, socket) => {
      if (socket.writable) this.#badRequest(socket as Socket, 'what it sent is not HTTP');
      else socket.destroy();
    });
  }

  get port(): number {
    const address = this.#http.address();
    return address === null ? 0 : (address as AddressInfo).port;
  }

  listen(host: string, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#http.once('error', reject);
      this.#http.listen(port, host, () => {
        this.#http.off('error', reject);
        this.#http.on('error', (error) =>
          this.#context.log.error({ err: error }, 'the peer listener reported an error'),
        );
        resolve();
      });
    });
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#http.close(() => resolve());
      for (const socket of this.#waiting.keys()) socket.destroy();
    });
  }

  /** Ends connections whose hello was answered and whose channels do not all stand yet. */
  endArrivals(why: string): void {
    for (const arrival of [...this.#arrivals.values()]) this.#gone(arrival, CLOSE.goingAway, why);
  }

  #connected(socket: Socket): void {
    const { clock, limits } = this.#context;
    if (this.#waiting.size >= limits.unauthenticatedMax) {
      const oldest = this.#waiting.keys().next().value;
      if (oldest !== undefined) this.#drop(oldest, `more than ${limits.unauthenticatedMax} connections wait`);
    }
    const timer = clock.setTimer(limits.handshakeTimeoutMs, () =>
      this.#drop(socket, `no accepted hello within ${limits.handshakeTimeoutMs} ms`),
    );
    const lift = guardBytes(socket, limits.helloBytesMax, () =>
      this.#drop(socket, `more than ${limits.helloBytesMax} bytes before its hello was accepted`),
    );
    this.#waiting.set(socket, () => {
      timer.cancel();
      lift();
    });
    socket.on('error', () => {}); // 'close' follows
    socket.once('close', () => this.#release(socket));
  }

  #release(socket: Socket): void {
    const release = this.#waiting.get(socket);
    if (release === undefined) return;
    this.#waiting.delete(socket);
    release();
  }

  #drop(socket: Socket, why: string): void {
    if (!this.#waiting.has(socket)) return;
    this.#release(socket);
    this.#context.dropped(remoteOf(socket), why);
    socket.destroy();
  }

  /** Says no in HTTP. Who does not read the answer is cut off with the handshake's timeout. */
  #badRequest(socket: Socket, why: string): void {
    this.#context.dropped(remoteOf(socket), why);
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n', () =>
      socket.destroy(),
    );
  }

  #plain(request: IncomingMessage, response: ServerResponse): void {
    response.setHeader('connection', 'close');
    if (request.url === ALIVE_PATH && request.method === 'GET') {
      response.end();
      return;
    }
    response.writeHead(426, { 'content-type': 'text/plain', upgrade: 'websocket' });
    response.end('This port is for the nodes of a Gearmesh cluster.\n');
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const channel = CHANNELS.find((name) => request.url === CHANNEL_PATH + name);
    if (channel === undefined) {
      this.#badRequest(socket, 'it asked for an unknown path');
      return;
    }
    this.#websockets[channel].handleUpgrade(request, socket, head, (ws) => {
      const { clock, limits } = this.#context;
      const channelSocket = new ChannelSocket(ws, socket, channel, clock, limits);
      channelSocket.onFrame = (frame) => this.#first(channelSocket, frame);
      channelSocket.onEnd = (end) => {
        if (end.code !== 1006) this.#context.dropped(remoteOf(socket), end.text || `code ${end.code}`);
      };
    });
  }

  #first(socket: ChannelSocket, frame: WireFrame): void {
    if (frame.type === 'hello' && socket.channel === 'control' && frame.channel === 'control') {
      this.#greeted(socket, frame.hello);
    } else if (frame.type === 'join' && socket.channel !== 'control' && frame.channel === socket.channel) {
      this.#joined(socket, frame.token);
    } else {
      this.#refuse(socket, CLOSE.malformed, `${frame.type} as the first frame on ${socket.channel}`);
    }
  }

  #greeted(control: ChannelSocket, hello: Hello): void {
    const refusal = this.#admit(hello);
    if (refusal !== null) {
      this.#context.log.warn(
        { peer: hello.name, remote: remoteOf(control.socket), refusal },
        'refused a node that wanted to connect',
      );
      control.close(CLOSE.refused, refusal);
      return;
    }
    const token = Buffer.from(this.#context.random.bytes(16)).toString('hex');
    const arrival: Arrival = { token, hello, sockets: { control } };
    this.#arrivals.set(token, arrival);
    control.onFrame = (frame) => this.#tooEarly(arrival, 'control', frame);
    control.onEnd = (end) => this.#gone(arrival, end.code, end.text);
    control.send(encodeFrame({ type: 'hello', channel: 'control', token, hello: this.#context.ownHello() }));
  }

  #joined(socket: ChannelSocket, token: string): void {
    const arrival = this.#arrivals.get(token);
    if (arrival === undefined || arrival.sockets[socket.channel] !== undefined) {
      this.#refuse(socket, CLOSE.malformed, 'it belongs to no connection that is being made');
      return;
    }
    arrival.sockets[socket.channel] = socket;
    socket.onFrame = (frame) => this.#tooEarly(arrival, socket.channel, frame);
    socket.onEnd = (end) => this.#gone(arrival, end.code, end.text);
    const { control, data, bulk } = arrival.sockets;
    if (control === undefined || data === undefined || bulk === undefined) return;
    this.#arrivals.delete(token);
    for (const standing of [control, data, bulk]) {
      this.#release(standing.socket);
      standing.send(encodeFrame({ type: 'ready', channel: standing.channel }));
    }
    this.#arrived(arrival.hello, { control, data, bulk });
  }

  #tooEarly(arrival: Arrival, channel: Channel, frame: WireFrame): void {
    this.#gone(arrival, CLOSE.malformed, `${channel}: ${frame.type} before all channels stood`);
  }

  /** One of the channels ended before all stood. */
  #gone(arrival: Arrival, code: number, text: string): void {
    if (!this.#arrivals.delete(arrival.token)) return;
    for (const channel of CHANNELS) arrival.sockets[channel]?.close(CLOSE.goingAway, 'a channel ended early');
    const fields = { peer: arrival.hello.name, code, text };
    if (code === CLOSE.refused) this.#context.log.warn(fields, 'a node that dialled us refuses us');
    else if (code === CLOSE.malformed) this.#context.dropped(arrival.hello.name, text);
    else this.#context.log.debug(fields, 'a node that dialled us went away before all channels stood');
  }

  #refuse(socket: ChannelSocket, code: number, text: string): void {
    this.#context.dropped(remoteOf(socket.socket), text);
    socket.close(code, text);
  }
}

function remoteOf(socket: Socket): string {
  return `${socket.remoteAddress ?? 'unknown'}:${socket.remotePort ?? 0}`;
}
