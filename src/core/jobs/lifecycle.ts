import { releaseBlobs } from '../blob-table.js';
import { type FunctionState, TOTAL } from '../functions.js';
import { offer, raise } from '../matching/match.js';
import type { Session } from '../sessions.js';
import { removeIfDone } from '../sessions-end.js';
import type { State } from '../state.js';
import { mixId, mixText } from '../tables/hash.js';
import type { JobError, PriorityRank } from '../types.js';
import { ATTEMPTS_KEPT, type Extras, NOBODY, newExtras } from './extras.js';
import {
  CANCELLED,
  type EXPIRED,
  F_CREATED_WALL,
  F_FIELDS,
  F_ORDER,
  F_REVISION,
  FAILED,
  FLAG_PRIORITY_SHIFT,
  FLAG_RETENTION,
  FLAG_STATE,
  M_ATTEMPT,
  M_DUE_US,
  M_DUE2,
  M_FIELDS,
  M_FINISHED_WALL,
  M_LABEL,
  M_LAST_REVISION,
  M_LAST_TOKEN,
  M_OUTCOME,
  M_QUEUED_WALL,
  M_RANKED,
  M_RETENTION,
  M_STARTED_WALL,
  M_TIMER,
  M_TOKEN,
  QUEUED,
  RUNNING,
  SCHEDULED,
  SUCCEEDED,
  U_DIGEST,
  U_FIELDS,
  U_FLAGS,
  U_FUNCTION,
  U_ID,
} from './fields.js';
import { unassign } from './leases.js';
import type { JobPage } from './page.js';
import { isReserved, unrank } from './reserved.js';
import type { JobList } from './table.js';

/** Of a job that expired. */
export const NOT_STARTED: JobError = {
  code: 'EXPIRED',
  message: 'not started before its deadline',
  details: Buffer.alloc(0),
};

/*
 * The life of a job:
 *
 *     submitted ─┬─> scheduled ──> queued ──> running ──> succeeded | failed | cancelled
 *                └───────────────────^  │        │
 *                ^ backoff, retry       │        └─> scheduled | queued   (attempt failed, lease lost)
 *                                       └─> expired | cancelled
 *
 * A queued job may be reserved for a session that has not begun it yet (`reserved.ts`).
 *
 * Ended jobs stay for their retention, then only a tombstone is left. Every function here leaves the job in all
 * the lists, timers and counts that its new state asks for. `drop` may move rows: a row is void after a job ended.
 */

export function stateOf(page: JobPage, row: number): number {
  return page.u[row * U_FIELDS + U_FLAGS]! & FLAG_STATE;
}

export function priorityOf(page: JobPage, row: number): PriorityRank {
  return ((page.u[row * U_FIELDS + U_FLAGS]! >>> FLAG_PRIORITY_SHIFT) & 3) as PriorityRank;
}

export function functionOf(state: State, page: JobPage, row: number): FunctionState {
  return state.functions.byId(page.u[row * U_FIELDS + U_FUNCTION]!);
}

/** The extras of a job, made where it has none yet. The page must have been touched. */
export function extrasFor(page: JobPage, row: number): Extras {
  let extras = page.extrasOf(row);
  if (extras === null) {
    extras = newExtras();
    page.setExtras(row, extras);
  }
  return extras;
}

/** Enters a state: counts, revision, flags. */
export function enter(state: State, fn: FunctionState, page: JobPage, row: number, next: number): void {
  const at = row * U_FIELDS + U_FLAGS;
  const flags = page.u[at]!;
  const before = flags & FLAG_STATE;
  fn.counts[before] = fn.counts[before]! - 1;
  fn.counts[next] = fn.counts[next]! + 1;
  state.byState[before] = state.byState[before]! - 1;
  state.byState[next] = state.byState[next]! + 1;
  page.u[at] = (flags & ~FLAG_STATE) | next;
  page.f[row * F_FIELDS + F_REVISION] = state.index;
}

export function count(state: State, fn: FunctionState, total: number): void {
  state.pages.touch(fn.page);
  fn.totals[total] = fn.totals[total]! + 1;
}

