import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { HEADER_BYTES, REQUEST_MAGIC, TYPE } from '../../src/gearman/packets.js';

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

/** A packet that nobody asked for. */
export function refused(bytes: Buffer, from: number, to: number): never {
  throw new Error(`the server said: ${bytes.toString('latin1', from, to)}`);
}

/** WORK_COMPLETE with an empty result for the job of a JOB_ASSIGN. */
export function complete(bytes: Buffer, from: number, to: number): Buffer {
  const size = bytes.indexOf(0, from) + 1 - from;
  if (size <= 0 || from + size > to) refused(bytes, from, to);
  const done = Buffer.allocUnsafe(HEADER_BYTES + size);
  done.writeUInt32BE(REQUEST_MAGIC, 0);
  done.writeUInt32BE(TYPE.WORK_COMPLETE, 4);
  done.writeUInt32BE(size, 8);
  bytes.copy(done, HEADER_BYTES, from, from + size);
  return done;
}
