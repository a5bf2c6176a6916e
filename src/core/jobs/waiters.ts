import type { NodeState } from '../nodes.js';
import type { State } from '../state.js';
import type { Extras, Waiter } from './extras.js';
import { CANCELLED, RUNNING } from './fields.js';
import { endWaiting, extrasFor, stateOf } from './lifecycle.js';
import type { JobPage } from './page.js';

/*
 * Clients that wait for a job, of those that said so when they submitted it (Gearman's foreground jobs). They are
 * counted by the life of the node that speaks for them. A job that only they have submitted is dropped when the last of
 * them is gone, unless it runs just then.
 */

export const NOBODY_WAITS = 'nobody waits for it any more';

/** Clients that wait for the job. */
export function waiting(extras: Extras | null): number {
  if (extras === null) return 0;
  let count = 0;
  for (const waiter of extras.waiters) count += waiter.count;
  return count;
}

/** Nobody waits for a job that only clients that waited have submitted. */
export function abandoned(page: JobPage, row: number): boolean {
  const extras = page.extrasOf(row);
  return extras?.droppable === true && extras.waiters.length === 0;
}

/** A submission was answered with this job, new or known. Who does not wait keeps it from being dropped, for good. */
export function submittedBy(state: State, seq: number, waits: boolean): void {
  const page = state.jobs.page(seq);
  const row = page === null ? -1 : page.row(seq);
  if (page === null || row < 0 || stateOf(page, row) > RUNNING) return;
  if (waits) {
    state.pages.touch(page);
    count(state, extrasFor(page, row), 1);
    return;
  }
  const extras = page.extrasOf(row);
  if (extras === null || !extras.droppable) return;
  state.pages.touch(page);
  extras.droppable = false;
}

/** One more or less of the clients for whom the batch being applied speaks. */
export function changeWaiters(state: State, seq: number, change: number): void {
  const page = state.jobs.page(seq);
  const row = page === null ? -1 : page.row(seq);
  if (page === null || row < 0 || stateOf(page, row) > RUNNING) return;
  state.pages.touch(page);
  count(state, extrasFor(page, row), change);
  dropIfAbandoned(state, seq, page, row);
}

/** A node's life is over and its clients have not come back in time. The job's row may be void afterwards. */
export function forgetWaiters(
  state: State,
  seq: number,
  page: JobPage,
  row: number,
  incarnation: number,
): void {
  const extras = page.extrasOf(row)!;
  state.pages.touch(page);
  extras.waiters = extras.waiters.filter((waiter) => waiter.incarnation !== incarnation);
  dropIfAbandoned(state, seq, page, row);
}

function dropIfAbandoned(state: State, seq: number, page: JobPage, row: number): void {
  if (abandoned(page, row) && stateOf(page, row) !== RUNNING) endWaiting(state, seq, CANCELLED, NOBODY_WAITS);
}

/** Counts for the node whose batch is being applied; what was counted already is never less than nobody. */
export function count(state: State, extras: Extras, change: number): void {
  const { origin } = state;
  const { incarnation } = origin;
  const waiters: Waiter[] = [];
  let total = change;
  for (const waiter of extras.waiters) {
    if (waiter.incarnation === incarnation) total += waiter.count;
    else waiters.push(waiter);
  }
  if (total > 0) {
    waiters.push({ incarnation, count: total });
    if (!origin.waits) {
      // Its page has been touched for its batch.
      origin.waits = true;
      // The batch has ended that life before.
      if (!origin.up) depart(state, origin);
    }
  }
  extras.waiters = waiters;
}

/** The node's life is over: those of its clients that wait count for a grace. */
export function depart(state: State, { incarnation, waits }: NodeState): void {
  if (!waits) return;
  const dueUs = state.elapsedUs + state.settings.sessionGraceMs * 1000;
  state.departed.push({ incarnation, dueUs });
}
