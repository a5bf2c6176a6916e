import { connect, type Socket } from 'node:net';
import WebSocket from 'ws';
import { systemClock } from '../../../src/base/system-clock.js';
import { decodeFrame, encodeFrame, type WireFrame } from '../../../src/peer/codec.js';
import { createTransport, type NetworkTransport, type PeerLimits } from '../../../src/peer/index.js';
import type { Hello, LostReason, PeerFrame } from '../../../src/peer/types.js';

export type Seen =
  | { readonly kind: 'connected'; readonly name: string; readonly hello: Hello }
  | { readonly kind: 'lost'; readonly name: string; readonly reason: LostReason }
  | { readonly kind: 'frame'; readonly from: string; readonly frame: PeerFrame };

export interface LogLine {
  readonly level: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

interface Waiting<T> {
  readonly fits: (item: T) => boolean;
  readonly resolve: (item: T) => void;
}

/** Things in the order in which they happened, and a way to wait for one that fits. */
class Diary<T> {
  readonly all: T[] = [];
  #waiting: Waiting<T>[] = [];

  add(item: T): void {
    this.all.push(item);
    const ready = this.#waiting.filter((w) => w.fits(item));
    this.#waiting = this.#waiting.filter((w) => !ready.includes(w));
    for (const w of ready) w.resolve(item);
  }

  /** The first that fits at or behind position `from`, now or later. */
  async next(fits: (item: T) => boolean, from = 0): Promise<T> {
    const known = this.all.slice(from).find(fits);
    if (known !== undefined) return known;
    return new Promise((resolve) => this.#waiting.push({ fits, resolve }));
  }

  /** Waits until `count` fit. */
  async nth(count: number, fits: (item: T) => boolean): Promise<void> {
    while (this.all.filter(fits).length < count) await this.next(fits, this.all.length);
  }
}

export function helloOf(name: string, more: Partial<Hello> = {}): Hello {
  return {
    protocol: 1,
    featureLevel: 1,
    configuration: 0,
    name,
    diskId: `disk-${name}`,
    clusterId: 'cluster-1',
    clusterName: 'test',
    grpc: '127.0.0.1:1',
    http: '127.0.0.1:2',
    peer: '127.0.0.1:3',
    version: '0.0.0',
    ...more,
  };
}

export class TestNode {
  readonly name: string;
  readonly transport: NetworkTransport;
  readonly seen = new Diary<Seen>();
  readonly log = new Diary<LogLine>();
  judge: (hello: Hello) => string | null = () => null;
  onFrame: (frame: PeerFrame) => void = () => {};

  constructor(name: string, port = 0, limits: Partial<PeerLimits> = {}, hello: Partial<Hello> = {}) {
    this.name = name;
    const line = (level: string) => (fields: object, message: string) =>
      this.log.add({ level, fields: fields as LogLine['fields'], message });
    this.transport = createTransport({
      clock: systemClock,
      listen: { host: '127.0.0.1', port },
      name,
      log: { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') },
      limits,
    });
    this.transport.setHello(helloOf(name, hello));
  }

  async listen(): Promise<this> {
    await this.transport.listen({
      hello: (theirs) => this.judge(theirs),
      connected: (name, hello) => this.seen.add({ kind: 'connected', name, hello }),
      lost: (name, reason) => this.seen.add({ kind: 'lost', name, reason }),
      frame: (from, frame) => {
        this.seen.add({ kind: 'frame', from, frame });
        this.onFrame(frame);
      },
    });
    return this;
  }

  get address() {
    return { name: this.name, host: '127.0.0.1', port: this.transport.port };
  }

  connected(name: string, from = 0): Promise<Seen> {
    return this.seen.next((s) => s.kind === 'connected' && s.name === name, from);
  }

  lost(name: string, reason: LostReason, from = 0): Promise<Seen> {
    return this.seen.next((s) => s.kind === 'lost' && s.name === name && s.reason === reason, from);
  }

  async frame(fits: (frame: PeerFrame) => boolean, from = 0): Promise<PeerFrame> {
    const seen = await this.seen.next((s) => s.kind === 'frame' && fits(s.frame), from);
    return (seen as Extract<Seen, { kind: 'frame' }>).frame;
  }
}

/** The dialler's side of the handshake on three bare websockets. */
export class ScriptedPeer {
  readonly frames = new Diary<WireFrame>();
  readonly sockets: Record<'control' | 'data' | 'bulk', WebSocket>;
  readonly closed: Record<'control' | 'data' | 'bulk', Promise<string>>;

