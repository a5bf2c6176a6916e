import { MalformedBytesError } from '../base/bytes.js';
import { decodeFrame, encodeFrame } from '../peer/codec.js';
import { DEFAULT_PEER_LIMITS } from '../peer/index.js';
import type {
  Channel,
  Hello,
  LostReason,
  PeerAddress,
  PeerFrame,
  PeerHandler,
  Transport,
} from '../peer/types.js';
import type { SimClock, World } from './world.js';

export interface NetworkFaults {
  /** Frames lost on a connection that stands, out of a thousand. */
  lossPermille: number;
  minDelayMs: number;
  maxDelayMs: number;
}

const CONNECT_MS = 20;
const SILENCE_MS = 3_000;
const CLOSE_NOTICE_MS = 0.5;

/** All sockets between simulated nodes: frames go through the real codec, are delayed, lost, and cut by partitions. */
export class SimNetwork {
  readonly faults: NetworkFaults = { lossPermille: 0, minDelayMs: 0.05, maxDelayMs: 1 };
  readonly world: World;
  readonly #ends = new Map<string, SimTransport>();
  /** Pairs of which the second hears nothing of the first, as `from>to`, with the number of faults that say so. */
  readonly #cut = new Map<string, number>();
  #connections = 0;
  /** A frame made its receiver throw: a process dies of that. */
  uncaught: (name: string, error: Error) => void = (_, error) => {
    throw error;
  };
  /** Sees every frame that is sent, lost or not. */
  passing: (frame: PeerFrame, from: string, to: string) => void = () => {};
  frames = 0;
  /** Frames that never arrived: by chance on a connection that stands, and in all. */
  lostByChance = 0;
  lost = 0;
  /** Frames that arrive before one that was sent earlier on another channel. */
  overtaken = 0;
  /** Connections that broke while both ends lived. */
  broken = 0;

  constructor(world: World) {
    this.world = world;
  }

  /** `clock`: of the process, which decides when it sees what arrives. */
  transport(name: string, clock: SimClock): SimTransport {
    this.#ends.get(name)?.die();
    const end = new SimTransport(this, name, clock);
    this.#ends.set(name, end);
    return end;
  }

  end(name: string): SimTransport | null {
    const end = this.#ends.get(name);
    return end?.alive === true ? end : null;
  }

  /** The process is gone: its sockets close, the others notice a moment later. */
  kill(name: string): void {
    const end = this.#ends.get(name);
    if (end === undefined) return;
    end.die();
    for (const other of this.#ends.values()) {
      if (other === end || !other.isConnected(name)) continue;
      this.world.after(CLOSE_NOTICE_MS, () => other.drop(name, 'closed'));
    }
  }

  /** `to` hears nothing of `from` until the returned function was called (or `heal`). */
  cut(from: string, to: string): () => void {
    const pair = `${from}>${to}`;
    this.#cut.set(pair, (this.#cut.get(pair) ?? 0) + 1);
    this.world.after(SILENCE_MS, () => {
      if (!this.isCut(from, to)) return;
      this.disconnect(from, to, 'timeout');
    });
    let over = false;
    return () => {
      const count = this.#cut.get(pair);
      if (over || count === undefined) return;
      over = true;
      if (count > 1) this.#cut.set(pair, count - 1);
      else this.#cut.delete(pair);
    };
  }

  /** All cuts end. */
  heal(): void {
    this.#cut.clear();
  }

  /** The connection between the two breaks; what is under way on it is lost. */
  disconnect(one: string, other: string, reason: LostReason = 'closed'): void {
    const [a, b] = [this.end(one), this.end(other)];
    if (a?.isConnected(other) === true || b?.isConnected(one) === true) this.broken += 1;
    b?.drop(one, reason);
    a?.drop(other, reason);
  }

  /** A process stands still: its sockets stay open, until the others lose patience. */
  paused(name: string): void {
    this.world.after(SILENCE_MS, () => {
      const end = this.end(name);
      if (end?.clock.paused !== true || end.clock.pausedMs < SILENCE_MS) return;
      for (const other of this.#ends.values())
        if (other !== end) this.disconnect(other.name, name, 'timeout');
    });
  }

  isCut(from: string, to: string): boolean {
    return this.#cut.has(`${from}>${to}`);
  }

  newConnection(): number {
    this.#connections += 1;
    return this.#connections;
  }

  delay(): number {
    return this.world.random.between(this.faults.minDelayMs, this.faults.maxDelayMs);
  }
}

/** One end of a connection; both ends have its number. */
interface Link {
  readonly connection: number;
  readonly peer: SimTransport;
  readonly hello: Hello;
  /** When the last frame of each channel arrives: they keep their order. */
  readonly last: Record<Channel, number>;
}

export class SimTransport implements Transport {
  readonly name: string;
  readonly clock: SimClock;
  alive = true;
  readonly #network: SimNetwork;
  #handler: PeerHandler | null = null;
  #hello: Hello | null = null;
  #peers: readonly PeerAddress[] = [];
  readonly #links = new Map<string, Link>();

