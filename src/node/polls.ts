import type { Clock } from '../base/clock.js';
import { GearmeshError } from '../core/errors.js';
import type { Core } from '../core/interface.js';
import type { Assignment, CallOptions, LeaseRequest } from './interface.js';
import { change } from './job-calls.js';
import type { Origin } from './origin.js';
import { deadlineOf } from './sessions.js';

/** One call that waits; the same request said again makes another one of the same session. */
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
  readonly #waiting = new Map<number, Set<Poll>>();
  /** Polls whose first job was assigned in the turn that is being applied. */
  readonly #served = new Set<number>();
  #closed = false;

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
      // Nobody waits for its jobs: it must not take one that comes later.
      (unheard) => {
        if (!this.#waiting.has(unheard)) void this.#stop(unheard);
      },
    );
    const session = opened.value;
    const held = this.#assignments(session);
    if (held.length > 0) return held;
    if (o.waitMs > 0 && !this.#closed && call.signal?.aborted !== true) {
      await new Promise<void>((resolve) => {
        const over = (): void => {
          if (!this.#leave(poll)) return;
          timer.cancel();
          call.signal?.removeEventListener('abort', over);
          resolve();
        };
        const poll: Poll = { session, finish: over };
        const timer = clock.setTimer(o.waitMs, over);
        this.#join(poll);
        call.signal?.addEventListener('abort', over, { once: true });
      });
    }
    const jobs = this.#assignments(session);
    let stopped = true;
    if (jobs.length === 0 && !this.#waiting.has(session)) {
      // A job may be assigned before the stop takes effect: what the state holds after it is the answer.
      stopped = await this.#stop(session);
      if (core.session(session) !== null) jobs.push(...this.#assignments(session));
    }
    // A lease that was given is never called not applied, however late it is.
    if (jobs.length > 0 || call.signal?.aborted !== true) return jobs;
    throw new GearmeshError('CANCELLED', { outcome: stopped ? 'NOT_APPLIED' : 'UNKNOWN' });
  }

  /** True while a call waits for jobs. */
  get waiting(): boolean {
    return this.#waiting.size > 0;
  }

  assigned(session: number): void {
    if (this.#waiting.size === 0) return;
    if (this.#waiting.has(session)) this.#served.add(session);
  }

  /** After a run of applies. */
  deliver(): void {
    if (this.#served.size === 0) return;
    for (const session of this.#served) {
      for (const poll of [...(this.#waiting.get(session) ?? [])]) poll.finish();
    }
    this.#served.clear();
  }

  /** After log was skipped: jobs may have come unseen. */
  resync(): void {
    for (const session of this.#waiting.keys()) {
      const known = this.#parts.core.session(session);
      if (known === null || known.held > 0) this.#served.add(session);
    }
    this.deliver();
  }

  /** The node is stopping: nobody waits any longer. */
  close(): void {
    this.#closed = true;
    for (const session of this.#waiting.keys()) this.#served.add(session);
    this.deliver();
  }

  #join(poll: Poll): void {
    const polls = this.#waiting.get(poll.session);
    if (polls === undefined) this.#waiting.set(poll.session, new Set([poll]));
    else polls.add(poll);
  }

  #leave(poll: Poll): boolean {
    const polls = this.#waiting.get(poll.session);
    if (polls === undefined || !polls.delete(poll)) return false;
    if (polls.size === 0) this.#waiting.delete(poll.session);
    return true;
  }

  #assignments(session: number): Assignment[] {
    const { core } = this.#parts;
    const jobs: Assignment[] = [];
    for (const token of core.heldTokens(session)) {
      const seq = core.seqOfToken(token);
      const job = seq === 0 ? null : core.assignedJob(seq);
      if (job === null) continue;
      const ends = core.leaseEndWall(token);
      const timeout = deadlineOf(job);
      const deadlineWall = ends > 0 && timeout > 0 ? Math.min(ends, timeout) : Math.max(ends, timeout);
      jobs.push({ token, attempt: job.attempt, deadlineWall, job });
    }
    return jobs;
  }

  /** True once the session surely takes no more jobs. */
  #stop(session: number): Promise<boolean> {
    return new Promise((resolve) => {
      this.#parts.origin.propose({
        bytes: 32,
        repeatable: true,
        encode: (builder) => builder.leaseStop(session),
        done: () => resolve(true),
        failed: () => resolve(false),
      });
    });
  }
}
