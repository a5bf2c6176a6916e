import { type FunctionState, TOTAL } from '../functions.js';
import { matchLater, rotate } from '../matching/match.js';
import type { Session } from '../sessions.js';
import { removeIfDone } from '../sessions-end.js';
import type { State } from '../state.js';
import { mix32 } from '../tables/hash.js';
import type { JobError, LeaseLostReason, PriorityRank, RetryPolicy } from '../types.js';
import {
  CANCELLED,
  EXPIRED,
  FAILED,
  FLAG_ACKED,
  FLAG_CANCEL,
  M_ATTEMPT,
  M_DUE_US,
  M_DUE2,
  M_FIELDS,
  M_LABEL,
  M_RUN_TIMEOUT,
  M_SESSION,
  M_STARTED_US,
  M_STARTED_WALL,
  M_TOKEN,
  QUEUED,
  RUNNING,
  U_FIELDS,
  U_FLAGS,
  U_SEED,
} from './fields.js';
import {
  clearTimer,
  count,
  end,
  enter,
  extrasFor,
  functionOf,
  isOverdue,
  NOT_STARTED,
  noteAttempt,
  queue,
  schedule,
  setTimer,
} from './lifecycle.js';
import type { JobPage } from './page.js';
import { comeBack, isReserved, reserve, unrank } from './reserved.js';
import { ownRetry } from './retry-policy.js';
import { abandoned, NOBODY_WAITS } from './waiters.js';

const NO_DETAILS = Buffer.alloc(0);

/**
 * Gives a job that is in no list to a session that can take it, under a new lease: one more attempt, or, where the
 * session reserves and does not wait for it, kept for it until it says that it begins.
 */
export function assign(
  state: State,
  session: Session,
  fn: FunctionState,
  seq: number,
  page: JobPage,
  row: number,
): void {
  if (session.reserves && !session.begins) {
    reserve(state, session, fn, seq, page, row);
    return;
  }
  enter(state, fn, page, row, RUNNING);
  const token = lease(state, session, fn, seq, page, row);
  begin(state, session, fn, page, row);
  if (session.isLease) page.ownMore()[row * M_FIELDS + M_DUE2] = state.elapsedUs + session.durationMs * 1000;
  if (session.isLease || page.more[row * M_FIELDS + M_DUE_US] !== 0) setTimer(state, seq, page, row);
  rotate(state, session);
  count(state, fn, TOTAL.started);
  state.effects.assigned(session.id, session.epoch, seq, token);
  state.effects.job(seq, 'started');
}

/** The session has the job. Returns the token. */
export function lease(
  state: State,
  session: Session,
  fn: FunctionState,
  seq: number,
  page: JobPage,
  row: number,
): number {
  const token = ++state.lastToken;
  const numbers = row * M_FIELDS;
  const flags = row * U_FIELDS + U_FLAGS;
  const more = page.ownMore();
  more[numbers + M_TOKEN] = token;
  more[numbers + M_SESSION] = session.id;
  more[numbers + M_STARTED_US] = state.elapsedUs;
  state.pages.touch(session.page);
  session.assigned++;
  const { cls } = session;
  const local = cls.local(fn);
  if (cls.running !== null && local >= 0) cls.running[local] = cls.running[local]! + 1;
  if (session.isLease) {
    page.u[flags] = page.u[flags]! | FLAG_ACKED;
  } else {
    page.u[flags] = page.u[flags]! & ~FLAG_ACKED;
    state.acks.push(token, state.elapsedUs);
  }
  state.jobs.push(session.held, seq, page, row);
  state.tokens.add(token, seq);
  return token;
}

/** One more attempt begins, of a job that the session has. The caller sets the timer. */
export function begin(state: State, session: Session, fn: FunctionState, page: JobPage, row: number): void {
  const numbers = row * M_FIELDS;
  const more = page.ownMore();
  more[numbers + M_STARTED_WALL] = state.wall;
  more[numbers + M_STARTED_US] = state.elapsedUs;
  more[numbers + M_ATTEMPT] = more[numbers + M_ATTEMPT]! + 1;
  if (more[numbers + M_LABEL] !== session.label) {
    state.labels.release(more[numbers + M_LABEL]!);
    state.labels.hold(session.label);
    more[numbers + M_LABEL] = session.label;
  }
  const extras = page.extrasOf(row);
  if (extras !== null) {
    extras.numerator = 0;
    extras.denominator = 0;
    extras.message = '';
  }
  let timeoutMs = more[numbers + M_RUN_TIMEOUT]!;
  const { cls } = session;
  if (cls.runTimeouts !== null) {
    const local = cls.local(fn);
    if (local >= 0 && cls.runTimeouts[local]! > 0) timeoutMs = cls.runTimeouts[local]!;
  }
  more[numbers + M_DUE_US] = timeoutMs > 0 ? state.elapsedUs + timeoutMs * 1000 : 0;
  more[numbers + M_DUE2] = 0;
}

