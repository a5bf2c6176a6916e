import { EventEmitter } from 'node:events';
import { hostname } from 'node:os';
import { credentials } from '@grpc/grpc-js';
import {
  type Assignment,
  type CancelRequest,
  type LeaseLost,
  LeaseLostReason,
  type ServeFrame,
  type Welcome,
  type WorkerFunction,
  type WorkFrame,
} from '../../proto/gen/gearmesh/v1/worker.js';
import { endpointList, positive } from '../client/client.js';
import { timestampMs, toDuration } from '../client/convert.js';
import { Cursor, EndpointPool } from '../client/endpoints.js';
import { closedError, type GearmeshError } from '../client/errors.js';
import { INLINE_BYTES, PAYLOAD_BYTES_MAX } from '../client/large.js';
import { routeOf } from '../client/leader.js';
import type { PayloadInput, PayloadStream } from '../client/payload.js';
import { Connection, type Session } from './connection.js';
import { JobAbortedError } from './errors.js';
import { LargeTransfers } from './large.js';
import { emptyFrame, Outbox } from './outbox.js';
import { Outcomes } from './outcomes.js';
import { Running, type RunningHost } from './running.js';
import type {
  HandleOptions,
  Handler,
  JobReport,
  SessionReport,
  StopOptions,
  WorkerEvents,
  WorkerOptions,
} from './types.js';
import { SDK_NAME, SDK_VERSION } from './version.js';

interface Handled {
  readonly handler: Handler;
  readonly options: HandleOptions;
}

const CONNECT_TIMEOUT_MS = 1_000;
const STOP_TIMEOUT_MS = 30_000;
/** How long the last words of a stopping worker may take. */
const FAREWELL_MS = 2_000;
const NAME_CHARS_MAX = 80;

const LOST: Readonly<Partial<Record<LeaseLostReason, string>>> = {
  [LeaseLostReason.TIMEOUT]: 'the run timeout passed',
  [LeaseLostReason.CANCELLED]: 'the job was cancelled',
  [LeaseLostReason.DETACHED]: 'the worker was away for too long',
  [LeaseLostReason.RELEASED]: 'the job was given back',
  [LeaseLostReason.UNACKNOWLEDGED]: 'the worker did not acknowledge the job in time',
  [LeaseLostReason.DELETED]: 'the job is gone',
};

/**
 * Does jobs. Say what it can do with `handle`, then `start`; `stop` finishes or hands back what runs.
 *
 * The worker keeps one connection. When its node dies it goes on with the same session through another one: running
 * handlers notice nothing, unless that takes longer than the cluster's grace.
 *
 * @example
 * const worker = new Worker({ endpoints: ['n1:7730', 'n2:7730', 'n3:7730'], concurrency: 16 });
 * worker.handle('reverse', (job) => [...job.text()].reverse().join(''));
 * worker.handle('resize', async (job, ctx) => {
 *   const { file } = job.json<{ file: string }>();
 *   ctx.progress(1, 2, 'loaded');
 *   return resize(await load(file, { signal: ctx.signal }));
 * });
 * await worker.start();
 * process.once('SIGTERM', () => worker.stop());
 */
export class Worker extends EventEmitter<WorkerEvents> {
  readonly name: string;
  readonly concurrency: number;
  readonly #namespace: string;
  readonly #functions = new Map<string, Handled>();
  readonly #pool: EndpointPool;
  readonly #connection: Connection;
  readonly #outbox = new Outbox();
  readonly #outcomes: Outcomes;
  /** Handlers that run, by lease token; one whose lease is lost keeps its place until it returns. */
  readonly #running = new Map<number, Running>();
  readonly #host: RunningHost & { payloadBytesMax: number; blobBytesMax: number };
  #credit = 0;
  #phase: 'new' | 'running' | 'stopping' | 'stopped' = 'new';
  #scheduled = false;
  /** The functions are others than at the last hello. */
  #changed = false;
  #started: { resolve: () => void; reject: (error: Error) => void } | null = null;
  #loop: Promise<void> = Promise.resolve();
  #stopping: Promise<void> | null = null;
  #quiet: (() => void) | null = null;

