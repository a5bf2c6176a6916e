import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { untilEnd } from './leftovers.js';
import type { FromLoad, Order, ToLoad } from './order.js';

const SCRIPT = fileURLToPath(new URL('./load.js', import.meta.url));

type Said<T extends FromLoad['say']> = Extract<FromLoad, { say: T }>;

/** One process that makes load, from outside. */
export class Hand {
  /** Jobs that it has worked in this order, as far as it has said. */
  worked = 0;
  readonly #child: ChildProcess;
  readonly #forget: () => void;
  readonly #said: FromLoad[] = [];
  #waiting: (() => void)[] = [];
  #onWorked: () => void = () => {};
  #ended: string | null = null;

  constructor() {
    // Numbers travel as they are in memory.
    const child = fork(SCRIPT, { serialization: 'advanced' });
    this.#child = child;
    this.#forget = untilEnd(() => child.kill('SIGKILL'));
    child.on('message', (message: FromLoad) => {
      if (message.say === 'worked') {
        this.worked = message.jobs;
        this.#onWorked();
      } else {
        this.#said.push(message);
      }
      this.#wake();
    });
    child.on('exit', (code, signal) => {
      this.#ended = `a process that makes load ended with ${code ?? signal}`;
      this.#wake();
    });
  }

  say(what: ToLoad): void {
    if (this.#ended === null) this.#child.send(what);
  }

  /** Opens its connections; `onWorked` is called as it says that jobs are worked. */
  async order(order: Order, onWorked: () => void = () => {}): Promise<void> {
    this.worked = 0;
    this.#onWorked = onWorked;
    this.say({ say: 'order', order });
    await this.heard('ready');
  }

  /** The next of this kind that it says; rejects when the process ends first. */
  async heard<T extends FromLoad['say']>(kind: T): Promise<Said<T>> {
    for (;;) {
      const at = this.#said.findIndex((one) => one.say === kind);
      if (at !== -1) return this.#said.splice(at, 1)[0] as Said<T>;
      if (this.#ended !== null) throw new Error(this.#ended);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  async end(): Promise<void> {
    if (this.#ended === null) {
      const gone = once(this.#child, 'exit');
      this.#child.kill('SIGKILL');
      await gone;
    }
    this.#forget();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
