import { createServer, type Server, type Socket } from 'node:net';
import type { Clock, Timer } from '../base/clock.js';
import type { ApiLog } from './deps.js';
import type { ApiLimits } from './limits.js';

/** Dropped connections are told at most this often. */
const SAY_MS = 10_000;

export interface ListenerParts {
  readonly clock: Clock;
  readonly log: ApiLog;
  readonly limits: ApiLimits;
  /** Takes a connection: from here on it speaks HTTP/2. */
  readonly take: (socket: Socket) => void;
}

interface Newcomer {
  readonly socket: Socket;
  readonly timer: Timer;
}

/**
 * The gRPC port. A connection is a newcomer until its first call. Newcomers have a time and a number: what is not gRPC,
 * or never asks for anything, costs a socket for a moment only. Node's HTTP/2 would keep such a connection, even one
 * that its client has left, until a keepalive ping fails.
 */
export class Listener {
  readonly #parts: ListenerParts;
  readonly #server: Server;
  /** By remote address, the oldest first. */
  readonly #newcomers = new Map<string, Newcomer>();
  #dropped = 0;
  #saidMs = Number.NEGATIVE_INFINITY;

  constructor(parts: ListenerParts) {
    this.#parts = parts;
    this.#server = createServer({ noDelay: true }, (socket) => this.#connected(socket));
    this.#server.maxConnections = parts.limits.connectionsMax;
    this.#server.on('drop', () => this.#note(`${parts.limits.connectionsMax} connections are open`));
  }

  /** Resolves with the port. `host` without brackets. */
  listen(host: string, port: number): Promise<number> {
    const server = this.#server;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, () => {
        server.off('error', reject);
        server.on('error', (error) =>
          this.#parts.log.error({ err: error }, 'the gRPC listener reported an error'),
        );
        const address = server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
  }

  /** A call came from this remote address (`host:port`): its connection stays as long as it likes. */
  called(remote: string): void {
    if (this.#newcomers.size > 0) this.#release(remote);
  }

  /** Takes no more connections. Those that made calls stay. */
  close(): void {
    this.#server.close();
    for (const { socket } of [...this.#newcomers.values()]) socket.destroy();
  }

  #connected(socket: Socket): void {
    const { clock, limits, take } = this.#parts;
    const remote = `${socket.remoteAddress}:${socket.remotePort}`;
    if (this.#newcomers.size >= limits.newcomersMax) {
      const oldest = this.#newcomers.keys().next().value;
      if (oldest !== undefined) this.#drop(oldest, `${limits.newcomersMax} connections made no call yet`);
    }
    const timer = clock.setTimer(limits.newcomerMs, () =>
      this.#drop(remote, `no call within ${limits.newcomerMs} ms`),
    );
    this.#newcomers.set(remote, { socket, timer });
    socket.once('close', () => this.#release(remote));
    take(socket);
  }

  #release(remote: string): void {
    const newcomer = this.#newcomers.get(remote);
    if (newcomer === undefined) return;
    this.#newcomers.delete(remote);
    newcomer.timer.cancel();
  }

  #drop(remote: string, why: string): void {
    const newcomer = this.#newcomers.get(remote);
    if (newcomer === undefined) return;
    this.#release(remote);
    newcomer.socket.destroy();
    this.#note(why);
  }

  #note(why: string): void {
    this.#dropped++;
    const now = this.#parts.clock.monotonicMs();
    if (now - this.#saidMs < SAY_MS) return;
    this.#parts.log.warn({ why, connections: this.#dropped }, 'dropped connections at the gRPC port');
    this.#saidMs = now;
    this.#dropped = 0;
  }
}
