import { type JobOutcome, OutcomeKind, type OutcomeResult } from '../../proto/gen/gearmesh/v1/worker.js';
import type { GearmeshError } from '../client/errors.js';
import { errorOfStatus, worthRepeating } from '../client/status.js';
import type { Outbox } from './outbox.js';
import { bareOutcome, type Running } from './running.js';
import type { JobReport } from './types.js';

interface Unanswered {
  readonly outcome: JobOutcome;
  readonly running: Running;
  readonly type: JobReport['type'];
  readonly error: Error | undefined;
  /** The outcome as the handler gave it was refused; this one says so in its place. */
  readonly replaced: boolean;
}

export interface OutcomesHost {
  settled(report: JobReport): void;
  /** Outcomes must be said again, at another node. */
  again(error: GearmeshError): void;
}

/**
 * Outcomes that were given and not yet answered. They are repeated after each resume, so that an answer that was lost
 * costs nothing: the cluster recognises a repeated outcome by job and token.
 */
export class Outcomes {
  readonly #outbox: Outbox;
  readonly #host: OutcomesHost;
  readonly #unanswered = new Map<number, Unanswered>();

  constructor(outbox: Outbox, host: OutcomesHost) {
    this.#outbox = outbox;
    this.#host = host;
  }

  get unanswered(): number {
    return this.#unanswered.size;
  }

  /** Their leases: still held, as far as is known here. */
  tokens(): IterableIterator<number> {
    return this.#unanswered.keys();
  }

  give(running: Running, outcome: JobOutcome, type: JobReport['type'], error?: Error): void {
    this.#unanswered.set(outcome.leaseToken, { outcome, running, type, error, replaced: false });
    this.#outbox.outcome(outcome);
  }

  /** Puts all of them into the outbox once more. */
  repeat(): void {
    for (const { outcome } of this.#unanswered.values()) this.#outbox.outcome(outcome);
  }

  answered(results: readonly OutcomeResult[]): void {
    let again: GearmeshError | null = null;
    for (const result of results) {
      const entry = this.#unanswered.get(result.leaseToken);
      if (entry === undefined) continue;
      const refusal = result.error === undefined ? null : errorOfStatus(result.error);
      if (refusal !== null && worthRepeating(refusal)) {
        again = refusal;
        continue;
      }
      this.#unanswered.delete(result.leaseToken);
      if (refusal === null) this.#settled(entry, entry.type, entry.error);
      else if (refusal.reason === 'LEASE_LOST' || entry.replaced) this.#settled(entry, 'lost', refusal);
      else this.#replace(entry, refusal);
    }
    if (again !== null) this.#host.again(again);
  }

  /** The cluster does not take the outcome as it is, e.g. a result that is too large: the job fails for that reason. */
  #replace(entry: Unanswered, refusal: GearmeshError): void {
    const { leaseToken, jobId, dataCount } = entry.outcome;
    const outcome: JobOutcome = {
      ...bareOutcome(leaseToken, jobId, OutcomeKind.FAIL, dataCount),
      error: { code: refusal.reason, message: refusal.message, details: new Uint8Array(0) },
    };
    const { running } = entry;
    this.#unanswered.set(leaseToken, { outcome, running, type: 'failed', error: refusal, replaced: true });
    this.#outbox.outcome(outcome);
  }

  #settled({ running, outcome }: Unanswered, type: JobReport['type'], error: Error | undefined): void {
    const { job, attempt } = running;
    const { leaseToken } = outcome;
    this.#host.settled({ type, jobId: job.id, function: job.function, attempt, leaseToken, error });
  }
}
