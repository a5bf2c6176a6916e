import { type FunctionState, TOTAL } from '../functions.js';
import { offer, raise, rotate } from '../matching/match.js';
import type { Session } from '../sessions.js';
import type { State } from '../state.js';
import type { RankedJobs } from '../tables/ranked-jobs.js';
import {
  F_FIELDS,
  F_ORDER,
  F_REVISION,
  FLAG_ACKED,
  M_DUE_US,
  M_FIELDS,
  M_RANKED,
  M_SESSION,
  M_TOKEN,
  QUEUED,
  RUNNING,
  U_FIELDS,
  U_FLAGS,
} from './fields.js';
import { begin, lease } from './leases.js';
import { clearTimer, count, enter, functionOf, priorityOf, setTimer, stateOf } from './lifecycle.js';
import type { JobPage } from './page.js';

/*
 * Jobs that a session has and did not begin yet (Gearman's workers that sleep, or have just finished another). For all
 * who look such a job is queued: no attempt, no run timeout. It is in no list of its queue, and keeps its place there:
 * when it comes back it is before all jobs that wait, and only behind others that came back and are older.
 */

export function isReserved(page: JobPage, row: number): boolean {
  return page.more[row * M_FIELDS + M_TOKEN] !== 0 && stateOf(page, row) === QUEUED;
}

/** Keeps a queued job that is in no list for the session. */
export function reserve(
  state: State,
  session: Session,
  fn: FunctionState,
  seq: number,
  page: JobPage,
  row: number,
): void {
  const token = lease(state, session, fn, seq, page, row);
  page.f[row * F_FIELDS + F_REVISION] = state.index;
  rank(fn.reserved, seq, page, row);
  // A start deadline goes on.
  if (page.extrasOf(row) !== null) setTimer(state, seq, page, row);
  rotate(state, session);
  state.effects.assigned(session.id, session.epoch, seq, token);
}

/** The session begins its reserved job: an attempt like any other, under the lease that it has. */
export function start(state: State, seq: number, page: JobPage, row: number): void {
  const fn = functionOf(state, page, row);
  const session = state.sessions.get(page.more[row * M_FIELDS + M_SESSION]!)!;
  state.pages.touch(page);
  clearTimer(state, page, row);
  unrank(fn.reserved, page, row);
  enter(state, fn, page, row, RUNNING);
  begin(state, session, fn, page, row);
  const flags = row * U_FIELDS + U_FLAGS;
  page.u[flags] = page.u[flags]! | FLAG_ACKED;
  if (page.more[row * M_FIELDS + M_DUE_US] !== 0) setTimer(state, seq, page, row);
  count(state, fn, TOTAL.started);
  state.effects.job(seq, 'started');
}

/** A reserved job whose lease is over: to another session at once where one waits, else to its old place. */
export function comeBack(state: State, fn: FunctionState, seq: number, page: JobPage, row: number): void {
  page.f[row * F_FIELDS + F_REVISION] = state.index;
  if (!fn.paused && fn.waitingCount === 0 && offer(state, fn, seq, page, row)) return;
  rank(fn.returned, seq, page, row);
  const priority = priorityOf(page, row);
  if (fn.best() === priority) raise(fn, priority, page.f[row * F_FIELDS + F_ORDER]!);
  if (page.extrasOf(row) !== null) setTimer(state, seq, page, row);
}

export function rank(among: RankedJobs, seq: number, page: JobPage, row: number): void {
  const order = page.f[row * F_FIELDS + F_ORDER]!;
  page.ownMore()[row * M_FIELDS + M_RANKED] = among.add(priorityOf(page, row), order, seq);
}

export function unrank(among: RankedJobs, page: JobPage, row: number): void {
  const more = page.ownMore();
  const at = row * M_FIELDS + M_RANKED;
  among.remove(priorityOf(page, row), more[at]!);
  more[at] = 0;
}
