import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import type { SimPlan } from '../../../src/sim/plan.js';
import { ROOT } from '../../support/root.js';
import type { FromChild, Outcome } from './messages.js';

/** A child that has grown beyond this is replaced before its next run. */
const GROWN_BYTES = 1024 * 1024 * 1024;
const LAST_WORDS = 2_000;

/** The compiled simulator. */
const CHILD = join(ROOT, 'dist/test/simulation/cli/child.js');

export interface PoolOptions {
  readonly jobs: number;
  /** The program of the children: the simulator, or a mutant of it. */
  readonly program?: string;
  /** What the children's environment has besides the parent's. */
  readonly env?: Readonly<Record<string, string>>;
  /** A run that takes longer is ended and counts as failed, seconds of real time. */
  readonly limitSeconds: number;
}

/** Processes that run plans, each one at a time. A run that ends its process has failed; another takes its place. */
export class Pool {
  readonly jobs: number;
  readonly #options: PoolOptions;
  readonly #idle: ChildProcess[] = [];
  readonly #all = new Set<ChildProcess>();
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(options: PoolOptions) {
    this.jobs = options.jobs;
    this.#options = options;
    this.#free = options.jobs;
  }

  /** Waits for a free process. Never rejects: what keeps a run from its end is a violation of the rule `run`. */
  async run(plan: SimPlan): Promise<Outcome> {
    if (this.#free === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#free -= 1;
    const child = this.#idle.pop() ?? this.#start();
    try {
      return await this.#runIn(child, plan);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }

  /** Ends all processes, whatever they are at. */
  close(): void {
    for (const child of this.#all) child.kill('SIGKILL');
    this.#all.clear();
    this.#idle.length = 0;
  }

  #start(): ChildProcess {
    const child = fork(this.#options.program ?? CHILD, {
      env: { ...process.env, ...this.#options.env },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#all.add(child);
    return child;
  }

  #runIn(child: ChildProcess, plan: SimPlan): Promise<Outcome> {
    return new Promise((resolve) => {
      let said = '';
      const listen = (bytes: Buffer): void => {
        said = (said + bytes.toString()).slice(-LAST_WORDS);
      };
      const done = (outcome: Outcome, keep: boolean): void => {
        clearTimeout(limit);
        child.removeAllListeners();
        child.stderr!.off('data', listen);
        if (keep) {
          this.#idle.push(child);
        } else {
          this.#all.delete(child);
          // Its last words may be an error to write to it.
          child.on('error', () => {});
          child.kill('SIGKILL');
        }
        resolve(outcome);
      };
      const limit = setTimeout(() => {
        done(broken(plan, `no end after ${this.#options.limitSeconds} s`), false);
      }, this.#options.limitSeconds * 1_000);
      child.stderr!.on('data', listen);
      child.on('message', (message: FromChild) => {
        if (message.type === 'outcome') done(message.outcome, message.residentBytes < GROWN_BYTES);
        else done(broken(plan, message.error), false);
      });
      child.on('error', (error) => done(broken(plan, error.message), false));
      // After `close`, unlike `exit`, all that it said has been read.
      child.on('close', (code, signal) => {
        done(broken(plan, `the process ended with ${signal ?? code}: ${said.trim()}`), false);
      });
      child.send({ plan }, (error) => {
        if (error !== null) done(broken(plan, error.message), false);
      });
    });
  }
}

function broken(plan: SimPlan, text: string): Outcome {
  return {
    plan,
    traceHash: '',
    violations: [{ seenBy: 'inside', rule: 'run', text }],
    faults: {} as Outcome['faults'],
    states: {},
    operations: 0,
    acknowledged: 0,
    virtualMs: 0,
    events: 0,
    cpuMs: 0,
  };
}
