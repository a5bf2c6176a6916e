import type { Timer } from '../base/clock.js';
import type { GearmeshError } from '../core/errors.js';
import type { BlobRef, FunctionSpec, JobError, LeaseLostReason } from '../core/types.js';
import type { Assignment, OutcomeBySession, SessionPort, WorkerSession } from '../node/interface.js';
import type { Answer } from './answers.js';
import type { Deps } from './deps.js';
import type { WireError } from './errors.js';
import { wireError } from './errors.js';
import { assignPacket, type Grab, type Held, heldOf, type Said } from './held.js';
import { NAMESPACE, UNNAMED, WARNING_BYTES_MAX } from './limits.js';
import type { Outgoing } from './out-queue.js';
import { response, TYPE } from './packets.js';
import type { Upload } from './upload.js';

/** What a worker needs of its connection. */
export interface WorkerPort {
  readonly clientId: string;
  readonly address: string;
  send(out: Outgoing): void;
  error(error: WireError): void;
  /** Ends the connection: the worker has to go to another node, or to start anew. */
  close(why: string): void;
}

const NOTHING = Buffer.alloc(0);
/** Handles of jobs that ended by an exception; workers say WORK_FAIL as well, a moment later. */
const EXCEPTED_MAX = 64;
const NO_JOB = response(TYPE.NO_JOB);
const NOOP = response(TYPE.NOOP);

/**
 * The worker behind one connection: a session that cannot be resumed. It has at most one credit that stands, given by
 * a GRAB_JOB, kept while the worker sleeps, and renewed with an outcome; so a job is assigned before the worker asks.
 *
 *     no credit ──GRAB_JOB, PRE_SLEEP, outcome──▶ credit ──assigned──▶ reserved ──GRAB_JOB──▶ held ──outcome──▶ …
 *         ▲                                                               │
 *         └────────────────── not grabbed within a moment: back ──────────┘
 *
 * A worker that asks already when the credit is given (with its outcome, say) begins what there is for it at once. What is reserved is queued for all others, and comes back to its place in the queue at no cost. The worker has begun it
 * when its GRAB_JOB was answered: that is said in the log beside, since the answer does not wait for it.
 *
 * While the credit stands and no job came, there is none: NO_JOB needs no question to the cluster.
 */
export class GearmanWorker implements SessionPort {
  readonly #deps: Deps;
  readonly #port: WorkerPort;
  /** Run timeouts in milliseconds by function, 0: none. */
  readonly #functions = new Map<string, number>();
  #changed = false;
  #said: Said[] = [];
  #session: WorkerSession | null = null;
  #opening = false;
  #early: ((session: WorkerSession) => void)[] = [];
  #granted = 0;
  #standing = false;
  /** Credits that were said and are not applied yet: until then nobody knows whether there is a job. */
  #asking = 0;
  #asleep = false;
  #reserved: Held | null = null;
  #reserveEnd: Timer | null = null;
  readonly #held = new Map<string, Held>();
  /** Jobs whose large result came whole and is not settled yet. */
  readonly #storing = new Set<Held>();
  readonly #excepted = new Set<string>();
  #grabs: { readonly kind: Grab; readonly answer: Answer }[] = [];
  #grabEnd: Timer | null = null;
  #draining = false;
  #over = false;

  constructor(deps: Deps, port: WorkerPort) {
    this.#deps = deps;
    this.#port = port;
  }

  /** Number of its session in the cluster, 0 while it has none. */
  get session(): number {
    return this.#session?.id ?? 0;
  }

  get functions(): Iterable<string> {
    return this.#functions.keys();
  }