  constructor(options: WorkerOptions) {
    super();
    const endpoints = endpointList(options.endpoints);
    this.name = options.name ?? `${hostname().slice(0, NAME_CHARS_MAX)}-${process.pid}`;
    this.concurrency = Math.floor(positive('concurrency', options.concurrency ?? 1));
    this.#namespace = options.namespace ?? '';
    this.#pool = new EndpointPool({
      endpoints,
      credentials: options.credentials ?? credentials.createInsecure(),
      channelOptions: options.channelOptions ?? {},
      connectTimeoutMs: positive('connectTimeoutMs', options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS),
    });
    const route = routeOf(this.#pool, options.order);
    this.#host = {
      outbox: this.#outbox,
      payloadBytesMax: INLINE_BYTES,
      blobBytesMax: Infinity,
      fetchBytesMax: positive('payloadBytesMax', options.payloadBytesMax ?? PAYLOAD_BYTES_MAX),
      large: new LargeTransfers(new Cursor(this.#pool, 1, route), this.#namespace),
      produced: () => this.#schedule(),
    };
    this.#outcomes = new Outcomes(this.#outbox, {
      settled: (report) => this.#report(report),
      again: (error) => this.#connection.leave(error),
    });
    this.#connection = new Connection(this.#pool, new Cursor(this.#pool, 0, route), {
      hello: (session) => this.#hello(session),
      attached: (welcome, resumed, endpoint) => this.#attached(welcome, resumed, endpoint),
      frame: (frame) => this.#frame(frame),
      drain: () => this.#flush(),
      detached: (error, endpoint) => this.#session({ type: 'disconnected', node: '', endpoint, error }),
      forgotten: () => this.#loseAll('the cluster does not know the session any more'),
      graceOver: () => this.#loseAll('no contact for as long as the cluster keeps a session'),
      trouble: (error, final) => this.#trouble(error, final),
    });
  }

  /** Jobs whose handlers run now. */
  get active(): number {
    return this.#running.size;
  }

  /**
   * Says how to do the jobs of a function. May be called while the worker runs; the same name replaces the handler for
   * jobs that come later.
   */
  handle(fn: string, handler: Handler, options: HandleOptions = {}): this {
    if (options.concurrency !== undefined) positive('concurrency', options.concurrency);
    this.#functions.set(fn, { handler, options });
    if (this.#phase === 'running') this.#functionsChanged();
    return this;
  }

  /**
   * Connects and takes jobs. Resolves with the first session, however long that takes; rejects when the cluster
   * refuses the worker for good, e.g. for missing permission.
   */
  start(): Promise<void> {
    if (this.#phase !== 'new') return Promise.reject(new Error('a worker is started once'));
    if (this.#functions.size === 0)
      return Promise.reject(new Error('a worker needs something to do: handle()'));
    this.#phase = 'running';
    this.#loop = this.#connection.run();
    return new Promise((resolve, reject) => {
      this.#started = { resolve, reject };
    });
  }

  /**
   * Takes no more jobs and waits for those that run; after `timeoutMs` their signals are aborted and they go back to
   * their queues. Resolves when the session is closed.
   */
  stop(options: StopOptions = {}): Promise<void> {
    this.#stopping ??= this.#stop(options.timeoutMs ?? STOP_TIMEOUT_MS);
    return this.#stopping;
  }

  async #stop(timeoutMs: number): Promise<void> {
    const wasRunning = this.#phase === 'running';
    this.#phase = 'stopping';
    this.#connection.settle();
    if (wasRunning) {
      this.#functionsChanged();
      await this.#untilQuiet(timeoutMs);
      for (const running of [...this.#running.values()]) this.#handBack(running);
      await this.#untilSettled(FAREWELL_MS);
      this.#connection.finish();
      this.#outbox.goodbye('the worker stops');
      this.#flush();
      await this.#untilDetached(FAREWELL_MS);
    }
    this.#phase = 'stopped';
    this.#session({ type: 'closed', node: '', endpoint: '' });
    this.#connection.close();
    await this.#loop;
    this.#pool.close();
    this.#started?.reject(closedError('NOT_APPLIED'));
    this.#started = null;
  }

  /** Resolves when no handler runs and every outcome is answered, or after the time. */
  async #untilQuiet(ms: number): Promise<void> {
    await this.#until(() => this.#running.size === 0 && this.#outcomes.unanswered === 0, ms);
  }

  async #untilSettled(ms: number): Promise<void> {
    // Without a connection the cluster's grace settles it.
    await this.#until(() => this.#outcomes.unanswered === 0 || this.#connection.stream === null, ms);
  }

  async #untilDetached(ms: number): Promise<void> {
    await this.#until(() => this.#connection.stream === null, ms);
  }

  /** The condition is looked at whenever something has changed. */
  #until(condition: () => boolean, ms: number): Promise<void> {
    if (condition() || ms <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#quiet = null;
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#quiet = () => {
        if (condition()) done();
      };
    });
  }

  #hello(session: Session | null): WorkFrame {
    const frame = emptyFrame();
    const held: number[] = [];
    this.#outbox.restart();
    for (const running of this.#running.values()) {
      if (!running.live) continue;
      held.push(running.leaseToken);
      if (session !== null) this.#outbox.ack(running.leaseToken);
    }
    for (const token of this.#outcomes.tokens()) held.push(token);
    frame.hello = {
      namespace: this.#namespace,
      workerName: this.name,
      functions: this.#functionList(),
      sdkName: SDK_NAME,
      sdkVersion: SDK_VERSION,
      resume:
        session === null ? undefined : { sessionId: session.id, secret: session.secret, heldTokens: held },
      heartbeatInterval: undefined,
      ephemeral: false,
    };
    // The session has its functions; but whether it heard of their last change nobody said.
    if (session !== null && this.#changed) this.#outbox.functions(this.#functionList());
    this.#changed = false;
    // Finished handlers whose outcome has no answer yet take no place.
    this.#credit = this.#phase === 'running' ? Math.max(0, this.concurrency - this.#running.size) : 0;
    this.#outbox.credit(this.#credit);
    this.#outcomes.repeat();
    return this.#outbox.take(frame);
  }

  #functionsChanged(): void {
    this.#changed = true;
    this.#outbox.functions(this.#functionList());
    this.#schedule();
  }

  #functionList(): WorkerFunction[] {
    if (this.#phase !== 'running') return [];
    return Array.from(this.#functions, ([name, { options }]) => ({
      name,
      concurrency: options.concurrency ?? 0,
      runTimeout: toDuration(options.runTimeoutMs),
    }));
  }

  #attached(welcome: Welcome, resumed: boolean, endpoint: string): void {
    this.#host.payloadBytesMax = welcome.limits?.payloadBytesMax || INLINE_BYTES;
    this.#host.blobBytesMax = welcome.limits?.blobBytesMax || Infinity;
    this.#session({ type: resumed ? 'resumed' : 'opened', node: welcome.node, endpoint });
    this.#started?.resolve();
    this.#started = null;
    this.#flush();
  }

  #frame(frame: ServeFrame): void {
    for (const lost of frame.leasesLost) this.#leaseLost(lost);
    if (frame.outcomeResults.length > 0) this.#outcomes.answered(frame.outcomeResults);
    for (const assignment of frame.assignments) this.#assigned(assignment);
    for (const cancel of frame.cancels) this.#cancelled(cancel);
    if (!this.#outbox.empty) this.#schedule();
    this.#quiet?.();
  }

  #assigned(assignment: Assignment): void {
    this.#outbox.ack(assignment.leaseToken);
    if (this.#running.has(assignment.leaseToken)) return;
    const deadlineMs = assignment.deadline === undefined ? undefined : timestampMs(assignment.deadline);
    const running = new Running(this.#host, assignment, deadlineMs, this.#connection.serverNow());
    const handled = this.#functions.get(assignment.function);
    if (this.#phase !== 'running' || handled === undefined) {
      running.finish();
      const why = handled === undefined ? 'the worker does not do this function' : 'the worker stops';
      this.#outcomes.give(running, running.release(why), 'released');
      if (this.#phase === 'running') this.#giveCredit();
      return;
    }
    this.#running.set(assignment.leaseToken, running);
    this.#report(reportOf(running, 'started'));
    void this.#run(running, handled.handler);
  }

  async #run(running: Running, handler: Handler): Promise<void> {
    let thrown: unknown;
    let failed = false;
    let outcome = null;
    let settled = false;
    try {
      if (running.job.isAway) await running.job.fetch();
      const result = await handler(running.job, running);
      if (running.live) {
        const completed = running.complete(result as PayloadInput | PayloadStream | undefined);
        outcome = completed instanceof Promise ? await completed : completed;
        settled = outcome === null;
      }
    } catch (error) {
      thrown = error;
      failed = true;
      if (running.live) outcome = running.fail(error);
    }
    running.finish();
    this.#running.delete(running.leaseToken);
    if (settled) this.#report(reportOf(running, 'succeeded'));
    if (outcome === null) this.#outbox.forget(running.leaseToken);
    else {
      this.#outcomes.give(
        running,
        outcome,
        failed ? 'failed' : 'succeeded',
        failed ? asError(thrown) : undefined,
      );
    }
    if (this.#phase === 'running') this.#giveCredit();
    this.#schedule();
    this.#quiet?.();
  }

  #giveCredit(): void {
    this.#credit++;
    this.#outbox.credit(this.#credit);
  }

  #cancelled(cancel: CancelRequest): void {
    const running = this.#running.get(cancel.leaseToken);
    if (running?.live) running.abort('cancelled', cancel.reason || 'the job was cancelled');
  }

  #leaseLost(lost: LeaseLost): void {
    const running = this.#running.get(lost.leaseToken);
    // An outcome that was given learns its fate by its own answer.
    if (running?.live) this.#lose(running, LOST[lost.reason] ?? 'the lease is over');
  }

  #lose(running: Running, why: string): void {
    running.abort('lease-lost', why);
    this.#outbox.forget(running.leaseToken);
    this.#report(reportOf(running, 'lost', new JobAbortedError('lease-lost', why)));
  }

  #loseAll(why: string): void {
    for (const running of this.#running.values()) if (running.live) this.#lose(running, why);
    this.#quiet?.();
  }

  /** The worker's time is over before the job's. */
  #handBack(running: Running): void {
    if (!running.live) return;
    const release = running.release('the worker stops');
    running.abort('stopping', 'the worker stops');
    running.finish();
    this.#outcomes.give(running, release, 'released');
    this.#schedule();
  }

  #trouble(error: GearmeshError, final: boolean): void {
    if (this.#started === null || !final) {
      this.#tellError(error);
      return;
    }
    this.#started.reject(error);
    this.#started = null;
    void this.stop({ timeoutMs: 0 });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const { stream } = this.#connection;
    if (stream === null) return; // a resume says what counts
    while (!this.#outbox.empty && !stream.blocked) stream.send(this.#outbox.take());
  }

  #session(report: Omit<SessionReport, 'sessionId'>): void {
    this.#quiet?.();
    if (report.type === 'disconnected' && this.#connection.finishing) return;
    this.#safely(() => this.emit('session', { ...report, sessionId: this.#connection.session?.id ?? 0 }));
  }

  #report(report: JobReport): void {
    if (this.listenerCount('job') > 0) this.#safely(() => this.emit('job', report));
  }

  #tellError(error: Error): void {
    if (this.listenerCount('error') > 0) queueMicrotask(() => this.emit('error', error));
  }

  /** A listener that throws must not stop the worker; it is told as an error instead. */
  #safely(tell: () => void): void {
    try {
      tell();
    } catch (error) {
      this.#tellError(asError(error));
    }
  }
}

function reportOf(running: Running, type: JobReport['type'], error?: Error): JobReport {
  const { job, attempt, leaseToken } = running;
  return { type, jobId: job.id, function: job.function, attempt, leaseToken, error };
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
