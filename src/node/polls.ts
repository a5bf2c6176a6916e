import type { Clock } from '../base/clock.js';
import { GearmeshError } from '../core/errors.js';
import type { Core } from '../core/interface.js';
import type { Assignment, CallOptions, LeaseRequest } from './interface.js';
import { change } from './job-calls.js';
import type { Origin } from './origin.js';
import { deadlineOf } from './sessions.js';

interface Poll {
  readonly session: number;
  readonly finish: () => void;
}

export interface PollsParts {
  readonly core: Core;
  readonly clock: Clock;
  readonly origin: Origin;
}

/**
 * The unary twins of the worker's stream: a call opens a session that takes what waits, or the first job that comes.
 * The leases belong to the cluster, not to this node or a connection; the same request id finds them again.
 */
export class Polls {
  readonly #parts: PollsParts;
  readonly #waiting = new Map<number, Poll>();
  /** Polls whose first job was assigned in the turn that is being applied. */
  #served: Poll[] = [];

  constructor(parts: PollsParts) {
    this.#parts = parts;
  }

  async lease(o: LeaseRequest, call: CallOptions): Promise<readonly Assignment[]> {
    const { core, clock, origin } = this.#parts;
    const opened = await change(
      origin,
      256 + o.functions.reduce((sum, fn) => sum + fn.name.length * 3 + 16, o.worker.length * 3),
      (builder) =>
        builder.leaseRequest({
          namespace: o.namespace,
          name: o.worker,
          requestId: o.requestId,
          functions: o.functions,
          max: o.maxJobs,
          durationMs: o.durationMs,
        }),
      call,
      true,
    );
    const session = opened.value;
    const held = this.#assignments(session);
    if (held.length > 0 || o.waitMs <= 0) {
      if (held.length === 0) this.#stop(session);
      return held;
    }
    await new Promise<void>((resolve, reject) => {
      const over = (): void => {
        if (!this.#waiting.delete(session)) return;
        timer.cancel();
        resolve();
      };
      const timer = clock.setTimer(o.waitMs, over);
      this.#waiting.set(session, { session, finish: over });
      call.signal?.addEventListener(
        'abort',
        () => {
          if (!this.#waiting.delete(session)) return;
          timer.cancel();
          this.#stop(session);
          reject(new GearmeshError('CANCELLED'));
        },
        { once: true },
      );
    });
    const jobs = this.#assignments(session);
    if (jobs.length > 0) return jobs;
    // A job may be assigned before the stop takes effect: what the state holds after it is the answer.
    await this.#stop(session);
    if (core.session(session) === null) return [];
    return this.#assignments(session);
  }

  assigned(session: number): void {
    if (this.#waiting.size === 0) return;
    const poll = this.#waiting.get(session);
    if (poll !== undefined) this.#served.push(poll);
  }

  /** After a run of applies. */
  deliver(): void {
    if (this.#served.length === 0) return;
    const served = this.#served;
    this.#served = [];
    for (const poll of served) poll.finish();
  }

  #assignments(session: number): Assignment[] {
    const { core } = this.#parts;
    const jobs: Assignment[] = [];
    for (const token of core.heldTokens(session)) {
      const seq = core.seqOfToken(token);
      const job = seq === 0 ? null : core.job(seq);
      if (job === null) continue;
      const ends = core.leaseEndWall(token);
      const timeout = deadlineOf(job);
      const deadlineWall = ends > 0 && timeout > 0 ? Math.min(ends, timeout) : Math.max(ends, timeout);
      jobs.push({ token, attempt: job.attempt, deadlineWall, job });
    }
    return jobs;
  }

  #stop(session: number): Promise<void> {
    return new Promise((resolve) => {
      this.#parts.origin.propose({
        bytes: 32,
        repeatable: true,
        encode: (builder) => builder.leaseStop(session),
        done: () => resolve(),
        failed: () => resolve(),
      });
    });
  }
}