  canDo(name: string, timeoutMs: number): void {
    if (this.#functions.get(name) === timeoutMs) return;
    this.#functions.set(name, timeoutMs);
    this.#changed = true;
  }

  cantDo(name: string): void {
    if (this.#functions.delete(name)) this.#changed = true;
  }

  reset(): void {
    if (this.#functions.size > 0) this.#changed = true;
    this.#functions.clear();
  }

  /** The end of what was read at once: a worker often says an outcome and asks for more in one piece. */
  readEnd(): void {
    this.settleFunctions();
    this.#tell();
  }

  /** Tells the cluster what has changed; called before what depends on it and at the end of what was read. */
  settleFunctions(): void {
    if (!this.#changed || this.#over) return;
    this.#changed = false;
    const functions = Array.from(
      this.#functions,
      ([name, runTimeoutMs]): FunctionSpec => ({ name, concurrency: 0, runTimeoutMs }),
    );
    if (this.#session === null && !this.#opening) {
      if (functions.length > 0) this.#open(functions);
      return;
    }
    this.#with((session) => {
      session.changeFunctions(functions).catch((error: unknown) => this.#refused(error));
    });
    const reserved = this.#reserved;
    if (reserved !== null && !this.#functions.has(reserved.function))
      this.#giveBack('the worker cannot do it');
  }

  grab(kind: Grab, answer: Answer): void {
    this.#asleep = false;
    this.settleFunctions();
    this.#grabs.push({ kind, answer });
    if (this.#grabs.length === 1) this.#nextGrab();
  }

  sleep(): void {
    this.settleFunctions();
    if (this.#reserved !== null) {
      // It is kept no longer for that: a worker may say so again and again while it works for another node.
      this.#port.send(NOOP);
      return;
    }
    this.#asleep = true;
    if (this.#standing || this.#functions.size === 0 || this.#draining) return;
    const total = this.#grant();
    this.#with((session) => session.credit(total));
  }

  /** Whether the worker has this job; else it is told that there is none. */
  holds(handle: string): boolean {
    return this.#find(handle) !== null;
  }

  /** False: there is no such job, and the worker was told so. */
  data(handle: string, chunk: Buffer): boolean {
    const held = this.#find(handle);
    if (held !== null) this.#session!.data(held.token, held.next++, [chunk]);
    return held !== null;
  }

  warning(handle: string, text: Buffer): void {
    const held = this.#find(handle);
    if (held === null) return;
    this.#progress(held, text.toString('utf8', 0, WARNING_BYTES_MAX).replaceAll('\ufffd', '?'));
  }

  status(handle: string, numerator: number, denominator: number): void {
    const held = this.#find(handle);
    if (held === null) return;
    held.numerator = numerator;
    held.denominator = denominator;
    this.#progress(held, '');
  }

  complete(handle: string, result: Buffer): void {
    const held = this.#find(handle);
    if (held !== null) this.#complete(held, result, null);
  }

  /** A large result came whole: the worker may say nothing more about the job. Null: it has none such, and was told. */
  completing(handle: string): Held | null {
    const held = this.#find(handle);
    if (held === null) return null;
    this.#forget(held);
    this.#storing.add(held);
    return held;
  }

  completeLarge(held: Held | null, blob: BlobRef, upload: Upload): void {
    if (held === null || !this.#storing.has(held)) upload.discard();
    else {
      this.#complete(held, NOTHING, blob, upload);
      this.#tell();
    }
  }

  /** The result cannot be kept, which is no fault of the job: it goes back. */
  notStored(held: Held | null, error: WireError): void {
    if (held === null || !this.#storing.delete(held)) return;
    this.#port.error(error);
    this.#release(held, `the result could not be stored: ${error.text}`);
    this.#leaveIfIdle();
    this.#detachIfDone();
  }

  fail(handle: string): void {
    if (this.#excepted.delete(handle)) return;
    const held = this.#find(handle);
    if (held !== null)
      this.#fail(held, { code: 'WORK_FAIL', message: 'the worker failed', details: NOTHING });
  }

  exception(handle: string, details: Buffer): void {
    const held = this.#find(handle);
    if (held === null) return;
    if (this.#excepted.size >= EXCEPTED_MAX) this.#excepted.delete(this.#excepted.values().next().value!);
    this.#excepted.add(handle);
    this.#fail(held, { code: 'WORK_EXCEPTION', message: 'the worker raised an exception', details });
  }

  /** The worker's result, or its exception, is larger than the limit: without it the job has failed. */
  tooLarge(handle: string, size: number, limit: number): void {
    const held = this.#held.get(handle);
    if (held === undefined) return;
    const message = `the result has about ${size} bytes, the limit is ${limit}`;
    this.#fail(held, { code: 'RESULT_TOO_LARGE', message, details: NOTHING });
  }

  /** The connection is gone: what the worker holds goes back. */
  end(): void {
    if (this.#over) return;
    this.#tell();
    this.#giveBack('the worker is gone');
    this.#over = true;
    this.#reserveEnd?.cancel();
    this.#grabEnd?.cancel();
    this.#grabs = [];
    this.#held.clear();
    this.#detachIfDone();
  }

  /** A worker may go as soon as it has said its result; the session stays until a large one is settled. */
  #detachIfDone(): void {
    if (this.#over && this.#storing.size === 0) this.#session?.detach();
  }

  // What the node says.

  assigned(jobs: readonly Assignment[]): void {
    for (const job of jobs) {
      this.#standing = false;
      const held = heldOf(this.#deps.api.clusterName, job);
      if (this.#over) {
        if (this.#storing.size > 0) this.#release(held, 'the worker is gone');
        continue;
      }
      this.#held.set(held.handle, held);
      if (this.#grabs.length > 0) this.#give(held);
      else if (this.#reserved === null) this.#reserve(held);
      else this.#release(held, 'the worker takes one job at a time');
      if (this.#asleep) {
        this.#asleep = false;
        this.#port.send(NOOP);
      }
    }
  }

  leasesLost(lost: readonly { readonly token: number; readonly reason: LeaseLostReason }[]): void {
    for (const { token } of lost) {
      for (const held of this.#held.values()) if (held.token === token) this.#forget(held);
    }
    this.#leaveIfIdle();
  }

  /** Gearman cannot ask a worker to stop: the job goes on until its grace is over. */
  cancelRequested(): void {}

  redirect(_endpoints: readonly string[], reason: string): void {
    this.#drainNow(reason);
  }

  drain(reason: string): void {
    this.#drainNow(reason);
  }

  closed(error: GearmeshError | null): void {
    this.#over = true;
    this.#port.close(error?.message ?? 'the session is over');
  }

  #open(functions: readonly FunctionSpec[]): void {
    this.#opening = true;
    const { clientId, address } = this.#port;
    const name = clientId === '' ? UNNAMED + address : clientId;
    this.#deps.api
      .openSession(
        { namespace: NAMESPACE, name, functions, resumable: false, reserves: true, credit: 0 },
        this,
      )
      .then(
        (session) => {
          this.#opening = false;
          this.#session = session;
          if (this.#over) {
            session.detach();
            return;
          }
          const early = this.#early;
          this.#early = [];
          for (const say of early) say(session);
        },
        (error: unknown) => {
          this.#opening = false;
          this.#refused(error);
        },
      );
  }

  /** The cluster does not take this worker, or not with these functions: it may try again on a new connection. */
  #refused(error: unknown): void {
    if (this.#over) return;
    const told = wireError(error);
    this.#port.error(told);
    this.#port.close(told.text);
  }

  #with(say: (session: WorkerSession) => void): void {
    if (this.#session !== null) say(this.#session);
    else if (this.#opening) this.#early.push(say);
  }

  #grant(): number {
    this.#standing = true;
    return ++this.#granted;
  }

  #nextGrab(): void {
    if (this.#grabs.length === 0 || this.#over) return;
    const { clock, limits } = this.#deps;
    if (this.#reserved !== null) {
      this.#give(this.#reserved);
    } else if (this.#functions.size === 0 || this.#draining || (this.#session === null && !this.#opening)) {
      this.#noJob();
    } else if (this.#standing && this.#asking === 0) {
      this.#noJob();
    } else {
      // With an outcome that is still to be handed on comes a credit as well.
      if (!this.#standing && this.#said.length === 0) {
        const total = this.#grant();
        this.#asking++;
        this.#with((session) => session.settle([], total, true).then(this.#asked, this.#asked));
      }
      this.#grabEnd = clock.setTimer(limits.grabAnswerMs, () => this.#noJob());
    }
  }

  /** A credit has been applied, or was refused. The jobs of a turn are told after its answers. */
  readonly #asked = (): void => {
    this.#asking--;
    if (this.#grabs.length === 0) return;
    this.#deps.clock.defer(() => {
      if (this.#asking === 0 && this.#grabs.length > 0) this.#noJob();
    });
  };

  #noJob(): void {
    this.#answer(NO_JOB);
  }

  #answer(out: Outgoing): void {
    this.#grabEnd?.cancel();
    this.#grabEnd = null;
    const { answer } = this.#grabs.shift()!;
    answer(out);
    this.#nextGrab();
  }

  #give(held: Held): void {
    this.#reserveEnd?.cancel();
    this.#reserved = null;
    const { kind } = this.#grabs[0]!;
    const out = assignPacket(kind, held);
    held.payload = NOTHING;
    if (held.begun) this.#session!.ack([held.token]);
    else this.#session!.start(held.token);
    this.#answer(out);
  }

  #reserve(held: Held): void {
    this.#reserved = held;
    this.#reserveEnd?.cancel();
    this.#reserveEnd = this.#deps.clock.setTimer(this.#deps.limits.reserveMs, () =>
      this.#giveBack('the worker did not grab it'),
    );
  }

  #giveBack(reason: string): void {
    const held = this.#reserved;
    if (held !== null) this.#release(held, reason);
    this.#leaveIfIdle();
  }

  #release(held: Held, reason: string): void {
    this.#forget(held);
    const { token, jobId } = held;
    this.#session?.settle([{ kind: 'release', token, jobId, reason }], 0).catch(nothing);
  }

  #forget(held: Held): void {
    this.#held.delete(held.handle);
    if (this.#reserved !== held) return;
    this.#reserved = null;
    this.#reserveEnd?.cancel();
  }

  /** A job that the worker has; else it is told that there is none. */
  #find(handle: string): Held | null {
    const held = this.#held.get(handle);
    if (held !== undefined && held !== this.#reserved) return held;
    this.#port.error({ code: 'JOB_NOT_FOUND', text: 'this connection holds no such job' });
    return null;
  }

  #progress({ token, numerator, denominator }: Held, message: string): void {
    // Each goes into the log, so that a status asked at any node is exact.
    this.#deps.api.reportProgress(token, numerator, denominator, message, {}).catch(nothing);
  }

  #fail(held: Held, error: JobError): void {
    const { token, jobId, next } = held;
    this.#settle(held, {
      kind: 'fail',
      token,
      jobId,
      error,
      retryable: false,
      retryAfterMs: 0,
      dataCount: next,
    });
  }

  #complete(held: Held, result: Buffer, resultBlob: BlobRef | null, upload?: Upload): void {
    const { token, jobId, next } = held;
    const said = { kind: 'complete', token, jobId, result, resultBlob, resultContentType: '' } as const;
    this.#settle(held, { ...said, dataCount: next }, upload);
  }

  #settle(held: Held, outcome: OutcomeBySession, upload?: Upload): void {
    this.#forget(held);
    this.#said.push({ held, outcome, upload });
  }

  /** Hands on what was said, and with it the credit for the next job: it may be assigned with the end of this one. */
  #tell(): void {
    const said = this.#said;
    if (said.length === 0) return;
    this.#said = [];
    const again = !this.#standing && this.#reserved === null && !this.#draining && !this.#over;
    if (again) this.#asking++;
    const outcomes = said.map(({ outcome }) => outcome);
    this.#session!.settle(outcomes, again ? this.#grant() : 0, this.#grabs.length > 0).then(
      (results) => {
        if (again) this.#asked();
        results.forEach(({ error }, i) => {
          const { held, upload } = said[i]!;
          if (error !== null) {
            upload?.discard();
            this.#port.error(wireError(error));
          }
          this.#settled(held);
        });
      },
      (error: unknown) => {
        if (again) this.#asked();
        for (const { held } of said) {
          this.#port.error(wireError(error));
          this.#settled(held);
        }
      },
    );
  }

  #settled(held: Held): void {
    // Not before: the node may look for the blob first, and a session that is detached meanwhile has lost the lease.
    if (this.#storing.delete(held)) this.#detachIfDone();
    this.#leaveIfIdle();
  }

  /** No new jobs; the connection ends once nothing is held, so that the worker goes to another node. */
  #drainNow(reason: string): void {
    this.#draining = true;
    if (this.#reserved !== null) this.#giveBack(reason);
    this.#leaveIfIdle();
  }

  #leaveIfIdle(): void {
    if (!this.#draining || this.#over || this.#held.size > 0 || this.#storing.size > 0) return;
    this.#port.close('the node is stopping');
  }
}

function nothing(): void {}
