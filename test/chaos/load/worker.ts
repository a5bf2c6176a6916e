import { GearmeshError } from '../../../src/client/index.js';
import type { SeededRandom } from '../../../src/sim/random.js';
import {
  type Job,
  type JobContext,
  type JobReport,
  NonRetryableError,
  RetryAfter,
  Worker,
} from '../../../src/worker/index.js';
import { completeJob } from '../../support/raw.js';
import { Pace } from '../pace.js';
import { Door } from './door.js';
import { FUNCTIONS, jobOf, type Notes, shown } from './notes.js';

const CONCURRENCY = 6;
const LIFE_MS = [4_000, 20_000] as const;
const AWAY_MS = 1_500;
const HANG_MS = 12_000;

/** An outcome that was given and has no answer yet. */
interface Given {
  readonly job: string;
  readonly begin: number;
  readonly outcome: 'complete' | 'fail' | 'release';
  readonly result: string;
  readonly retryable: boolean;
}

/** A place at which one worker after the other works: each by the SDK, until it stops, or drops dead, or loses its way. */
export class LoadWorker {
  readonly #name: string;
  readonly #nodes: readonly { readonly name: string; readonly grpc: string }[];
  readonly #notes: Notes;
  readonly #random: SeededRandom;
  readonly #pace = new Pace();
  /** Faults are over: from now on it does what it is told. */
  #tame = false;
  #lives = 0;

  constructor(
    name: string,
    nodes: readonly { readonly name: string; readonly grpc: string }[],
    notes: Notes,
    random: SeededRandom,
  ) {
    this.#name = name;
    this.#nodes = nodes;
    this.#notes = notes;
    this.#random = random;
  }

  async run(): Promise<void> {
    while (!this.#pace.over) await this.#live(`${this.#name}.${++this.#lives}`);
  }

  tame(): void {
    this.#tame = true;
  }

  end(): void {
    this.#pace.end();
  }

  async #live(name: string): Promise<void> {
    const doors: { readonly node: string; readonly grpc: string; readonly door: Door }[] = [];
    for (const node of this.#nodes)
      doors.push({ node: node.name, grpc: node.grpc, door: await Door.open(node.grpc) });
    const life = new Life(name, doors, this.#notes, this.#random.fork(), () => this.#tame);
    void life.start();
    for (;;) {
      await this.#pace.sleep(this.#random.between(...LIFE_MS));
      if (this.#pace.over || this.#tame) break;
      const dice = this.#random.below(10);
      if (dice < 5) {
        // The way is lost, the process lives: the session goes on elsewhere.
        for (const { door } of doors) door.lock(true);
        life.cut();
        await this.#pace.sleep(this.#random.between(0, AWAY_MS));
        for (const { door } of doors) door.lock(false);
      } else if (dice < 7) {
        await life.dropDead();
        return;
      } else if (dice < 9) {
        await life.stop(500);
        return;
      }
    }
    await this.#pace.ended();
    await life.stop(5_000);
  }
}

/** One worker from its first connection to its end. */
class Life {
  readonly #name: string;
  readonly #doors: readonly { readonly node: string; readonly grpc: string; readonly door: Door }[];
  readonly #notes: Notes;
  readonly #random: SeededRandom;
  readonly #isTame: () => boolean;
  readonly #worker: Worker;
  /** Leases that are not over, as far as is known here: the job of each. */
  readonly #held = new Map<number, string>();
  readonly #given = new Map<number, Given>();
  #node = '';
  /** When it began to stop: what it hands back, it hands back after this. */
  #stopping = 0;
  #dead = false;
  /** Since when it has no connection. */
  #away: number | null = null;

  constructor(
    name: string,
    doors: readonly { readonly node: string; readonly grpc: string; readonly door: Door }[],
    notes: Notes,
    random: SeededRandom,
    isTame: () => boolean,
  ) {
    this.#name = name;
    this.#doors = doors;
    this.#notes = notes;
    this.#random = random;
    this.#isTame = isTame;
    const endpoints = doors.map(({ door }) => door.address);
    this.#worker = new Worker({ endpoints, concurrency: CONCURRENCY, name });
    for (const fn of FUNCTIONS) this.#worker.handle(fn, (job, ctx) => this.#handle(job, ctx));
    this.#worker.on('job', (report) => this.#told(report));
    this.#worker.on('session', (report) => {
      if (report.type === 'disconnected') {
        this.#away ??= this.#notes.now();
        this.#interrupted();
        return;
      }
      // Until it was there again, the cluster may have gone on giving it jobs where it was.
      if (this.#away !== null) this.#interrupted(this.#away);
      this.#away = null;
      if (report.node !== '') this.#node = report.node;
    });
  }

  start(): Promise<void> {
    return this.#worker.start().catch((error: unknown) => {
      // It was stopped before it ever found a node.
      if (!(error instanceof GearmeshError) || error.reason !== 'CLOSED') throw error;
    });
  }

