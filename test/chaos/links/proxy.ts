import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { SeededRandom } from '../../../src/sim/random.js';
import type { Conditions } from './conditions.js';
import { Pipe } from './pipe.js';

export interface Door {
  /** The node behind it. */
  readonly name: string;
  /** Where it listens, for its peers. Port 0: any. */
  readonly host: string;
  readonly port: number;
  /** Where the node listens. */
  readonly target: { readonly host: string; readonly port: number };
}

export interface ProxyHost {
  readonly conditions: Conditions;
  readonly random: SeededRandom;
  /** Name of the node whose connections come from this address; null: of none. */
  readonly nameOf: (address: string) => string | null;
  /** Address from which this node's connections go on to the target, so that packets show whose they are. */
  readonly sourceOf: (name: string) => string;
  readonly losesByItself: boolean;
}

/** A TCP proxy before the peer port of each node: the others are told its address, and none reaches the node but by it. */
export class PeerProxies {
  readonly counts = { held: 0, delayed: 0 };
  readonly #host: ProxyHost;
  readonly #servers: Server[] = [];
  readonly #pipes = new Set<Pipe>();
  /** Connections that come while their way is cut: nobody answers them before it is whole again. */
  readonly #unanswered = new Set<() => void>();

  constructor(host: ProxyHost) {
    this.#host = host;
    host.conditions.onChange(() => {
      for (const again of [...this.#unanswered]) again();
      for (const pipe of this.#pipes) pipe.flush();
    });
  }

  /** Returns the port at which it listens. */
  async open(door: Door): Promise<number> {
    const server = createServer({ allowHalfOpen: false, noDelay: true }, (socket) =>
      this.#accept(door, socket),
    );
    server.listen(door.port, door.host);
    await once(server, 'listening');
    this.#servers.push(server);
    return (server.address() as AddressInfo).port;
  }

  #accept(door: Door, socket: Socket): void {
    socket.on('error', () => {}); // 'close' follows
    const from = this.#host.nameOf(socket.remoteAddress ?? '');
    if (from === null) {
      socket.destroy();
      return;
    }
    socket.pause();
    const go = (): void => {
      const { conditions } = this.#host;
      if (conditions.of(from, door.name).cut || conditions.of(door.name, from).cut) {
        this.counts.held++;
        return;
      }
      this.#unanswered.delete(go);
      if (!socket.destroyed) this.#join(door, from, socket);
    };
    this.#unanswered.add(go);
    socket.once('close', () => this.#unanswered.delete(go));
    go();
  }

  #join(door: Door, from: string, socket: Socket): void {
    const target = connect({ ...door.target, localAddress: this.#host.sourceOf(from), noDelay: true });
    target.on('error', () => {});
    const pipes = [this.#pipe(from, door.name, socket, target), this.#pipe(door.name, from, target, socket)];
    let open = 2;
    for (const one of [socket, target]) {
      one.once('close', () => {
        open--;
        if (open === 0) for (const pipe of pipes) this.#pipes.delete(pipe);
      });
    }
    socket.resume();
  }

  #pipe(from: string, to: string, source: Socket, sink: Socket): Pipe {
    const { conditions, random, losesByItself } = this.#host;
    const pipe = new Pipe(source, sink, {
      condition: () => conditions.of(from, to),
      draw: () => random.below(1_000),
      losesByItself,
      counts: this.counts,
    });
    this.#pipes.add(pipe);
    return pipe;
  }

  async close(): Promise<void> {
    for (const server of this.#servers) server.close();
    for (const pipe of this.#pipes) pipe.close();
    this.#pipes.clear();
  }
}
