import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { RealCluster } from '../support/real-cluster.js';
import { FUNCTION, payload } from './bench-cluster.js';
import type { PaceOrder, PaceResult } from './children/pacer.js';
import type { WorkOrder } from './children/worker.js';
import { cpuUs } from './gauge.js';

/** A process of ours that takes one order and answers by messages. */
export class Child {
  readonly #process: ChildProcess;
  readonly #failed: Promise<never>;

  constructor(script: URL) {
    this.#process = fork(fileURLToPath(script), { serialization: 'advanced' });
    this.#failed = once(this.#process, 'exit').then(([code]) => {
      throw new Error(`${script.pathname} ended with ${code}`);
    });
    this.#failed.catch(() => {});
  }

  get pid(): number {
    return this.#process.pid!;
  }

  /** Sends a message and resolves with the next one that comes. */
  async ask<T>(message: object): Promise<T> {
    const answer = once(this.#process, 'message');
    this.#process.send(message);
    const [got] = (await Promise.race([answer, this.#failed])) as [T];
    return got;
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }
}

/** Workers in a process of their own that do nothing. */
export class Workers {
  readonly #child: Child;

  private constructor(child: Child) {
    this.#child = child;
  }

  static async start(
    cluster: RealCluster,
    sessions: number,
    credits: number,
    options: {
      readonly functions?: readonly string[];
      /** Bare sessions that share connections, for thousands of them. */
      readonly bare?: boolean;
    } = {},
  ): Promise<Workers> {
    const { functions = [FUNCTION], bare = false } = options;
    const child = new Child(
      bare
        ? new URL('./children/sessions.js', import.meta.url)
        : new URL('./children/worker.js', import.meta.url),
    );
    const order: WorkOrder = { endpoints: cluster.endpoints, functions, sessions, credits };
    try {
      await child.ask(order);
    } catch (error) {
      child.kill();
      throw error;
    }
    return new Workers(child);
  }

  get cpuUs(): number {
    return cpuUs(this.#child.pid);
  }

  /** Jobs that their handlers have been called with so far. */
  worked(): Promise<number> {
    return this.#child.ask<number>({});
  }

  kill(): void {
    this.#child.kill();
  }
}

export interface PaceOptions {
  readonly perSecond: number;
  /** gRPC addresses; absent: all nodes. */
  readonly endpoints?: readonly string[];
  readonly fn?: string;
  readonly connections?: number;
}

/** Submissions at a steady pace, from a process of their own. */
export class Pace {
  readonly #child: Child;

  private constructor(child: Child) {
    this.#child = child;
  }

  static async start(cluster: RealCluster, options: PaceOptions): Promise<Pace> {
    const { perSecond, endpoints = cluster.endpoints, fn = FUNCTION, connections = 8 } = options;
    const child = new Child(new URL('./children/pacer.js', import.meta.url));
    const order: PaceOrder = { endpoints, fn, payloadBytes: payload.length, perSecond, connections };
    await child.ask(order);
    return new Pace(child);
  }

  /** Resolves when all that was sent is answered. */
  stop(): Promise<PaceResult> {
    return this.#child.ask<PaceResult>({});
  }

  kill(): void {
    this.#child.kill();
  }
}
