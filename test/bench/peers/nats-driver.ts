import { jetstream } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import type { Driver, Producer } from './driver.js';

/** It has a consumer for each queue, of that queue's name. */
export const STREAM = 'BENCH';

/** What JetStream answers to a publication: with `error` when it is refused, and nothing without a leader. */
const ERROR = Buffer.from('"error"');

/**
 * Publishes with a reply subject of its own for each publication that is under way, and hears all answers by one
 * subscription: as the library's `publish` does it, without its timer, promise and headers for each.
 */
class NatsProducer implements Producer {
  readonly #connection: NatsConnection;
  readonly #subject: string;
  readonly #inbox: string;
  readonly #slots: (() => void)[] = [];
  readonly #free: number[] = [];

  constructor(connection: NatsConnection, subject: string, inbox: string) {
    this.#connection = connection;
    this.#subject = subject;
    this.#inbox = inbox;
    connection.subscribe(`${inbox}.*`, {
      callback: (error, message) => {
        if (error !== null) throw error;
        if (
          message.data.length === 0 ||
          Buffer.from(message.data.buffer, message.data.byteOffset, message.data.length).includes(ERROR)
        ) {
          throw new Error(`JetStream refused: ${message.headers?.description ?? ''}${message.string()}`);
        }
        const slot = Number(message.subject.slice(inbox.length + 1));
        this.#free.push(slot);
        this.#slots[slot]!();
      },
    });
  }

  submit(payload: Buffer, accepted: () => void): void {
    const slot = this.#free.pop() ?? this.#slots.length;
    this.#slots[slot] = accepted;
    this.#connection.publish(this.#subject, payload, { reply: `${this.#inbox}.${slot}` });
  }

  submitMany(payload: Buffer, count: number, accepted: () => void): void {
    let left = count;
    const one = (): void => {
      if (--left === 0) accepted();
    };
    for (let i = 0; i < count; i++) this.submit(payload, one);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

let made = 0;

export const natsDriver: Driver = {
  async producer(address, queue) {
    return new NatsProducer(await connect({ servers: address }), queue, `_INBOX.gm${process.pid}-${made++}`);
  },

  async consumer(address, queue, credits, heard) {
    const connection = await connect({ servers: address });
    const consumer = await jetstream(connection).consumers.get(STREAM, queue);
    const messages = await consumer.consume({
      max_messages: credits,
      callback: (message) => {
        heard.started();
        message.ack();
        heard.done();
      },
    });
    return {
      settle: () => connection.flush(),
      close: async () => {
        await messages.close();
        await connection.close();
      },
    };
  },
};
