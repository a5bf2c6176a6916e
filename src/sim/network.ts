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
import type { World } from './world.js';

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
  /** Pairs that hear nothing of each other, as `from>to`. */
  readonly #cut = new Set<string>();
  /** A frame made its receiver throw: a process dies of that. */
  uncaught: (name: string, error: Error) => void = (_, error) => {
    throw error;
  };
  /** Sees every frame that is sent, lost or not. */
  passing: (frame: PeerFrame, from: string, to: string) => void = () => {};
  frames = 0;
  lost = 0;

  constructor(world: World) {
    this.world = world;
  }

  transport(name: string): SimTransport {
    this.#ends.get(name)?.die();
    const end = new SimTransport(this, name);
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

  cut(from: string, to: string): void {
    this.#cut.add(`${from}>${to}`);
    this.world.after(SILENCE_MS, () => {
      if (!this.isCut(from, to)) return;
      this.end(to)?.drop(from, 'timeout');
      this.end(from)?.drop(to, 'timeout');
    });
  }

  heal(): void {
    this.#cut.clear();
  }

  isCut(from: string, to: string): boolean {
    return this.#cut.has(`${from}>${to}`);
  }

  delay(): number {
    return this.world.random.between(this.faults.minDelayMs, this.faults.maxDelayMs);
  }
}

interface Link {
  readonly peer: SimTransport;
  readonly hello: Hello;
  readonly last: Record<Channel, number>;
}

export class SimTransport implements Transport {
  readonly name: string;
  alive = true;
  readonly #network: SimNetwork;
  #handler: PeerHandler | null = null;
  #hello: Hello | null = null;
  #peers: readonly PeerAddress[] = [];
  readonly #links = new Map<string, Link>();

  constructor(network: SimNetwork, name: string) {
    this.#network = network;
    this.name = name;
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
    if (this.#network.isCut(this.name, to) || world.random.chance(faults.lossPermille)) {
      this.#network.lost += 1;
      return true;
    }
    const at = Math.max(link.last[channel], world.now + this.#network.delay());
    link.last[channel] = at;
    world.after(at - world.now, () => {
      const there = link.peer;
      if (!there.alive || there.#links.get(this.name)?.peer !== this) return;
      world.note(`${this.name}>${to} ${channel} ${frame.type} ${bytes.length}`);
      const received = decodeFrame(bytes, DEFAULT_PEER_LIMITS) as PeerFrame;
      try {
        there.#handler?.frame(this.name, received);
      } catch (error) {
        if (error instanceof MalformedBytesError) {
          there.drop(this.name, 'closed');
          this.drop(to, 'closed');
        } else {
          this.#network.uncaught(to, error as Error);
        }
      }
    });
    return true;
  }

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
      const cut = this.#network.isCut(this.name, name) || this.#network.isCut(name, this.name);
      this.#network.world.after(cut ? timeoutMs : this.#network.delay() * 2, () =>
        resolve(there?.alive === true && !cut),
      );
    });
  }

  async close(): Promise<void> {
    this.#network.kill(this.name);
  }

  die(): void {
    this.alive = false;
    this.#links.clear();
  }

  drop(name: string, reason: LostReason): void {
    if (!this.alive || !this.#links.delete(name)) return;
    this.#network.world.note(`${this.name} lost ${name} ${reason}`);
    this.#handler?.lost(name, reason);
  }

  #dial(): void {
    if (!this.alive) return;
    for (const peer of this.#peers) this.#connect(peer.name);
    this.#network.world.after(CONNECT_MS, () => this.#dial());
  }

  #connect(name: string): void {
    const there = this.#network.end(name);
    if (this.#links.has(name) || there === null || there.#handler === null) return;
    if (this.#network.isCut(this.name, name) || this.#network.isCut(name, this.name)) return;
    if (this.#hello === null || there.#hello === null) return;
    // A half of the connection may be left from before.
    there.drop(this.name, 'closed');
    const refused = this.#handler?.hello(there.#hello) ?? there.#handler.hello(this.#hello);
    if (refused !== null) return;
    const last = (): Record<Channel, number> => ({ control: 0, data: 0, bulk: 0 });
    const theirHello = there.#hello;
    this.#links.set(name, { peer: there, hello: theirHello, last: last() });
    there.#links.set(this.name, { peer: this, hello: this.#hello, last: last() });
    this.#network.world.note(`${this.name} connects ${name}`);
    this.#handler?.connected(name, theirHello);
    there.#handler.connected(this.name, this.#hello);
  }
}