/** Ends the lease of a running or reserved job: it is in no list afterwards, in the same state. Returns its session. */
export function unassign(state: State, fn: FunctionState, page: JobPage, row: number): Session {
  const numbers = row * M_FIELDS;
  const more = page.ownMore();
  const session = state.sessions.get(more[numbers + M_SESSION]!)!;
  clearTimer(state, page, row);
  if (isReserved(page, row)) unrank(fn.reserved, page, row);
  state.jobs.unlink(session.held, page, row);
  state.tokens.remove(more[numbers + M_TOKEN]!);
  more[numbers + M_TOKEN] = 0;
  more[numbers + M_SESSION] = 0;
  more[numbers + M_DUE_US] = 0;
  more[numbers + M_DUE2] = 0;
  const { cls } = session;
  if (cls.running !== null) {
    const local = cls.local(fn);
    // The session may have given the function up while it ran.
    if (local >= 0 && cls.running[local]! > 0) {
      cls.running[local] = cls.running[local]! - 1;
      const best = fn.best();
      if (best >= 0) cls.raise(local, best, fn.headOrder(best as PriorityRank, state.jobs));
      matchLater(state, session);
    }
  }
  return session;
}

/** Id of the session that runs the job, 0 when none does. */
export function holderOf(state: State, seq: number): number {
  const page = state.jobs.pageOf(seq);
  return page.more[page.row(seq) * M_FIELDS + M_SESSION]!;
}

/** Counts what a session runs by function anew, after it joined another class. */
export function recountRunning(state: State, session: Session): void {
  const { running } = session.cls;
  if (running === null) return;
  running.fill(0);
  for (let seq = session.held.head; seq !== 0; seq = state.jobs.next(session.held, seq)) {
    const page = state.jobs.pageOf(seq);
    const local = session.cls.local(functionOf(state, page, page.row(seq)));
    if (local >= 0) running[local] = running[local]! + 1;
  }
}

/** What becomes of a job whose lease ended without an outcome: the attempt's error, and the pause before the next. */
interface Loss {
  readonly error: JobError;
  /** As in `failAttempt`. */
  readonly retryAfterMs: number;
}

function loss(code: string, message: string, retryAfterMs: number): Loss {
  return { error: { code, message, details: NO_DETAILS }, retryAfterMs };
}

export const WORKER_LOST = loss('WORKER_LOST', 'the worker was lost', -1);
export const LEASE_ENDED = loss('LEASE_LOST', 'the lease ended before an outcome came', -1);
export const TIMED_OUT = loss('TIMEOUT', 'the run timeout passed', 0);

/** A lease is over without an outcome. Null: the attempt does not count. One that was not begun costs nothing at all. */
export function loseLease(state: State, seq: number, reason: LeaseLostReason, lost: Loss | null): void {
  const page = state.jobs.pageOf(seq);
  const row = page.row(seq);
  const fn = functionOf(state, page, row);
  state.pages.touch(page);
  const token = page.more[row * M_FIELDS + M_TOKEN]!;
  const reserved = isReserved(page, row);
  const session = unassign(state, fn, page, row);
  if (!reserved) count(state, fn, TOTAL.leasesLost);
  state.effects.leaseLost(session.id, session.epoch, seq, token, reason);
  if (reserved) comeBack(state, fn, seq, page, row);
  else if (cancelled(page, row)) endCancelled(state, fn, seq, page, row);
  else if (lost === null) putBack(state, fn, seq, page, row);
  else failAttempt(state, fn, seq, page, row, lost.error, true, lost.retryAfterMs);
  removeIfDone(state, session);
}

export function cancelled(page: JobPage, row: number): boolean {
  return (page.u[row * U_FIELDS + U_FLAGS]! & FLAG_CANCEL) !== 0;
}