  constructor(port: number) {
    const open = (channel: string) => {
      const ws = new WebSocket(`ws://127.0.0.1:${port}/gearmesh/peer/v1/${channel}`);
      ws.on('error', () => {});
      ws.on('message', (data) =>
        this.frames.add(decodeFrame(data as Buffer, { frameValuesMax: 100_000, frameDepthMax: 32 })),
      );
      return ws;
    };
    this.sockets = { control: open('control'), data: open('data'), bulk: open('bulk') };
    const end = (ws: WebSocket) =>
      new Promise<string>((resolve) => ws.once('close', (_code, text) => resolve(text.toString())));
    this.closed = {
      control: end(this.sockets.control),
      data: end(this.sockets.data),
      bulk: end(this.sockets.bulk),
    };
  }

  async connect(hello: Hello): Promise<void> {
    const all = Object.values(this.sockets);
    await Promise.all(
      all.map((ws) => (ws.readyState === ws.OPEN ? null : new Promise((r) => ws.once('open', r)))),
    );
    const refused = this.closed.control.then((text) => Promise.reject(new Error(text)));
    refused.catch(() => {});
    this.sockets.control.send(encodeFrame({ type: 'hello', channel: 'control', token: '', hello }));
    const theirs = await Promise.race([this.frames.next((f) => f.type === 'hello'), refused]);
    const token = theirs.type === 'hello' ? theirs.token : '';
    for (const channel of ['data', 'bulk'] as const) {
      this.sockets[channel].send(encodeFrame({ type: 'join', channel, token }));
    }
    await this.frames.next((f) => f.type === 'ready' && f.channel === 'control');
  }

  destroy(): void {
    for (const ws of Object.values(this.sockets)) ws.terminate();
  }
}

/** What a test opened, closed again at its end in the reverse order. */
export class Bundle {
  readonly #closers: (() => Promise<void> | void)[] = [];

  async node(
    name: string,
    o: { port?: number; limits?: Partial<PeerLimits>; hello?: Partial<Hello> } = {},
  ): Promise<TestNode> {
    const node = await new TestNode(name, o.port, o.limits, o.hello).listen();
    this.onClose(() => node.transport.close());
    return node;
  }

  /** Nodes that know each other and are connected. */
  async pair(limits: Partial<PeerLimits> = {}): Promise<[TestNode, TestNode]> {
    const [a, b] = [await this.node('a', { limits }), await this.node('b', { limits })];
    a.transport.setPeers([a.address, b.address]);
    b.transport.setPeers([a.address, b.address]);
    await Promise.all([a.connected('b'), b.connected('a')]);
    return [a, b];
  }

  /** A peer by hand, which does only what the test says: it connects as `name` and then only listens. */
  async scripted(name: string, to: TestNode): Promise<ScriptedPeer> {
    const peer = new ScriptedPeer(to.transport.port);
    this.onClose(() => peer.destroy());
    await peer.connect(helloOf(name));
    return peer;
  }

  /** One open websocket that has said nothing yet. */
  async stranger(to: TestNode, channel: string): Promise<WebSocket> {
    const ws = new WebSocket(`ws://127.0.0.1:${to.transport.port}/gearmesh/peer/v1/${channel}`);
    ws.on('error', () => {});
    this.onClose(() => ws.terminate());
    await new Promise((resolve) => ws.once('open', resolve));
    return ws;
  }

  /** A raw TCP connection that has been accepted. */
  async raw(port: number): Promise<Socket> {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    this.onClose(() => {
      socket.destroy();
    });
    await new Promise((resolve) => socket.once('connect', resolve));
    return socket;
  }

  onClose(closer: () => Promise<void> | void): void {
    this.#closers.push(closer);
  }

  async close(): Promise<void> {
    for (const closer of this.#closers.splice(0).reverse()) await closer();
  }
}

export function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
}

export const events = (bytes: Uint8Array): PeerFrame => ({ type: 'events', bytes });
export const numbered = (seq: number, length = 16): PeerFrame => ({
  type: 'batch',
  incarnation: 1,
  seq,
  bytes: Buffer.alloc(length),
});
