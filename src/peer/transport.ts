import { MalformedBytesError } from '../base/bytes.js';
import type { Clock, Timer } from '../base/clock.js';
import { invariant } from '../base/invariant.js';
import { type Random, systemRandom } from '../base/random.js';
import { Acceptor } from './acceptor.js';
import { CLOSE } from './channel-socket.js';
import type { PeerContext } from './context.js';
import { askAlive, authority, Dial, type DialResult } from './dialer.js';
import { DEFAULT_PEER_LIMITS, type PeerLimits } from './limits.js';
import { Link, type Sockets, type Tally } from './link.js';
import type { NetworkTransport, PeerLog, PeerTraffic, TransportOptions } from './options.js';
import {
  CHANNELS,
  type Channel,
  type Hello,
  type LostReason,
  type PeerAddress,
  type PeerFrame,
  type PeerHandler,
} from './types.js';

/** A peer of the list. Dialled by whichever of the two has the smaller name. */
interface Peer {
  address: PeerAddress;
  readonly dials: boolean;
  dial: Dial | null;
  /** Waiting for the next dial. */
  pause: Timer | null;
  failures: number;
  /** Last failure that was logged: the same one again is not. */
  logged: string;
  probes: ((connected: boolean) => void)[];
}

/** Lines about connections that were dropped: at most one in this time. */
const DROP_LOG_MS = 1_000;

/** `Transport` over websockets: see `types.ts` for what it promises, `dialer.ts` for the handshake. */
export class PeerTransport implements NetworkTransport {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: PeerLog;
  readonly #limits: PeerLimits;
  readonly #name: string;
  readonly #listen: { readonly host: string; readonly port: number };
  readonly #peers = new Map<string, Peer>();
  readonly #links = new Map<string, Link>();
  readonly #tallies = new Map<string, Record<Channel, Tally>>();
  #context: PeerContext | null = null;
  #acceptor: Acceptor | null = null;
  #hello: Hello | null = null;
  #closed = false;
  #dropped = 0;
  #droppedLogged = 0;
  #dropLoggedMs = Number.NEGATIVE_INFINITY;
  #refused = 0;

  constructor(options: TransportOptions) {
    this.#clock = options.clock;
    this.#random = options.random ?? systemRandom;
    this.#log = options.log;
    this.#name = options.name;
    this.#listen = options.listen;
    this.#limits = { ...DEFAULT_PEER_LIMITS, ...options.limits };
    for (const channel of CHANNELS) {
      const frame = this.#limits.frameBytesMax[channel];
      const queue = this.#limits.queueBytesMax[channel];
      invariant(frame <= queue, 'a queue holds a frame of the largest size', { channel, frame, queue });
    }
  }

  get port(): number {
    return this.#acceptor?.port ?? 0;
  }

  get droppedConnections(): number {
    return this.#dropped;
  }

  get refusedFrames(): number {
    return this.#refused;
  }

