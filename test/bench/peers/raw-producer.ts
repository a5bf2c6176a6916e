import type { Socket } from 'node:net';
import type { Producer } from './driver.js';

/** Commands that fit into one write. */
const AT_ONCE = 128;

/**
 * Submits over a protocol that is answered in the order of the commands: what is submitted in one turn of the event loop
 * goes out in one piece, of bytes that were made once for each payload, so that it costs little beside the server.
 */
export class RawProducer implements Producer {
  readonly #socket: Socket;
  readonly #encode: (payload: Buffer) => Buffer;
  readonly #encoded = new Map<Buffer, { readonly many: Buffer; readonly bytes: number }>();
  /** Of those that are not answered, the oldest first. */
  #waiting: (() => void)[] = [];
  #answered = 0;
  #payload: Buffer | null = null;
  #count = 0;
  #due = false;

  constructor(socket: Socket, encode: (payload: Buffer) => Buffer) {
    this.#socket = socket;
    this.#encode = encode;
  }

  submit(payload: Buffer, accepted: () => void): void {
    this.#put(payload);
    this.#waiting.push(accepted);
  }

  submitMany(payload: Buffer, count: number, accepted: () => void): void {
    for (let i = 1; i < count; i++) this.submit(payload, nothing);
    this.submit(payload, accepted);
  }

  /** The oldest that waits was accepted. */
  answered(): void {
    const accepted = this.#waiting[this.#answered++];
    if (accepted === undefined) throw new Error('an answer to nothing');
    if (this.#answered === this.#waiting.length || this.#answered > 4_096) {
      this.#waiting = this.#waiting.slice(this.#answered);
      this.#answered = 0;
    }
    accepted();
  }

  async close(): Promise<void> {
    this.#socket.destroy();
  }

  #put(payload: Buffer): void {
    if (this.#payload !== payload) this.#flush();
    this.#payload = payload;
    this.#count++;
    if (this.#due) return;
    this.#due = true;
    process.nextTick(() => {
      this.#due = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#payload === null || this.#count === 0) return;
    let encoded = this.#encoded.get(this.#payload);
    if (encoded === undefined) {
      const one = this.#encode(this.#payload);
      encoded = { many: Buffer.concat(Array.from({ length: AT_ONCE }, () => one)), bytes: one.length };
      this.#encoded.set(this.#payload, encoded);
    }
    for (; this.#count > 0; this.#count -= Math.min(this.#count, AT_ONCE)) {
      this.#socket.write(encoded.many.subarray(0, Math.min(this.#count, AT_ONCE) * encoded.bytes));
    }
  }
}

function nothing(): void {}
