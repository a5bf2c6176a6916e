import { type Consumer, type Driver, PAYLOAD_BYTES, type Producer } from './driver.js';
import { type FromLoad, STUCK_MS, type Task, type WorkOrder } from './order.js';

/** How often it says how many jobs it has worked, milliseconds. */
const TOLD_MS = 5;

/** Works with as many jobs at once as its order says, and on request measures how long single jobs take to start. */
export class Working implements Task {
  readonly #order: WorkOrder;
  readonly #driver: Driver;
  readonly #say: (what: FromLoad) => void;
  readonly #consumers: Consumer[] = [];
  #producer: Producer | null = null;
  #started: (at: number) => void = () => {};
  /** The probe that is waited for is done, not only started. */
  #finished: () => void = () => {};
  #done = 0;
  #told = 0;
  /** When the probe that is waited for was submitted; null: none is. */
  #probed: number | null = null;
  #began = 0;
  #cpu = process.cpuUsage();
  #timer: NodeJS.Timeout | undefined;

  constructor(order: WorkOrder, driver: Driver, say: (what: FromLoad) => void) {
    this.#order = order;
    this.#driver = driver;
    this.#say = say;
  }

  async open(): Promise<void> {
    const { addresses, connections, credits, probe, queue } = this.#order;
    const heard = {
      started: (): void => this.#started(performance.now()),
      done: (): void => {
        this.#done++;
        this.#finished();
      },
    };
    if (probe !== null) this.#producer = await this.#driver.producer(this.#addressOf(1), queue);
    for (let i = 0; i < connections; i++) {
      // A lone worker is at another node than the client, and where there are three neither is at the leader's.
      const address = this.#addressOf(connections === 1 ? 2 % addresses.length : i);
      this.#consumers.push(await this.#driver.consumer(address, queue, credits, heard));
    }
  }

  go(): void {
    this.#cpu = process.cpuUsage();
    this.#began = performance.now();
    this.#timer = setInterval(() => this.#tell(), TOLD_MS);
    if (this.#order.probe !== null) void this.#probe(this.#order.probe);
  }

  worked(): void {}

  /** The benchmark knows that all is worked. */
  stop(): void {
    void this.#end();
  }

  async close(): Promise<void> {
    const all = [...this.#consumers, ...(this.#producer === null ? [] : [this.#producer])];
    await Promise.all(all.map((one) => one.close()));
  }

  #addressOf(i: number): string {
    const { addresses } = this.#order;
    return addresses[i % addresses.length]!;
  }

  #tell(): void {
    if (this.#probed !== null && performance.now() - this.#probed > STUCK_MS) {
      throw new Error(`a job was not started and done within ${STUCK_MS} ms`);
    }
    if (this.#done === this.#told) return;
    this.#told = this.#done;
    this.#say({ say: 'worked', jobs: this.#done });
  }

  async #probe({ warm, count, paceMs }: { warm: number; count: number; paceMs: number }): Promise<void> {
    const payload = Buffer.alloc(PAYLOAD_BYTES, 'p');
    const times = new Float64Array(count);
    for (let i = 0; i < warm + count; i++) {
      const start = new Promise<number>((resolve) => {
        this.#started = resolve;
      });
      const finished = new Promise<void>((resolve) => {
        this.#finished = resolve;
      });
      const began = performance.now();
      this.#probed = began;
      const accepted = new Promise<void>((resolve) => this.#producer!.submit(payload, resolve));
      const at = await start;
      await accepted;
      await finished;
      this.#probed = null;
      if (i < warm) continue;
      times[i - warm] = at - began;
      await new Promise((resolve) => setTimeout(resolve, paceMs));
    }
    this.#say({ say: 'probed', times });
  }

  async #end(): Promise<void> {
    await Promise.all(this.#consumers.map((one) => one.settle()));
    clearInterval(this.#timer);
    const seconds = (performance.now() - this.#began) / 1_000;
    const { user, system } = process.cpuUsage(this.#cpu);
    const result = { jobs: this.#done, seconds, cpuUs: user + system, waits: new Float64Array() };
    this.#say({ say: 'done', result });
  }
}
