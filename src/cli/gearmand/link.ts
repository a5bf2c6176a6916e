import { connect, type Socket } from 'node:net';
import {
  HEADER_BYTES,
  nameOf,
  type PacketType,
  packet,
  REQUEST_MAGIC,
  RESPONSE_MAGIC,
} from '../../gearman/packets.js';
import { CliError } from '../exit-codes.js';

const CONNECT_MS = 5_000;
/** What gearmand itself sends at most; more is no Gearman server. */
const BODY_BYTES_MAX = 2 ** 31;

/** Packets of a server's byte stream, split wherever. Throws on what is no answer of a Gearman server. */
export class AnswerReader {
  readonly #packet: (type: number, body: Buffer) => void;
  #parts: Buffer[] = [];
  #bytes = 0;
  /** Bytes that are needed before anything can be said. */
  #wanted = HEADER_BYTES;

  constructor(packet: (type: number, body: Buffer) => void) {
    this.#packet = packet;
  }

  push(came: Buffer): void {
    this.#parts.push(came);
    this.#bytes += came.length;
    if (this.#bytes < this.#wanted) return;
    const bytes = this.#parts.length === 1 ? came : Buffer.concat(this.#parts, this.#bytes);
    let at = 0;
    this.#wanted = HEADER_BYTES;
    while (bytes.length - at >= HEADER_BYTES) {
      const size = bytes.readUInt32BE(at + 8);
      if (bytes.readUInt32BE(at) !== RESPONSE_MAGIC || size > BODY_BYTES_MAX) {
        throw new CliError('UNAVAILABLE', 'what answers there is no Gearman server');
      }
      const end = at + HEADER_BYTES + size;
      if (end > bytes.length) {
        this.#wanted = HEADER_BYTES + size;
        break;
      }
      this.#packet(bytes.readUInt32BE(at + 4), bytes.subarray(at + HEADER_BYTES, end));
      at = end;
    }
    // A copy: a view of a few bytes would hold all that they came with.
    this.#parts = at === bytes.length ? [] : [Buffer.from(bytes.subarray(at))];
    this.#bytes = bytes.length - at;
  }
}

export interface LinkEvents {
  packet(type: number, body: Buffer): void;
  /** The connection is over, and why; not called after `end`. */
  lost(error: CliError): void;
}

/** A worker's connection to a gearmand. */
export class Link {
  readonly #address: string;
  readonly #socket: Socket;
  #ended = false;

  private constructor(address: string, socket: Socket, events: LinkEvents) {
    this.#address = address;
    this.#socket = socket;
    const lose = (why: string): void => {
      if (this.#ended) return;
      this.#ended = true;
      socket.destroy();
      events.lost(new CliError('FAILED', `gearmand at ${this.#address}: ${why}`, 'run it again to go on'));
    };
    const reader = new AnswerReader((type, body) => events.packet(type, body));
    socket.on('data', (bytes: Buffer) => {
      if (this.#ended) return;
      try {
        reader.push(bytes);
      } catch (error) {
        lose(error instanceof CliError ? error.message : `it sent what cannot be read: ${String(error)}`);
      }
    });
    socket.on('error', (error) => lose(error.message));
    socket.on('close', () => lose('the connection was closed'));
  }

  /** Rejects with a CliError when nothing listens there. */
  static async open(address: string, events: LinkEvents): Promise<Link> {
    return new Link(address, await dial(address), events);
  }

  /** Packets of one turn go out together. */
  send(type: PacketType, args: readonly (string | Uint8Array)[] = []): void {
    if (this.#ended) return;
    if (this.#socket.writableCorked === 0) {
      this.#socket.cork();
      setImmediate(() => this.#socket.uncork());
    }
    this.#socket.write(packet(REQUEST_MAGIC, type, args));
  }

  /** Jobs that were not completed go back to their queue there. */
  end(): void {
    this.#ended = true;
    this.#socket.destroy();
  }
}

/** Asks a text command on a connection of its own. Resolves with the answer: one line, or all before the line `.`. */
export async function askText(address: string, line: string, kind: 'line' | 'list'): Promise<string> {
  const socket = await dial(address);
  return new Promise<string>((resolve, reject) => {
    const parts: Buffer[] = [];
    socket.on('data', (bytes: Buffer) => {
      parts.push(bytes);
      if (bytes.at(-1) !== 10) return;
      // Only a list's end, or an error, ends in a line break without more to come.
      const last = Buffer.concat(parts.slice(-2)).toString('latin1');
      const all = kind === 'line' || last.endsWith('\n.\n') || last === '.\n' || isError(parts);
      if (!all) return;
      socket.destroy();
      const text = Buffer.concat(parts).toString('utf8');
      resolve(kind === 'list' && text.endsWith('.\n') ? text.slice(0, -2) : text.trimEnd());
    });
    const over = (why: string): void =>
      reject(new CliError('UNAVAILABLE', `gearmand at ${address} did not answer "${line}": ${why}`));
    socket.on('error', (error) => over(error.message));
    socket.on('close', () => over('the connection was closed'));
    socket.setTimeout(60_000, () => {
      over('it is silent');
      socket.destroy();
    });
    socket.write(`${line}\n`);
  });
}

function isError(parts: readonly Buffer[]): boolean {
  return parts[0]!.subarray(0, 4).toString('latin1') === 'ERR ';
}

function dial(address: string): Promise<Socket> {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, at).replace(/^\[(.*)\]$/, '$1');
  const socket = connect({ host, port: Number(address.slice(at + 1)) });
  socket.setNoDelay(true);
  return new Promise((resolve, reject) => {
    const failed = (why: string): void => {
      socket.destroy();
      reject(new CliError('UNAVAILABLE', `no gearmand answers at ${address}: ${why}`, 'does it run there?'));
    };
    const onError = (error: Error): void => failed(error.message);
    const timer = setTimeout(() => failed('no connection in time'), CONNECT_MS);
    socket.once('error', onError);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', onError);
      resolve(socket);
    });
  });
}

/** For messages: a packet of a type that was not expected. */
export function unexpected(type: number, body: Buffer): CliError {
  return new CliError(
    'FAILED',
    `gearmand answered with ${nameOf(type)}: ${body.toString('utf8').replaceAll('\0', ' ').slice(0, 200)}`,
  );
}
