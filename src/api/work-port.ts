import type { OutcomeResult, ServeFrame, Welcome, WorkFrame } from '../../proto/gen/gearmesh/v1/worker.js';
import { LeaseLostReason } from '../../proto/gen/gearmesh/v1/worker.js';
import type { Timer } from '../base/clock.js';
import type { GearmeshError } from '../core/errors.js';
import { limitReached } from '../core/limits.js';
import type { LeaseLostReason as Lost } from '../core/types.js';
import type {
  Assignment,
  OutcomeResult as NodeOutcomeResult,
  OutcomeBySession,
  SessionPort,
  WorkerSession,
} from '../node/interface.js';
import type { Duplex } from './call.js';
import { LOST_REASONS, toAssignment } from './convert.js';
import type { Deps } from './deps.js';
import { toldStatus } from './errors.js';
import { toRevision } from './revision.js';
import { ServeFrames } from './serve-frames.js';
import { toDuration } from './time.js';

/**
 * What goes out to one worker. Everything that one event produced leaves in as few frames as possible. While the worker
 * reads slowly nothing is sent or read, and credit is held back, so that at most `assignmentsWaitingMax` jobs wait here.
 */
export class WorkPort implements SessionPort {
  readonly #deps: Deps;
  readonly #duplex: Duplex<WorkFrame, ServeFrame>;
  readonly #frames: ServeFrames;
  #session: WorkerSession | null = null;
  #flushPlanned = false;
  #blocked = false;
  #slow: Timer | null = null;
  #ending = false;
  #settles = 0;
  #sentMs: number;
  /** Cumulative: what the worker granted, what the session was told, jobs that came and jobs that went out. */
  #granted = 0;
  #told = 0;
  #came = 0;
  #sent = 0;
  sessionClosed = false;