/** True where timers of a job in its present state run by the elapsed clock. */
function byElapsed(page: JobPage, row: number): boolean {
  const at = stateOf(page, row);
  return at === RUNNING || (at === SCHEDULED && page.more[row * M_FIELDS + M_DUE_US] !== 0);
}

export function clearTimer(state: State, page: JobPage, row: number): void {
  const timer = page.more[row * M_FIELDS + M_TIMER]!;
  if (timer === 0) return;
  (byElapsed(page, row) ? state.elapsedTimers : state.wallTimers).remove(timer);
  page.ownMore()[row * M_FIELDS + M_TIMER] = 0;
}

/** Sets the timer that the job's record asks for, in place of the one before. */
export function setTimer(state: State, seq: number, page: JobPage, row: number): void {
  clearTimer(state, page, row);
  const due = dueOf(page, row);
  if (due === 0) return;
  const heap = byElapsed(page, row) ? state.elapsedTimers : state.wallTimers;
  page.ownMore()[row * M_FIELDS + M_TIMER] = heap.add(due, seq);
}

/** When the job's timer is due by the clock of its state, 0: it has none. */
export function dueOf(page: JobPage, row: number): number {
  const at = row * M_FIELDS;
  const { more } = page;
  const extras = page.extrasOf(row);
  switch (stateOf(page, row)) {
    case SCHEDULED:
      if (more[at + M_DUE_US] !== 0) return more[at + M_DUE_US]!;
      return earlier(more[at + M_DUE2]!, extras === null ? 0 : extras.startDeadlineWall);
    case QUEUED:
      return extras === null || more[at + M_ATTEMPT] !== 0 ? 0 : extras.startDeadlineWall;
    case RUNNING:
      return earlier(
        earlier(more[at + M_DUE_US]!, more[at + M_DUE2]!),
        extras === null ? 0 : extras.cancelDueUs,
      );
    default: {
      const own = ownRetention(page, row);
      return own < 0 ? 0 : more[at + M_FINISHED_WALL]! + own;
    }
  }
}

/** No attempt counts that began before its start deadline, which has passed. */
export function isOverdue(state: State, page: JobPage, row: number): boolean {
  const deadline = page.extrasOf(row)?.startDeadlineWall ?? 0;
  return deadline !== 0 && deadline <= state.wall && page.more[row * M_FIELDS + M_ATTEMPT] === 0;
}

/** The smaller of two times of which 0 means none. */
function earlier(a: number, b: number): number {
  return a === 0 || (b !== 0 && b < a) ? b : a;
}

/** A new job, or one that a failed attempt sent back, waits for its time. The record names it. */
export function schedule(state: State, fn: FunctionState, seq: number, page: JobPage, row: number): void {
  enter(state, fn, page, row, SCHEDULED);
  page.f[row * F_FIELDS + F_ORDER] = ++state.lastOrder;
  state.jobs.push(fn.scheduled, seq, page, row);
  setTimer(state, seq, page, row);
}

/** To a worker at once where one waits and nobody is before it, else to the tail of its priority. */
export function queue(state: State, fn: FunctionState, seq: number, page: JobPage, row: number): void {
  enter(state, fn, page, row, QUEUED);
  page.f[row * F_FIELDS + F_ORDER] = ++state.lastOrder;
  const created = page.f[row * F_FIELDS + F_CREATED_WALL];
  page.setMore(row, M_QUEUED_WALL, state.wall === created ? 0 : state.wall);
  if (state.wall !== created) fn.firstSeen.fill(0);
  if (!fn.paused && fn.waitingCount === 0 && offer(state, fn, seq, page, row)) return;
  const priority = priorityOf(page, row);
  const first = fn.head(priority, state.jobs) === 0;
  state.jobs.push(fn.waiting[priority], seq, page, row);
  if (first && fn.best() === priority) raise(fn, priority, state.lastOrder);
  if (page.extrasOf(row) !== null) setTimer(state, seq, page, row);
}

