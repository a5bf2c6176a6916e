import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** A way to one node that somebody can slam: its connections end without a word, as those of a process that died. */
export class Door {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #locked = false;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(target: string): Promise<Door> {
    const [host, port] = target.split(':') as [string, string];
    const server = createServer({ noDelay: true });
    const door = new Door(server);
    server.on('connection', (socket) => door.#accept(socket, host, Number(port)));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return door;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #accept(socket: Socket, host: string, port: number): void {
    socket.on('error', () => {}); // 'close' follows
    if (this.#locked) {
      socket.resetAndDestroy();
      return;
    }
    const far = connect({ host, port, noDelay: true });
    far.on('error', () => {});
    for (const [one, other] of [
      [socket, far],
      [far, socket],
    ] as const) {
      this.#sockets.add(one);
      one.once('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }

  slam(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Nobody comes in any more, or again. */
  lock(isLocked: boolean): void {
    this.#locked = isLocked;
  }

  close(): void {
    this.lock(true);
    this.slam();
    this.#server.close();
  }
}