  constructor(network: SimNetwork, name: string, clock: SimClock) {
    this.#network = network;
    this.name = name;
    this.clock = clock;
  }

  async listen(handler: PeerHandler): Promise<void> {
    this.#handler = handler;
    this.#dial();
  }

  setPeers(peers: readonly PeerAddress[]): void {
    this.#peers = peers.filter((peer) => peer.name !== this.name);
  }

  setHello(hello: Hello): void {
    const other = this.#hello !== null && this.#hello.diskId !== hello.diskId;
    this.#hello = hello;
    if (!other) return;
    // Peers know this node by the hello of their connection, which now speaks of another disk.
    for (const name of [...this.#links.keys()]) {
      this.#network.end(name)?.drop(this.name, 'closed');
      this.drop(name, 'closed');
    }
  }

  send(to: string, channel: Channel, frame: PeerFrame): boolean {
    const link = this.#links.get(to);
    if (!this.alive || link === undefined) return false;
    const { world, faults } = this.#network;
    this.#network.frames += 1;
    this.#network.passing(frame, this.name, to);
    const bytes = encodeFrame(frame);
    const byChance = world.random.chance(faults.lossPermille);
    if (byChance || this.#network.isCut(this.name, to)) {
      this.#network.lost += 1;
      if (byChance) this.#network.lostByChance += 1;
      return true;
    }
    const at = Math.max(link.last[channel], world.now + this.#network.delay());
    link.last[channel] = at;
    const { control, data, bulk } = link.last;
    if (at < Math.max(control, data, bulk)) this.#network.overtaken += 1;
    const there = link.peer;
    const stands = (): boolean => there.alive && there.#links.get(this.name)?.connection === link.connection;
    world.after(at - world.now, () => {
      if (!stands()) {
        this.#network.lost += 1;
        return;
      }
      // What lies in the socket of a process that stands still is read when it goes on, unless the connection broke.
      there.clock.run(() => {
        if (stands()) there.#arrived(this, channel, frame.type, bytes);
        else this.#network.lost += 1;
      });
    });
    return true;
  }

  #arrived(from: SimTransport, channel: Channel, type: string, bytes: Uint8Array): void {
    this.#network.world.note(`${from.name}>${this.name} ${channel} ${type} ${bytes.length}`);
    const received = decodeFrame(bytes, DEFAULT_PEER_LIMITS) as PeerFrame;
    try {
      this.#handler?.frame(from.name, received);
    } catch (error) {
      if (error instanceof MalformedBytesError) {
        this.drop(from.name, 'closed');
        from.drop(this.name, 'closed');
      } else {
        this.#network.uncaught(this.name, error as Error);
      }
    }
  }

  /** What is sent is on its way at once. */
  flush(): void {}

  queued(): number {
    return 0;
  }

  isConnected(name: string): boolean {
    return this.alive && this.#links.has(name);
  }

  hello(name: string): Hello | null {
    return this.#links.get(name)?.hello ?? null;
  }

  probe(name: string, timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const there = this.#network.end(name);
      const mute =
        there?.clock.paused === true ||
        this.#network.isCut(this.name, name) ||
        this.#network.isCut(name, this.name);
      const roundMs = this.#network.delay() * 2;
      const late = mute || roundMs > timeoutMs;
      this.clock.setTimer(late ? timeoutMs : roundMs, () => resolve(there?.alive === true && !late));
    });
  }

  async close(): Promise<void> {
    // One that ends after its process was killed must not close the sockets of the next.
    if (this.#network.end(this.name) === this) this.#network.kill(this.name);
  }

  die(): void {
    this.alive = false;
    this.#links.clear();
  }

  drop(name: string, reason: LostReason): void {
    if (!this.alive || !this.#links.delete(name)) return;
    this.#network.world.note(`${this.name} lost ${name} ${reason}`);
    this.clock.run(() => this.#handler?.lost(name, reason));
  }

  #dial(): void {
    for (const peer of this.#peers) this.#connect(peer.name);
    this.clock.setTimer(CONNECT_MS, () => this.#dial());
  }

  #connect(name: string): void {
    const there = this.#network.end(name);
    if (this.#links.has(name) || there === null || there.#handler === null) return;
    // Who has not yet seen that the old connection is gone makes no new one.
    if (this.clock.behind || there.clock.behind) return;
    if (this.#network.isCut(this.name, name) || this.#network.isCut(name, this.name)) return;
    if (this.#hello === null || there.#hello === null) return;
    // A half of the connection may be left from before.
    there.drop(this.name, 'closed');
    const refused = this.#handler?.hello(there.#hello) ?? there.#handler.hello(this.#hello);
    if (refused !== null) return;
    const last = (): Record<Channel, number> => ({ control: 0, data: 0, bulk: 0 });
    const theirHello = there.#hello;
    const connection = this.#network.newConnection();
    this.#links.set(name, { connection, peer: there, hello: theirHello, last: last() });
    there.#links.set(this.name, { connection, peer: this, hello: this.#hello, last: last() });
    this.#network.world.note(`${this.name} connects ${name}`);
    this.#handler?.connected(name, theirHello);
    there.#handler.connected(this.name, this.#hello);
  }
}