/** Takes a scheduled job, or a queued one that is not reserved, out of its list and timer. */
export function unqueue(state: State, fn: FunctionState, page: JobPage, row: number): void {
  clearTimer(state, page, row);
  if (stateOf(page, row) === SCHEDULED) state.jobs.unlink(fn.scheduled, page, row);
  else if (page.more[row * M_FIELDS + M_RANKED] !== 0) unrank(fn.returned, page, row);
  else state.jobs.unlink(fn.waiting[priorityOf(page, row)], page, row);
}

/** Notes the end of an attempt that did not succeed. */
export function noteAttempt(state: State, page: JobPage, row: number, error: JobError): void {
  const label = state.labels.get(page.more[row * M_FIELDS + M_LABEL]!);
  const extras = extrasFor(page, row);
  extras.history.push({
    number: page.more[row * M_FIELDS + M_ATTEMPT]!,
    worker: label?.worker ?? '',
    node: label?.node ?? '',
    startedWall: page.more[row * M_FIELDS + M_STARTED_WALL]!,
    endedWall: state.wall,
    error,
  });
  if (extras.history.length > ATTEMPTS_KEPT) extras.history.shift();
}

/** The job names no attempt any more. */
export function clearLabel(state: State, page: JobPage, row: number): void {
  state.labels.release(page.more[row * M_FIELDS + M_LABEL]!);
  page.setMore(row, M_LABEL, 0);
}

/** A terminal state. The job is in no list and has no timer. The row is void afterwards. */
export function end(
  state: State,
  fn: FunctionState,
  seq: number,
  page: JobPage,
  row: number,
  next: number,
): void {
  enter(state, fn, page, row, next);
  page.f[row * F_FIELDS + F_ORDER] = ++state.lastOrder;
  const more = page.ownMore();
  const at = row * M_FIELDS;
  more[at + M_FINISHED_WALL] = state.wall;
  more[at + M_DUE_US] = 0;
  more[at + M_DUE2] = 0;
  const extras = page.extrasOf(row);
  if (extras !== null) {
    extras.cancelDueUs = 0;
    extras.waiters = NOBODY;
    extras.droppable = false;
    if (extras.uniqueKey !== '') {
      state.uniqueKeys.remove(mixText(extras.uniqueKey, fn.id), seq);
    }
  }
  count(
    state,
    fn,
    next === SUCCEEDED
      ? TOTAL.succeeded
      : next === FAILED
        ? TOTAL.failed
        : next === CANCELLED
          ? TOTAL.cancelled
          : TOTAL.expired,
  );
  state.jobs.push(endedList(state, page, row), seq, page, row);
  state.jobs.push(fn.endedList(next), seq, page, row);
  state.effects.job(seq, 'ended');
  if (retentionOf(state, page, row) === 0) {
    drop(state, fn, seq, page, row);
    return;
  }
  setTimer(state, seq, page, row);
  if (endedCount(state) > state.settings.retainedJobsMax) dropOldest(state);
}

/** Milliseconds for which the job asked to stay when it has ended; -1: the default. */
export function ownRetention(page: JobPage, row: number): number {
  return (page.u[row * U_FIELDS + U_FLAGS]! & FLAG_RETENTION) === 0
    ? -1
    : page.more[row * M_FIELDS + M_RETENTION]!;
}

/** When the job last came into its queue, wall ms. */
export function queuedWall(page: JobPage, row: number): number {
  return page.more[row * M_FIELDS + M_QUEUED_WALL]! || page.f[row * F_FIELDS + F_CREATED_WALL]!;
}

/** Milliseconds that an ended job stays. */
function retentionOf(state: State, page: JobPage, row: number): number {
  const own = ownRetention(page, row);
  if (own >= 0) return own;
  return stateOf(page, row) === FAILED ? state.settings.failedRetentionMs : state.settings.retentionMs;
}

export function endedList(state: State, page: JobPage, row: number): JobList {
  if (ownRetention(page, row) >= 0) return state.endedCustom;
  return stateOf(page, row) === FAILED ? state.endedFailed : state.endedDefault;
}

