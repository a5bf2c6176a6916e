import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type Consumer, type Driver, type Heard, PAYLOAD_BYTES, type Queue } from './driver.js';
import { RawProducer } from './raw-producer.js';

/** How long a job may be reserved, seconds. */
const TIME_TO_RUN = 600;
const NOW = 'reserve-with-timeout 0\r\n';
const WAIT = 'reserve\r\n';
const END = Buffer.from('\r\n');

/** A connection whose answers are told one by one, by their lines: nobody looks at the bodies of jobs. */
async function open(address: string, onAnswer: (line: string) => void, onPause: () => void): Promise<Socket> {
  const [host, port] = address.split(':') as [string, string];
  const socket = connect(Number(port), host);
  await once(socket, 'connect');
  socket.setNoDelay(true);
  let rest: Buffer | null = null;
  socket.on('data', (came: Buffer) => {
    const bytes: Buffer = rest === null ? came : Buffer.concat([rest, came]);
    let at = 0;
    for (;;) {
      const end = bytes.indexOf(END, at);
      if (end === -1) break;
      const line = bytes.toString('latin1', at, end);
      const body = end + END.length;
      const next = line.startsWith('RESERVED ') ? body + PAYLOAD_BYTES + END.length : body;
      if (next > bytes.length) break;
      onAnswer(line);
      at = next;
    }
    rest = at === bytes.length ? null : bytes.subarray(at);
    onPause();
  });
  socket.on('error', (error) => {
    throw error;
  });
  return socket;
}

function refused(line: string): never {
  throw new Error(`beanstalkd said: ${line}`);
}

/**
 * Reserves ahead, up to its credits. A server works on a connection's commands in turn, and one that waits holds up those
 * behind it: so only a lone `reserve` may wait, when all that was held is deleted. From there the number of commands
 * that are under way doubles, as long as there is a job for each of them.
 */
class BeanstalkConsumer implements Consumer {
  readonly #credits: number;
  readonly #heard: Heard;
  #socket: Socket | null = null;
  #out = '';
  #reserving = 0;
  #deleting = 0;
  #window = 1;
  #idle = false;
  #taking = true;
  #settled: () => void = () => {};

  constructor(credits: number, heard: Heard) {
    this.#credits = credits;
    this.#heard = heard;
  }

  async open(address: string, queue: Queue): Promise<this> {
    const socket = await open(
      address,
      (line) => this.#answer(line),
      () => this.#more(),
    );
    this.#socket = socket;
    socket.write(`watch ${queue}\r\nignore default\r\n`);
    this.#idle = true;
    this.#more();
    return this;
  }

  /** A `reserve` that waits for a job will wait on. */
  async settle(): Promise<void> {
    this.#taking = false;
    const settled = new Promise<void>((resolve) => {
      this.#settled = resolve;
    });
    this.#more();
    await settled;
  }

  async close(): Promise<void> {
    this.#socket?.destroy();
  }

  #answer(line: string): void {
    if (line.startsWith('RESERVED ')) {
      this.#reserving--;
      this.#heard.started();
      this.#out += `delete ${line.slice(9, line.indexOf(' ', 9))}\r\n`;
      this.#deleting++;
      this.#idle = false;
    } else if (line === 'DELETED') {
      this.#deleting--;
      this.#heard.done();
    } else if (line === 'TIMED_OUT') {
      this.#reserving--;
      this.#idle = true;
    } else if (!line.startsWith('WATCHING ')) {
      refused(line);
    }
  }

  #more(): void {
    if (this.#socket === null) return;
    if (this.#taking && this.#idle) {
      this.#window = 1;
      if (this.#reserving === 0) {
        this.#out += WAIT;
        this.#reserving = 1;
      }
    } else if (this.#taking) {
      const alone = this.#credits === 1;
      if (this.#reserving === 0) this.#window = Math.min(this.#window * 2, this.#credits);
      for (; this.#reserving < this.#window; this.#reserving++) this.#out += alone ? WAIT : NOW;
    } else if (this.#deleting === 0 && this.#reserving <= 1) {
      this.#settled();
    }
    if (this.#out === '') return;
    this.#socket.write(this.#out, 'latin1');
    this.#out = '';
  }
}

export const beanstalkDriver: Driver = {
  async producer(address, queue) {
    const socket = await open(
      address,
      (line) => {
        if (line.startsWith('INSERTED ')) producer.answered();
        else if (!line.startsWith('USING ')) refused(line);
      },
      () => {},
    );
    const producer = new RawProducer(socket, (payload) =>
      Buffer.concat([Buffer.from(`put 0 0 ${TIME_TO_RUN} ${payload.length}\r\n`), payload, END]),
    );
    socket.write(`use ${queue}\r\n`);
    return producer;
  },

  consumer: (address, queue, credits, heard) => new BeanstalkConsumer(credits, heard).open(address, queue),
};