  async listen(handler: PeerHandler): Promise<void> {
    invariant(this.#context === null, 'a transport listens once');
    const context: PeerContext = {
      name: this.#name,
      clock: this.#clock,
      random: this.#random,
      limits: this.#limits,
      log: this.#log,
      handler,
      ownHello: () => {
        invariant(this.#hello !== null, 'nothing is dialled or admitted before setHello');
        return this.#hello;
      },
      dropped: (remote, why) => this.#noteDrop(remote, why),
    };
    this.#acceptor = new Acceptor(
      context,
      (hello) => this.#admit(handler, hello),
      (hello, sockets) => this.#linked(context, hello, sockets),
    );
    await this.#acceptor.listen(this.#listen.host, this.#listen.port);
    this.#context = context;
    for (const [name, peer] of this.#peers) this.#dial(name, peer);
  }

  setHello(hello: Hello): void {
    const other = this.#hello !== null && this.#hello.diskId !== hello.diskId;
    this.#hello = hello;
    if (other) this.#sayAnew();
    for (const [name, peer] of this.#peers) if (peer.pause === null) this.#dial(name, peer);
  }

  /** Peers know this node by the hello of their connection, which now speaks of another disk. */
  #sayAnew(): void {
    const why = 'this node goes on with another disk';
    this.#acceptor?.endArrivals(why);
    for (const peer of this.#peers.values()) this.#stopDialling(peer);
    for (const link of [...this.#links.values()]) link.end(CLOSE.goingAway, 'closed', why);
  }

  setPeers(peers: readonly PeerAddress[]): void {
    const wanted = new Map(peers.filter((p) => p.name !== this.#name).map((p) => [p.name, p]));
    for (const [name, peer] of [...this.#peers]) {
      if (wanted.has(name)) continue;
      this.#peers.delete(name);
      this.#stopDialling(peer);
      this.#links.get(name)?.end(CLOSE.goingAway, 'closed', 'it was taken out of the list of peers');
      this.#tallies.delete(name);
    }
    for (const [name, address] of wanted) {
      const known = this.#peers.get(name);
      if (known !== undefined) {
        const moved = authority(known.address) !== authority(address);
        known.address = address;
        if (moved && known.dial !== null) {
          known.dial.abort();
          known.dial = null;
        }
        if (moved) this.#dial(name, known);
        continue;
      }
      const peer: Peer = {
        address,
        dials: this.#name < name,
        dial: null,
        pause: null,
        failures: 0,
        logged: '',
        probes: [],
      };
      this.#peers.set(name, peer);
      this.#dial(name, peer);
    }
  }

  send(to: string, channel: Channel, frame: PeerFrame): boolean {
    const link = this.#links.get(to);
    if (link === undefined) return false;
    const taken = link.send(channel, frame);
    if (!taken) this.#refused++;
    return taken;
  }

  flush(): void {
    for (const link of this.#links.values()) link.flush();
  }

  queued(to: string, channel: Channel): number {
    return this.#links.get(to)?.queued(channel) ?? 0;
  }

  isConnected(name: string): boolean {
    return this.#links.has(name);
  }

  hello(name: string): Hello | null {
    return this.#links.get(name)?.hello ?? null;
  }

  async probe(name: string, timeoutMs: number): Promise<boolean> {
    const link = this.#links.get(name);
    if (link !== undefined) return link.ping(timeoutMs);
    const peer = this.#peers.get(name);
    const context = this.#context;
    if (peer === undefined || context === null || this.#closed) return false;
    if (peer.dials) return this.#probeByDial(name, peer, timeoutMs);
    // The other side dials: whether it could is all that can be learnt from here.
    const answer = await askAlive(context, peer.address, timeoutMs);
    if (answer === 'alive') return true;
    if (!this.#closed && this.#peers.get(name) === peer && !this.#links.has(name)) {
      context.handler.lost(name, answer);
    }
    return false;
  }

  traffic(): readonly PeerTraffic[] {
    return [...this.#tallies].flatMap(([peer, tallies]) =>
      CHANNELS.map((channel) => ({ peer, channel, ...tallies[channel] })),
    );
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const peer of this.#peers.values()) this.#stopDialling(peer);
    for (const link of [...this.#links.values()]) link.end(CLOSE.goingAway, 'closed', 'the node stops');
    await this.#acceptor?.close();
  }

  /** What the transport itself has against a hello, then what the node has. */
  #admit(handler: PeerHandler, hello: Hello): string | null {
    if (this.#closed) return 'the node stops';
    if (this.#hello === null) return 'the node is starting';
    if (hello.name === this.#name) return `its name ${hello.name} is my own`;
    if (hello.name > this.#name) return `${this.#name} dials ${hello.name}, not the other way round`;
    if (this.#links.size >= this.#limits.linksMax && !this.#links.has(hello.name)) {
      return `linksMax: ${this.#limits.linksMax} peers are connected`;
    }
    return handler.hello(hello);
  }

  #linked(context: PeerContext, hello: Hello, sockets: Sockets): void {
    // A peer that comes again has given the old connections up, even where their end has not been seen here.
    this.#links.get(hello.name)?.end(CLOSE.goingAway, 'closed', 'it connected anew');
    let tallies = this.#tallies.get(hello.name);
    if (tallies === undefined) {
      tallies = { control: newTally(), data: newTally(), bulk: newTally() };
      this.#tallies.set(hello.name, tallies);
    }
    const link = new Link(context, hello, sockets, tallies, {
      frame: (from, frame) => this.#frame(context, from, frame),
      down: (ended, reason, text) => this.#down(context, ended, reason, text),
    });
    this.#links.set(link.name, link);
    const peer = this.#peers.get(link.name);
    if (peer !== undefined) peer.logged = '';
    this.#log.debug({ peer: link.name, address: hello.peer, version: hello.version }, 'connected to a peer');
    context.handler.connected(link.name, hello);
    if (peer !== undefined) answerProbes(peer, link.up);
  }

  /** What a frame carries is opaque here; a peer that sends what its reader cannot read is let go, and may come again. */
  #frame(context: PeerContext, link: Link, frame: PeerFrame): void {
    try {
      context.handler.frame(link.name, frame);
    } catch (error) {
      if (!(error instanceof MalformedBytesError)) throw error;
      const text = `a malformed ${frame.type}: ${error.message}`;
      this.#noteDrop(link.name, text);
      link.end(CLOSE.malformed, 'closed', text);
    }
  }

  #down(context: PeerContext, link: Link, reason: LostReason, text: string): void {
    const { name } = link;
    this.#links.delete(name);
    const peer = this.#peers.get(name);
    if (peer === undefined) this.#tallies.delete(name);
    if (this.#closed) return;
    this.#log.warn({ peer: name, reason, text }, 'lost a peer');
    // A link that fell at once is no success: else two nodes that cannot talk would redial without a pause.
    const stood = this.#clock.monotonicMs() - link.sinceMs;
    if (peer !== undefined && stood >= this.#limits.backoffMaxMs) peer.failures = 0;
    if (peer !== undefined) this.#dialLater(name, peer);
    context.handler.lost(name, reason);
  }

  #dial(name: string, peer: Peer): void {
    const context = this.#context;
    if (context === null || this.#closed || !peer.dials || peer.dial !== null || this.#links.has(name))
      return;
    peer.pause?.cancel();
    peer.pause = null;
    peer.dial = new Dial(context, peer.address, (result) => {
      peer.dial = null;
      this.#dialled(context, name, peer, result);
    });
  }

  #dialled(context: PeerContext, name: string, peer: Peer, result: DialResult): void {
    if (result.ok) {
      this.#linked(context, result.hello, result.sockets);
      return;
    }
    peer.failures++;
    const { reason, text } = result;
    const fields = { peer: name, address: authority(peer.address), reason, text };
    if (peer.logged === text) this.#log.debug(fields, 'still cannot connect to a peer');
    else this.#log.warn(fields, 'cannot connect to a peer; trying again until it works');
    peer.logged = text;
    this.#dialLater(name, peer);
    answerProbes(peer, false);
    context.handler.lost(name, reason);
  }

  #dialLater(name: string, peer: Peer): void {
    if (!peer.dials || this.#closed) return;
    const { backoffMinMs, backoffMaxMs } = this.#limits;
    const whole = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.max(0, peer.failures - 1));
    const half = Math.ceil(whole / 2);
    peer.pause?.cancel();
    peer.pause = this.#clock.setTimer(half + this.#random.below(half + 1), () => {
      peer.pause = null;
      this.#dial(name, peer);
    });
  }

  #stopDialling(peer: Peer): void {
    peer.pause?.cancel();
    peer.pause = null;
    peer.dial?.abort();
    peer.dial = null;
    answerProbes(peer, false);
  }

  #probeByDial(name: string, peer: Peer, timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = this.#clock.setTimer(timeoutMs, () => answer(false));
      const answer = (connected: boolean) => {
        timer.cancel();
        peer.probes = peer.probes.filter((other) => other !== answer);
        resolve(connected);
      };
      peer.probes.push(answer);
      this.#dial(name, peer);
    });
  }

  /** Garbage comes in floods: one line a second tells enough. */
  #noteDrop(remote: string, why: string): void {
    this.#dropped++;
    const now = this.#clock.monotonicMs();
    if (now - this.#dropLoggedMs < DROP_LOG_MS) return;
    const others = this.#dropped - this.#droppedLogged - 1;
    this.#dropLoggedMs = now;
    this.#droppedLogged = this.#dropped;
    this.#log.warn({ remote, why, others }, 'dropped a connection at the peer port');
  }
}

function answerProbes(peer: Peer, connected: boolean): void {
  for (const answer of peer.probes.splice(0)) answer(connected);
}

function newTally(): Tally {
  return { sentBytes: 0, receivedBytes: 0, sentFrames: 0, receivedFrames: 0 };
}