/** A job whose cancel was asked for while it ran, and whose lease is over. */
export function endCancelled(state: State, fn: FunctionState, seq: number, page: JobPage, row: number): void {
  const extras = extrasFor(page, row);
  const error = { code: 'CANCELLED', message: extras.cancelReason, details: NO_DETAILS };
  noteAttempt(state, page, row, error);
  extras.error = error;
  end(state, fn, seq, page, row, CANCELLED);
}

/**
 * To the tail of its priority, where somebody still wants it and it may still be begun; the attempt does not count. The
 * lease is over.
 */
export function putBack(state: State, fn: FunctionState, seq: number, page: JobPage, row: number): void {
  page.ownMore()[row * M_FIELDS + M_ATTEMPT] = page.more[row * M_FIELDS + M_ATTEMPT]! - 1;
  if (abandoned(page, row)) {
    const extras = extrasFor(page, row);
    extras.cancelReason = NOBODY_WAITS;
    extras.error = { code: 'CANCELLED', message: NOBODY_WAITS, details: NO_DETAILS };
    end(state, fn, seq, page, row, CANCELLED);
    return;
  }
  if (isOverdue(state, page, row)) {
    // Now, and not by its timer: a worker that waits would have it before that.
    extrasFor(page, row).error ??= NOT_STARTED;
    end(state, fn, seq, page, row, EXPIRED);
    return;
  }
  requeue(state, fn, seq, page, row);
}

function requeue(state: State, fn: FunctionState, seq: number, page: JobPage, row: number): void {
  // Told first: the job may be running again once it is queued.
  enter(state, fn, page, row, QUEUED);
  state.effects.job(seq, 'queued');
  queue(state, fn, seq, page, row);
}

/**
 * An attempt failed and its lease is over. `retryAfterMs`: 0 the job's backoff, -1 at once. Again as long as there
 * are attempts left and somebody still wants it, else the job fails.
 */
export function failAttempt(
  state: State,
  fn: FunctionState,
  seq: number,
  page: JobPage,
  row: number,
  error: JobError,
  retryable: boolean,
  retryAfterMs: number,
): void {
  noteAttempt(state, page, row, error);
  extrasFor(page, row).error = error;
  count(state, fn, TOTAL.failedAttempts);
  const attempt = page.more[row * M_FIELDS + M_ATTEMPT]!;
  const policy = ownRetry(page, row);
  if (!retryable || attempt >= maxAttempts(state, policy) || abandoned(page, row)) {
    end(state, fn, seq, page, row, FAILED);
    return;
  }
  count(state, fn, TOTAL.retried);
  const pauseMs =
    retryAfterMs !== 0
      ? Math.max(0, retryAfterMs)
      : backoffMs(state, policy, attempt, page.u[row * U_FIELDS + U_SEED]!);
  if (pauseMs > 0) {
    page.ownMore()[row * M_FIELDS + M_DUE_US] = state.elapsedUs + pauseMs * 1000;
    schedule(state, fn, seq, page, row);
    state.effects.job(seq, 'attempt-failed');
  } else {
    enter(state, fn, page, row, QUEUED);
    state.effects.job(seq, 'attempt-failed');
    queue(state, fn, seq, page, row);
  }
}

function maxAttempts(state: State, policy: RetryPolicy | null): number {
  return policy !== null && policy.maxAttempts > 0 ? policy.maxAttempts : state.settings.maxAttempts;
}

/** Pause after the attempt: initial × multiplier^(attempt - 1), at most the greatest, then the jitter. Milliseconds. */
function backoffMs(state: State, own: RetryPolicy | null, attempt: number, seed: number): number {
  const policy = own ?? state.settings;
  const { maxBackoffMs, multiplierPermille, jitterPermille } = policy;
  let pause = Math.min(policy.initialBackoffMs, maxBackoffMs);
  // Past 64 steps nothing changes any more: it has reached the greatest, or 0.
  for (let i = 1; i < attempt && i < 64 && pause < maxBackoffMs; i++) {
    pause = Math.min(Math.floor((pause * multiplierPermille) / 1000), maxBackoffMs);
  }
  const hash = mix32(seed ^ Math.imul(attempt, 0x9e3779b1));
  const permille = 1000 + (hash % (2 * jitterPermille + 1)) - jitterPermille;
  return Math.max(0, Math.floor((pause * permille) / 1000));
}