export function endedCount(state: State): number {
  return state.endedDefault.size + state.endedFailed.size + state.endedCustom.size;
}

/** Drops the job that ended first. */
export function dropOldest(state: State): void {
  const oldest = earlierEnd(
    state,
    earlierEnd(state, state.endedDefault.head, state.endedFailed.head),
    state.endedCustom.head,
  );
  if (oldest !== 0) remove(state, oldest);
}

/** Of two ended jobs, either of which may be 0 for none, the one that ended first. */
function earlierEnd(state: State, a: number, b: number): number {
  if (a === 0 || b === 0) return a + b;
  return orderOf(state, a) < orderOf(state, b) ? a : b;
}

function orderOf(state: State, seq: number): number {
  const page = state.jobs.pageOf(seq);
  return page.f[page.row(seq) * F_FIELDS + F_ORDER]!;
}

/** Drops an ended job and says so. */
export function remove(state: State, seq: number): void {
  const page = state.jobs.pageOf(seq);
  const row = page.row(seq);
  state.effects.job(seq, 'deleted');
  drop(state, functionOf(state, page, row), seq, page, row);
}

/** Takes an ended job out of the lists of ended ones. */
export function unend(state: State, fn: FunctionState, page: JobPage, row: number): void {
  clearTimer(state, page, row);
  state.jobs.unlink(endedList(state, page, row), page, row);
  state.jobs.unlink(fn.endedList(stateOf(page, row)), page, row);
  page.setMore(row, M_RANKED, 0);
}

/** An ended job becomes a tombstone. */
function drop(state: State, fn: FunctionState, seq: number, page: JobPage, row: number): void {
  state.pages.touch(page);
  unend(state, fn, page, row);
  const at = row * U_FIELDS;
  const a = page.u[at + U_ID]!;
  const b = page.u[at + U_ID + 1]!;
  const c = page.u[at + U_ID + 2]!;
  const d = page.u[at + U_ID + 3]!;
  const was = stateOf(page, row);
  const { more } = page;
  const numbers = row * M_FIELDS;
  state.dedupe.add(
    state.wall,
    state.settings,
    a,
    b,
    c,
    d,
    seq,
    was,
    more[numbers + M_LAST_TOKEN]!,
    more[numbers + M_LAST_TOKEN] === 0
      ? page.f[row * F_FIELDS + F_REVISION]!
      : more[numbers + M_LAST_REVISION]!,
    page.u[at + U_DIGEST]!,
    more[numbers + M_OUTCOME]!,
  );
  clearLabel(state, page, row);
  state.ids.remove(mixId(a, b, c, d), seq);
  fn.counts[was] = fn.counts[was]! - 1;
  state.byState[was] = state.byState[was]! - 1;
  const extras = page.extrasOf(row);
  if (extras !== null) releaseBlobs(state, extras);
  state.jobs.remove(seq, page, row);
}

/** A scheduled or queued job, reserved or not, ends without having been run to its end. */
export function endWaiting(
  state: State,
  seq: number,
  next: typeof CANCELLED | typeof EXPIRED,
  reason: string,
): void {
  const page = state.jobs.pageOf(seq);
  const row = page.row(seq);
  const fn = functionOf(state, page, row);
  state.pages.touch(page);
  let holder: Session | null = null;
  if (isReserved(page, row)) {
    const token = page.more[row * M_FIELDS + M_TOKEN]!;
    holder = unassign(state, fn, page, row);
    const why = next === CANCELLED ? 'cancelled' : 'timeout';
    state.effects.leaseLost(holder.id, holder.epoch, seq, token, why);
  } else {
    unqueue(state, fn, page, row);
  }
  const extras = extrasFor(page, row);
  if (next === CANCELLED) extras.cancelReason = reason;
  extras.error ??=
    next === CANCELLED ? { code: 'CANCELLED', message: reason, details: Buffer.alloc(0) } : NOT_STARTED;
  end(state, fn, seq, page, row, next);
  if (holder !== null) removeIfDone(state, holder);
}