  constructor(deps: Deps, duplex: Duplex<WorkFrame, ServeFrame>) {
    this.#deps = deps;
    this.#duplex = duplex;
    this.#frames = new ServeFrames(deps.limits.serveFrameBytes);
    this.#sentMs = deps.clock.monotonicMs();
    duplex.onDrain(() => this.#drained());
  }

  /** The worker reads slowly, and is not read meanwhile. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** The session is there: `welcome` is the first thing that goes out. `told`: credit that it was opened with. */
  open(session: WorkerSession, welcome: Welcome, told: number): void {
    this.#session = session;
    this.#told = told;
    const early = this.#frames.take();
    this.#frames.welcome(welcome);
    for (const token of session.lostTokens) {
      this.#frames.leaseLost({ leaseToken: token, reason: LeaseLostReason.RELEASED });
    }
    this.#write(this.#frames.take());
    this.#write(early);
    this.#jobsSent();
  }

  /** Runs what may throw for a reason that ends the stream. */
  guard(fn: () => void): void {
    try {
      fn();
    } catch (error) {
      this.#duplex.fail(error);
    }
  }

  assigned(jobs: readonly Assignment[]): void {
    for (const job of jobs) this.#frames.assignment(toAssignment(job));
    this.#came += jobs.length;
    // Results of outcomes come with this turn's other answers, and what is planned goes with them. Nothing else need wait.
    if (this.#settles > 0 || this.#flushPlanned) this.#plan();
    else this.#flush();
  }

  leasesLost(lost: readonly { readonly token: number; readonly reason: Lost }[]): void {
    for (const { token, reason } of lost) {
      this.#frames.leaseLost({ leaseToken: token, reason: LOST_REASONS[reason] });
    }
    this.#plan();
  }

  cancelRequested(token: number, reason: string, graceMs: number): void {
    this.#frames.cancel({ leaseToken: token, reason, grace: toDuration(graceMs) });
    this.#plan();
  }

  redirect(endpoints: readonly string[], reason: string): void {
    this.#frames.redirect({ endpoints: [...endpoints], reason });
    this.#plan();
  }

  drain(reason: string): void {
    this.#frames.drain({ reason });
    this.#plan();
  }

  closed(error: GearmeshError | null): void {
    this.sessionClosed = true;
    if (error !== null) {
      this.#flush();
      this.#duplex.fail(error);
    } else {
      this.endWhenSent();
    }
  }

  outcomeResult(result: OutcomeResult): void {
    this.#frames.outcomeResult(result);
    this.#plan();
  }

  /** Answers the outcomes of one frame when the node has. */
  settling(results: Promise<NodeOutcomeResult[]>, outcomes: readonly OutcomeBySession[]): void {
    this.#settles++;
    const settled = () => {
      this.#settles--;
      this.#plan();
    };
    results.then(
      (all) => {
        for (const { token, revision, error } of all) {
          this.#frames.outcomeResult(
            error === null
              ? { leaseToken: token, revision: toRevision(revision), error: undefined }
              : { leaseToken: token, revision: '', error: toldStatus(this.#deps, error) },
          );
        }
        settled();
      },
      (thrown: unknown) => {
        const error = toldStatus(this.#deps, thrown);
        for (const { token } of outcomes)
          this.#frames.outcomeResult({ leaseToken: token, revision: '', error });
        settled();
      },
    );
  }

  /** Credit from the worker, cumulative; 0 says nothing. The session is told if that changes anything for it. */
  credit(total: number): void {
    const allowed = this.allow(total);
    if (allowed <= this.#told || this.#session === null) return;
    this.#told = allowed;
    this.#session.credit(allowed);
  }

  /** The same, for credit that travels with outcomes. */
  creditWithOutcomes(total: number): number {
    this.#told = Math.max(this.#told, this.allow(total));
    return this.#told;
  }

  /** As much of the worker's credit as there is room for. */
  allow(total: number): number {
    this.#granted = Math.max(this.#granted, total);
    return Math.min(this.#granted, this.#sent + this.#deps.limits.assignmentsWaitingMax);
  }

  /** Sends a heartbeat unless something was sent a moment ago. */
  heartbeat(frame: Buffer): void {
    const quietMs = this.#deps.clock.monotonicMs() - this.#sentMs;
    if (!this.#blocked && quietMs > this.#deps.limits.heartbeatMs / 2) this.#write([frame]);
  }

  /** Ends the stream once everything that the worker is owed has gone out. */
  endWhenSent(): void {
    this.#ending = true;
    this.#plan();
  }

  stop(): void {
    this.#slow?.cancel();
  }

  #plan(): void {
    if (this.#flushPlanned || this.#blocked) return;
    this.#flushPlanned = true;
    this.#deps.clock.conclude(() => {
      this.#flushPlanned = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#session === null || this.#blocked || this.#duplex.over) return;
    this.#write(this.#frames.take());
    this.#jobsSent();
    if (this.#ending && this.#settles === 0 && this.#frames.empty) this.#duplex.end();
  }

  #write(frames: readonly Buffer[]): void {
    for (const frame of frames) {
      this.#sentMs = this.#deps.clock.monotonicMs();
      if (!this.#duplex.sendBytes(frame)) this.#block();
    }
  }

  /** Room again for as many jobs: credit that was held back goes to the session. */
  #jobsSent(): void {
    if (this.#blocked || this.#sent === this.#came) return;
    this.#sent = this.#came;
    this.credit(0);
  }

  #block(): void {
    if (this.#blocked) return;
    this.#blocked = true;
    this.#duplex.pause();
    const { slowReaderMs } = this.#deps.limits;
    this.#slow = this.#deps.clock.setTimer(slowReaderMs, () => {
      this.#duplex.fail(
        limitReached('slowReaderMs', slowReaderMs, `the worker has read nothing for ${slowReaderMs} ms`),
      );
    });
  }

  #drained(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#slow?.cancel();
    this.#duplex.resume();
    this.#jobsSent();
    this.#flush();
  }
}