  /** `since`: what came since then may have gone back unseen as well. */
  #interrupted(since = this.#notes.now()): void {
    if (this.#dead) return;
    this.#notes.recorder.note({
      type: 'interrupted',
      at: since,
      until: this.#notes.now(),
      worker: this.#name,
      node: this.#node,
    });
  }

  async #handle(job: Job, ctx: JobContext): Promise<string> {
    const payload = job.text();
    const name = jobOf(payload);
    const known = job.id === name || name.startsWith('g-') ? name : job.id;
    if (!this.#dead) {
      this.#notes.recorder.note({
        type: 'lease',
        at: this.#notes.now(),
        worker: this.#name,
        node: this.#node,
        job: known,
        token: ctx.leaseToken,
        attempt: ctx.attempt,
        function: job.function,
        payload: shown(payload),
      });
    }
    this.#held.set(ctx.leaseToken, known);
    // As CompleteJob says it: the same outcome twice must be the same.
    ctx.resultContentType = 'text/plain';
    const result = `done ${known} ${ctx.leaseToken}`;
    const give = (outcome: Given['outcome'], retryable: boolean): void => {
      const begin = this.#notes.now();
      const said = { job: known, begin, outcome, result: outcome === 'complete' ? result : '', retryable };
      // Of a lease that is over, or a job that was handed back, the SDK says nothing more.
      if (this.#held.has(ctx.leaseToken) && abortedBy(ctx) !== 'stopping')
        this.#given.set(ctx.leaseToken, said);
    };
    const dice = this.#isTame() ? 100 : this.#random.below(100);
    await sleep(this.#random.between(0, dice < 5 ? 2_500 : 40));
    if (dice >= 5 && dice < 12) {
      give('fail', true);
      throw dice < 8 ? new RetryAfter(this.#random.between(10, 500), 'later') : new Error('by chance');
    }
    if (dice === 12) {
      give('fail', false);
      throw new NonRetryableError('for good');
    }
    if (dice === 13) {
      await hang(ctx.signal);
      // Too late, and by a call of its own, as one says it who knows nothing of the lease's end.
      await this.#completeElsewhere(job.id, known, ctx.leaseToken, result);
    }
    if (dice > 13 && dice < 20) await this.#completeElsewhere(job.id, known, ctx.leaseToken, result);
    give('complete', false);
    return result;
  }

  /** Through CompleteJob at any node; the SDK then says the same once more. */
  async #completeElsewhere(id: string, job: string, token: number, result: string): Promise<void> {
    const { node, grpc } = this.#random.pick(this.#doors);
    const begin = this.#notes.now();
    const failed = await within(4_000, completeJob(grpc, { jobId: id, leaseToken: token, result })).then(
      () => null,
      (error: unknown) => error,
    );
    this.#notes.recorder.note({
      type: 'settle',
      ...this.#notes.ended(this.#name, node, begin, failed),
      job,
      token,
      outcome: 'complete',
      result,
      retryable: false,
    });
  }

  #told(report: JobReport): void {
    if (this.#dead || report.type === 'started') return;
    const { leaseToken } = report;
    const given = this.#given.get(leaseToken);
    const job = this.#held.get(leaseToken);
    this.#given.delete(leaseToken);
    this.#held.delete(leaseToken);
    // It came while the worker stopped, and went back unseen.
    if (job === undefined) return;
    if (report.type === 'released') {
      this.#settled(leaseToken, released(job, this.#stopping), null);
      return;
    }
    if (given === undefined) {
      if (!isGuess(report)) this.#leaseLost(leaseToken);
      return;
    }
    this.#settled(leaseToken, given, report.type === 'lost' ? leaseLost(report) : null);
  }

  #leaseLost(token: number): void {
    this.#notes.recorder.note({ type: 'lease-lost', at: this.#notes.now(), worker: this.#name, token });
  }

  #settled(token: number, given: Given, error: unknown): void {
    const { begin, ...said } = given;
    const call = this.#notes.ended(this.#name, this.#node, begin, error);
    this.#notes.recorder.note({ type: 'settle', ...call, token, ...said });
  }

  /** Its connections break. */
  cut(): void {
    for (const { door } of this.#doors) door.slam();
  }

  /** Its process is gone, as far as anybody can see: no word, and none ever after. */
  async dropDead(): Promise<void> {
    this.#interrupted();
    for (const { door } of this.#doors) door.close();
    this.#giveUp();
    await this.#worker.stop({ timeoutMs: 0 });
  }

  async stop(timeoutMs: number): Promise<void> {
    this.#stopping = this.#notes.now();
    await this.#worker.stop({ timeoutMs });
    this.#interrupted(this.#stopping);
    for (const [token, job] of this.#held) {
      if (!this.#given.has(token)) this.#given.set(token, released(job, this.#stopping));
    }
    this.#giveUp();
    for (const { door } of this.#doors) door.close();
  }

  /** What was said and not answered may have counted. */
  #giveUp(): void {
    this.#dead = true;
    for (const [token, given] of this.#given) {
      const { begin, ...said } = given;
      const call = {
        by: this.#name,
        node: this.#node,
        begin,
        end: null,
        fate: 'unknown',
        error: '',
      } as const;
      this.#notes.recorder.note({ type: 'settle', ...call, token, ...said });
    }
    this.#given.clear();
  }
}

function released(job: string, begin: number): Given {
  return { job, begin, outcome: 'release', result: '', retryable: false };
}

function abortedBy(ctx: JobContext): string {
  return ctx.signal.aborted ? String((ctx.signal.reason as { kind?: string }).kind) : '';
}

/** Nobody told the worker: it had no contact for so long that it counts its leases as lost. */
function isGuess(report: JobReport): boolean {
  return report.error?.message.startsWith('no contact') === true;
}

function leaseLost(report: JobReport): GearmeshError {
  if (report.error instanceof GearmeshError) return report.error.certain();
  return new GearmeshError('FAILED_PRECONDITION', 'LEASE_LOST', 'the lease is over', {
    outcome: 'NOT_APPLIED',
  });
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function hang(signal: AbortSignal): Promise<void> {
  const end = performance.now() + HANG_MS;
  while (!signal.aborted && performance.now() < end) await sleep(100);
}

/** @throws GearmeshError TIMED_OUT, outcome unknown */
async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const error = new GearmeshError('DEADLINE_EXCEEDED', 'TIMED_OUT', 'no answer', { outcome: 'UNKNOWN' });
    timer = setTimeout(() => reject(error), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
