import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { RealCluster } from '../support/real-cluster.js';
import { FUNCTION, payload } from './bench-cluster.js';
import type { PaceOrder, PaceResult } from './children/pacer.js';
import type { WorkOrder, WorkRequest } from './children/worker.js';
import { cpuUs } from './gauge.js';
import type { Places } from './places.js';

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

export interface WorkersOptions {
  readonly sessions: number;
  readonly credits: number;
  readonly functions?: readonly string[];
  /** Bare sessions are spread, always. */
  readonly places?: Places;
}

/** Workers that do nothing, in a process of their own; it stays warm while they are closed. */
export class Workers {
  readonly #cluster: RealCluster;
  readonly #child: Child;

  private constructor(cluster: RealCluster, script: URL) {
    this.#cluster = cluster;
    this.#child = new Child(script);
  }

  /** None of them is open yet. */
  static of(cluster: RealCluster): Workers {
    return new Workers(cluster, new URL('./children/worker.js', import.meta.url));
  }

  static async start(cluster: RealCluster, options: WorkersOptions): Promise<Workers> {
    return await Workers.of(cluster).#started(options);
  }

  /** Bare sessions that share connections, for thousands of them. They end with `kill` alone. */
  static async startBare(cluster: RealCluster, options: WorkersOptions): Promise<Workers> {
    return await new Workers(cluster, new URL('./children/sessions.js', import.meta.url)).#started(options);
  }

  get cpuUs(): number {
    return cpuUs(this.#child.pid);
  }

  async open({
    sessions,
    credits,
    functions = [FUNCTION],
    places = 'leader',
  }: WorkersOptions): Promise<void> {
    const { endpoints } = this.#cluster;
    const order: WorkOrder = { endpoints, places, functions, sessions, credits };
    await this.#ask({ kind: 'open', order });
  }

  /** Resolves when their sessions are over. */
  async close(): Promise<void> {
    await this.#ask({ kind: 'close' });
  }

  /** Jobs that their handlers have been called with so far. */
  worked(): Promise<number> {
    return this.#ask<number>({ kind: 'count' });
  }

  kill(): void {
    this.#child.kill();
  }

  async #started(options: WorkersOptions): Promise<Workers> {
    try {
      await this.open(options);
      return this;
    } catch (error) {
      this.kill();
      throw error;
    }
  }

  #ask<T>(request: WorkRequest): Promise<T> {
    return this.#child.ask<T>(request);
  }
}

export interface PaceOptions {
  readonly perSecond: number;
  /** gRPC addresses; absent: all nodes. */
  readonly endpoints?: readonly string[];
  readonly places?: Places;
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
    const { perSecond, endpoints = cluster.endpoints, places = 'leader' } = options;
    const { fn = FUNCTION, connections = 8 } = options;
    const child = new Child(new URL('./children/pacer.js', import.meta.url));
    const order: PaceOrder = { endpoints, places, fn, payloadBytes: payload.length, perSecond, connections };
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
