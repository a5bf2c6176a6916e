import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { argumentsOf, HEADER_BYTES, nameOf, packet, REQUEST_MAGIC, TYPE } from '../../src/gearman/packets.js';

const WAIT_MS = 15_000;

type Name = keyof typeof TYPE;

/** A packet as it came: its name and its body. */
export interface Came {
  readonly name: string;
  readonly body: Buffer;
}

/** Arguments of a packet that came, as text. */
export function argsOf(came: Came, count: number): string[] {
  const args = argumentsOf(came.body, count);
  if (args === null) throw new Error(`${came.name} has fewer than ${count} arguments: ${came.body}`);
  return args.map(String);
}

/** One connection that speaks Gearman's protocol byte by byte, as the test says. */
export class RawGearman {
  readonly socket: Socket;
  /** How long an answer may take, milliseconds. */
  waitMs = WAIT_MS;
  /** What came and was not read: the parts that came since belong behind the buffer. */
  #buffer = Buffer.alloc(0);
  #parts: Buffer[] = [];
  #length = 0;
  /** So much must be there before it is worth to look. */
  #wanted = 0;
  #wake: (() => void)[] = [];
  #ended = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => {
      this.#parts.push(bytes);
      this.#length += bytes.length;
      if (this.#buffer.length + this.#length >= this.#wanted) this.#notify();
    });
    const over = (): void => {
      this.#ended = true;
      this.#notify();
    };
    socket.on('end', over);
    socket.on('close', over);
    socket.on('error', over);
  }

  static async open(address: string): Promise<RawGearman> {
    const [host, port] = address.split(':') as [string, string];
    const socket = connect(Number(port), host);
    await once(socket, 'connect');
    return new RawGearman(socket);
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  async #until<T>(look: () => T | undefined): Promise<T> {
    const { waitMs } = this;
    const end = Date.now() + waitMs;
    for (;;) {
      if (this.#length > 0) this.#buffer = Buffer.concat([this.#buffer, ...this.#parts.splice(0)]);
      this.#length = 0;
      this.#wanted = 0;
      const found = look();
      if (found !== undefined) return found;
      const left = end - Date.now();
      if (this.#ended || left <= 0) {
        const why = this.#ended ? 'the connection ended' : `nothing came for ${waitMs} ms`;
        throw new Error(`${why}; unread: ${JSON.stringify(this.#buffer.toString('latin1', 0, 1_000))}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  send(name: Name, ...args: (string | Uint8Array)[]): this {
    this.socket.write(packet(REQUEST_MAGIC, TYPE[name], args));
    return this;
  }

  /** In one piece: the server reads all of them at once. */
  together(...packets: readonly [Name, ...(string | Uint8Array)[]][]): this {
    const all = packets.map(([name, ...args]) => packet(REQUEST_MAGIC, TYPE[name], args));
    return this.bytes(Buffer.concat(all));
  }

  bytes(bytes: Uint8Array | string): this {
    this.socket.write(bytes);
    return this;
  }

  /** The next packet. */
  next(): Promise<Came> {
    return this.#until(() => {
      if (this.#buffer.length < HEADER_BYTES) return undefined;
      const size = this.#buffer.readUInt32BE(8);
      if (this.#buffer.length < HEADER_BYTES + size) {
        this.#wanted = HEADER_BYTES + size;
        return undefined;
      }
      const name = nameOf(this.#buffer.readUInt32BE(4));
      const body = this.#buffer.subarray(HEADER_BYTES, HEADER_BYTES + size);
      this.#buffer = this.#buffer.subarray(HEADER_BYTES + size);
      return { name, body };
    });
  }

  /** The next packet, which must be this one; its body as text. */
  async expect(name: Name): Promise<string> {
    const came = await this.next();
    if (came.name !== name) throw new Error(`${came.name} (${came.body.toString()}) came, not ${name}`);
    return came.body.toString();
  }

  /** The next answer to a text command, up to a line that is `.`, or of one line. */
  text(command: string, lines: 'one' | 'list' = 'one'): Promise<string> {
    this.bytes(`${command}\n`);
    return this.textAnswer(lines);
  }

  textAnswer(lines: 'one' | 'list' = 'one'): Promise<string> {
    return this.#until(() => {
      const all = this.#buffer.toString();
      const end = lines === 'one' ? all.indexOf('\n') + 1 : /(^|\n)\.\n/.exec(all);
      const length = typeof end === 'number' ? end : end === null ? 0 : end.index + end[0].length;
      if (length === 0) return undefined;
      this.#buffer = this.#buffer.subarray(Buffer.byteLength(all.slice(0, length)));
      return all.slice(0, length);
    });
  }

  /** Resolves with all that came before the answer to an echo: what the server had to say so far. */
  async before(): Promise<Came[]> {
    this.send('ECHO_REQ', 'barrier');
    const found: Came[] = [];
    for (;;) {
      const came = await this.next();
      if (came.name === 'ECHO_RES') return found;
      found.push(came);
    }
  }

  /** Submits, and resolves with the handle. */
  submit(name: Name, fn: string, unique: string, ...rest: (string | Uint8Array)[]): Promise<string> {
    return this.send(name, fn, unique, ...rest).expect('JOB_CREATED');
  }

  /** Asks for a job until there is one. */
  async grab(kind: 'GRAB_JOB' | 'GRAB_JOB_UNIQ' | 'GRAB_JOB_ALL' = 'GRAB_JOB'): Promise<Came> {
    for (;;) {
      this.send(kind);
      let came = await this.next();
      while (came.name === 'NOOP') came = await this.next();
      if (came.name !== 'NO_JOB') return came;
      this.send('PRE_SLEEP');
      await this.expect('NOOP');
    }
  }

  /** Grabs a job, and resolves with its handle and payload. */
  async work(): Promise<{ handle: string; fn: string; payload: string }> {
    const [handle, fn, payload] = argsOf(await this.grab(), 3) as [string, string, string];
    return { handle, fn, payload };
  }

  /** Resolves when the server has closed the connection. */
  async closed(): Promise<void> {
    await this.#until(() => (this.#ended ? true : undefined)).catch((error: unknown) => {
      if (!this.#ended) throw error;
    });
  }

  end(): void {
    this.socket.destroy();
  }
}
