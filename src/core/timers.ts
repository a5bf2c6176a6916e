import type { NextDue } from './interface.js';
import {
  EXPIRED,
  FLAG_ACKED,
  M_DUE_US,
  M_DUE2,
  M_FIELDS,
  M_FINISHED_WALL,
  QUEUED,
  RUNNING,
  SCHEDULED,
  U_FIELDS,
  U_FLAGS,
} from './jobs/fields.js';
import { LEASE_ENDED, loseLease, TIMED_OUT } from './jobs/leases.js';
import {
  dropOldest,
  endedCount,
  endWaiting,
  functionOf,
  isOverdue,
  queue,
  remove,
  stateOf,
  unqueue,
} from './jobs/lifecycle.js';
import type { JobPage } from './jobs/page.js';
import type { JobList } from './jobs/table.js';
import { matchAll } from './matching/match.js';
import { fireSchedule, scheduleOfKey } from './schedules/fire.js';
import type { Session } from './sessions.js';
import { beginClose, giveBack } from './sessions-end.js';
import type { State } from './state.js';
import { addSweep, SWEEP } from './sweeps.js';

/**
 * Fires what is due by the clocks of this entry, each kind in the order of its due times, then of its keys, as far as
 * the entry's steps allow: the rest follows with the next entries. One kind after the other, and not all by due time:
 * two clocks have no common order, and what one entry makes due is due at one instant.
 */
export function fireDue(state: State): void {
  fireAcks(state);
  fireDeparted(state);
  while (state.elapsedTimers.due <= state.elapsedUs && state.steps-- > 0) {
    const { key } = state.elapsedTimers;
    if (key < 0) endGrace(state, state.sessions.get(-key)!);
    else fireElapsed(state, key);
    matchAll(state);
  }
  while (state.wallTimers.due <= state.wall && state.steps-- > 0) {
    const { key } = state.wallTimers;
    if (key < 0) fireSchedule(state, scheduleOfKey(state, key));
    else fireWall(state, key);
    matchAll(state);
  }
  dropRetained(state, state.endedDefault, state.settings.retentionMs);
  dropRetained(state, state.endedFailed, state.settings.failedRetentionMs);
  while (endedCount(state) > state.settings.retainedJobsMax && state.steps-- > 0) dropOldest(state);
  state.dedupe.expire(state.wall, state.settings);
}

/** When something is due next by each clock; Infinity: never. What is only to be dropped has a time of its own. */
export function nextDue(state: State): NextDue {
  const { settings, acks } = state;
  while (acks.size > 0 && unacknowledged(state, acks.token) === 0) acks.shift();
  let elapsedUs = Math.min(state.elapsedTimers.due, acks.startedUs + settings.ackTimeoutMs * 1000);
  for (const { dueUs } of state.departed) elapsedUs = Math.min(elapsedUs, dueUs);
  const wall = state.wallTimers.due;
  const tidyWall = Math.min(
    retainedUntil(state, state.endedDefault, settings.retentionMs),
    retainedUntil(state, state.endedFailed, settings.failedRetentionMs),
    state.dedupe.dueWall(settings),
  );
  const sweeping =
    state.sweeps.length > 0 ||
    elapsedUs <= state.elapsedUs ||
    Math.min(wall, tidyWall) <= state.wall ||
    endedCount(state) > settings.retainedJobsMax;
  return { elapsedUs, wall, tidyWall, sweeping };
}

function fireAcks(state: State): void {
  const { acks } = state;
  const latest = state.elapsedUs - state.settings.ackTimeoutMs * 1000;
  while (acks.startedUs <= latest && state.steps > 0) {
    const seq = unacknowledged(state, acks.token);
    acks.shift();
    if (seq === 0) continue;
    state.steps--;
    loseLease(state, seq, 'unacknowledged', null);
    matchAll(state);
  }
}

/** The clients of nodes that have been gone for long enough are looked for by a sweep. */
function fireDeparted(state: State): void {
  if (state.departed.length === 0) return;
  state.departed = state.departed.filter(({ incarnation, dueUs }) => {
    if (dueUs > state.elapsedUs) return true;
    addSweep(state, SWEEP.waiters, incarnation, 0);
    return false;
  });
}

/** The worker did not come back. The timer stays due until the session is empty and gone. */
function endGrace(state: State, session: Session): void {
  beginClose(state, session);
  if (!session.removed) giveBack(state, session, true);
}

/** Seq of the job that runs under this lease and whose worker has not said that it has it; else 0. */
function unacknowledged(state: State, token: number): number {
  const seq = state.tokens.get(token);
  if (seq === 0) return 0;
  const page = state.jobs.pageOf(seq);
  return (page.u[page.row(seq) * U_FIELDS + U_FLAGS]! & FLAG_ACKED) === 0 ? seq : 0;
}

function fireElapsed(state: State, seq: number): void {
  const page = state.jobs.pageOf(seq);
  const row = page.row(seq);
  const now = state.elapsedUs;
  if (stateOf(page, row) !== RUNNING) {
    wake(state, seq, page, row);
    return;
  }
  const cancelDueUs = page.extrasOf(row)?.cancelDueUs ?? 0;
  const runDueUs = page.more[row * M_FIELDS + M_DUE_US]!;
  if (cancelDueUs !== 0 && cancelDueUs <= now) loseLease(state, seq, 'cancelled', null);
  else if (runDueUs !== 0 && runDueUs <= now) loseLease(state, seq, 'timeout', TIMED_OUT);
  else loseLease(state, seq, 'timeout', LEASE_ENDED);
}

function fireWall(state: State, seq: number): void {
  const page = state.jobs.pageOf(seq);
  const row = page.row(seq);
  const at = stateOf(page, row);
  if (at > RUNNING) {
    remove(state, seq);
    return;
  }
  if (at === QUEUED || isOverdue(state, page, row)) endWaiting(state, seq, EXPIRED, '');
  else if (at === SCHEDULED) wake(state, seq, page, row);
}

/** A scheduled job's time has come. */
function wake(state: State, seq: number, page: JobPage, row: number): void {
  const fn = functionOf(state, page, row);
  state.pages.touch(page);
  unqueue(state, fn, page, row);
  page.ownMore()[row * M_FIELDS + M_DUE_US] = 0;
  page.ownMore()[row * M_FIELDS + M_DUE2] = 0;
  queue(state, fn, seq, page, row);
  if (stateOf(page, row) === QUEUED) state.effects.job(seq, 'queued');
}

function retainedUntil(state: State, list: JobList, retentionMs: number): number {
  if (list.head === 0) return Number.POSITIVE_INFINITY;
  const page = state.jobs.pageOf(list.head);
  return page.more[page.row(list.head) * M_FIELDS + M_FINISHED_WALL]! + retentionMs;
}

function dropRetained(state: State, list: JobList, retentionMs: number): void {
  while (retainedUntil(state, list, retentionMs) <= state.wall && state.steps-- > 0) remove(state, list.head);
}
