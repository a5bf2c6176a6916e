import { type Driver, PAYLOAD_BYTES, type Producer } from './driver.js';
import { type FromLoad, STUCK_MS, type SubmitOrder, type Task } from './order.js';

/** How often jobs that are due at a pace are sent, milliseconds. */
const TICK_MS = 1;

/** One call after the other on a connection. Made once, so that a call costs no memory. */
interface Slot {
  readonly producer: Producer;
  began: number;
  readonly accepted: () => void;
}

/** Keeps so many calls under way on each connection, for a while, or at a pace. */
export class Submitting implements Task {
  readonly #order: SubmitOrder;
  readonly #driver: Driver;
  readonly #say: (what: FromLoad) => void;
  readonly #payload = Buffer.alloc(PAYLOAD_BYTES, 'x');
  readonly #producers: Producer[] = [];
  /** Those without a call under way. */
  readonly #idle: Slot[] = [];
  readonly #waits: number[] = [];
  #sent = 0;
  #accepted = 0;
  #worked = 0;
  #began = 0;
  #cpu = process.cpuUsage();
  #over = false;
  #ended = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(order: SubmitOrder, driver: Driver, say: (what: FromLoad) => void) {
    this.#order = order;
    this.#driver = driver;
    this.#say = say;
  }

  async open(): Promise<void> {
    const { addresses, connections, inFlight, queue } = this.#order;
    for (let i = 0; i < connections; i++) {
      this.#producers.push(await this.#driver.producer(addresses[i % addresses.length]!, queue));
    }
    // By turns, so that a slow pace uses all connections.
    for (let i = 0; i < inFlight; i++) {
      for (const producer of this.#producers) this.#idle.unshift(this.#slot(producer));
    }
  }

  go(): void {
    this.#cpu = process.cpuUsage();
    this.#began = performance.now();
    const { seconds, perSecond } = this.#order;
    if (perSecond !== null) this.#timer = setInterval(() => this.#more(), TICK_MS);
    if (seconds !== null) setTimeout(() => this.stop(), seconds * 1_000);
    this.#more();
  }

  worked(jobs: number): void {
    this.#worked = jobs;
    this.#more();
  }

  stop(): void {
    this.#over = true;
    clearInterval(this.#timer);
    let before = this.#accepted;
    this.#timer = setInterval(() => {
      if (this.#accepted === before) throw new Error(`${this.#sent - before} calls are not answered`);
      before = this.#accepted;
    }, STUCK_MS);
    this.#end();
  }

  async close(): Promise<void> {
    await Promise.all(this.#producers.map((one) => one.close()));
  }

  #slot(producer: Producer): Slot {
    const slot: Slot = {
      producer,
      began: 0,
      accepted: () => {
        this.#waits.push(performance.now() - slot.began);
        this.#accepted += this.#order.batch;
        this.#idle.push(slot);
        if (this.#over) this.#end();
        else if (this.#order.perSecond === null) this.#more();
      },
    };
    return slot;
  }

  /** Jobs that may be sent now. */
  #room(): number {
    const { backlog, perSecond } = this.#order;
    if (this.#over) return 0;
    if (perSecond !== null) {
      return Math.floor(((performance.now() - this.#began) / 1_000) * perSecond) - this.#sent;
    }
    return backlog === null ? Number.POSITIVE_INFINITY : backlog - (this.#sent - this.#worked);
  }

  #more(): void {
    const { batch } = this.#order;
    for (let room = this.#room(); room >= batch; room -= batch) {
      const slot = this.#idle.pop();
      if (slot === undefined) return;
      slot.began = performance.now();
      this.#sent += batch;
      if (batch === 1) slot.producer.submit(this.#payload, slot.accepted);
      else slot.producer.submitMany(this.#payload, batch, slot.accepted);
    }
  }

  #end(): void {
    if (this.#ended || this.#accepted < this.#sent) return;
    this.#ended = true;
    clearInterval(this.#timer);
    const seconds = (performance.now() - this.#began) / 1_000;
    const { user, system } = process.cpuUsage(this.#cpu);
    const waits = Float64Array.from(this.#waits);
    const result = { jobs: this.#accepted, seconds, cpuUs: user + system, waits };
    this.#say({ say: 'done', result });
  }
}
