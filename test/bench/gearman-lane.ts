import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { HEADER_BYTES } from '../../src/gearman/packets.js';

/** Packets of one connection as they come, without an object for each of them. */
export class Lane {
  readonly socket: Socket;
  /** A packet's type, and where its body is. */
  readonly #packet: (type: number, bytes: Buffer, from: number, to: number) => void;
  /** All that came at once has been told. */
  readonly #pause: () => void;
  #rest: Buffer | null = null;

  private constructor(
    socket: Socket,
    packet: (type: number, bytes: Buffer, from: number, to: number) => void,
    pause: () => void,
  ) {
    this.socket = socket;
    this.#packet = packet;
    this.#pause = pause;
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => this.#read(bytes));
    socket.on('error', (error) => {
      throw error;
    });
  }

  static async open(
    address: string,
    packet: (type: number, bytes: Buffer, from: number, to: number) => void,
    pause: () => void = () => {},
  ): Promise<Lane> {
    const [host, port] = address.split(':') as [string, string];
    const socket = connect(Number(port), host);
    await once(socket, 'connect');
    return new Lane(socket, packet, pause);
  }

  #read(came: Buffer): void {
    const bytes = this.#rest === null ? came : Buffer.concat([this.#rest, came]);
    let at = 0;
    while (bytes.length - at >= HEADER_BYTES) {
      const end = at + HEADER_BYTES + bytes.readUInt32BE(at + 8);
      if (end > bytes.length) break;
      this.#packet(bytes.readUInt32BE(at + 4), bytes, at + HEADER_BYTES, end);
      at = end;
    }
    this.#rest = at === bytes.length ? null : bytes.subarray(at);
    this.#pause();
  }
}
