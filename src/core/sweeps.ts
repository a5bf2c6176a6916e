import type { FunctionState } from './functions.js';
import { CANCELLED, EXPIRED, F_FIELDS, F_ORDER, JOBS_PER_PAGE, QUEUED, SCHEDULED } from './jobs/fields.js';
import { endWaiting, remove, stateOf } from './jobs/lifecycle.js';
import { forgetWaiters } from './jobs/waiters.js';
import { matchAll, matchFunction, matchLater, matchSession, updateAvailability } from './matching/match.js';
import type { Session } from './sessions.js';
import { detach, giveBack, releaseUnclaimed } from './sessions-end.js';
import type { State } from './state.js';

/** Work that may be too much for one entry: a bounded part is done with each, by all replicas alike. */
export const SWEEP = {
  /** subject: incarnation; cursor: session id. Its sessions lost their node. */
  detach: 1,
  /** subject: session; detail: 1 if the attempts count. It gives back what it holds, then goes. */
  release: 2,
  /** subject: function; detail: bits of states; cursor: F_ORDER of the last job that goes. */
  purge: 3,
  /** subject: session, that has credit left over. */
  matchSession: 4,
  /** subject: function, that was paused. */
  matchFunction: 5,
  /** subject: incarnation; cursor: session id. Its sessions follow the node's `stalled`. */
  stall: 6,
  /** subject: function, that was dropped: its ended jobs go, then its id is free. */
  drop: 7,
  /** subject: incarnation; cursor: seq. Its clients do not wait for jobs any more. */
  waiters: 8,
  /**
   * subject: session; detail: its epoch; cursor: the last lease looked at; tokens: the newest lease at the attach that
   * began this epoch, then those that it claimed, ascending. The others up to the newest are released.
   */
  unclaimed: 9,
} as const;

export interface Sweep {
  readonly kind: (typeof SWEEP)[keyof typeof SWEEP];
  readonly subject: number;
  readonly detail: number;
  cursor: number;
  readonly tokens: readonly number[];
}

export function addSweep(
  state: State,
  kind: Sweep['kind'],
  subject: number,
  detail: number,
  cursor = 0,
  tokens: readonly number[] = [],
): void {
  state.sweeps.push({ kind, subject, detail, cursor, tokens });
}

/** Goes on with the sweeps, oldest first, as far as this entry's steps allow. */
export function runSweeps(state: State): void {
  const { sweeps } = state;
  // Those that are added on the way come with the next entry: one that cannot go on must not be run for ever.
  const count = sweeps.length;
  let done = 0;
  while (done < count && state.steps > 0 && step(state, sweeps[done]!)) {
    matchAll(state);
    done++;
  }
  matchAll(state);
  if (done > 0) sweeps.splice(0, done);
}

/** False: not finished. */
function step(state: State, sweep: Sweep): boolean {
  switch (sweep.kind) {
    case SWEEP.detach:
      return visitSessions(state, sweep, (session) => {
        detach(state, session);
        return !session.closing || session.removed || giveBack(state, session, true);
      });
    case SWEEP.stall: {
      const stalled = state.nodes.live(sweep.subject)?.stalled ?? false;
      return visitSessions(state, sweep, (session) => {
        state.pages.touch(session.page);
        session.stalled = stalled;
        updateAvailability(state, session);
        if (!stalled) matchLater(state, session);
        return true;
      });
    }
    case SWEEP.release: {
      const session = state.sessions.get(sweep.subject);
      return session === null || giveBack(state, session, sweep.detail === 1);
    }
    case SWEEP.unclaimed:
      return releaseUnclaimed(state, sweep);
    case SWEEP.purge:
      return purge(state, sweep);
    case SWEEP.matchSession: {
      if (state.matches <= 0) return false;
      const session = state.sessions.get(sweep.subject);
      if (session !== null) matchSession(state, session);
      state.steps--;
      return true;
    }
    case SWEEP.matchFunction:
      if (state.matches <= 0) return false;
      state.steps--;
      // Null: it was dropped meanwhile.
      if (state.functions.get(sweep.subject) !== null) {
        matchFunction(state, state.functions.byId(sweep.subject));
      }
      return true;
    case SWEEP.waiters:
      return visitWaiters(state, sweep);
    case SWEEP.drop:
      return finishDrop(state, state.functions.byId(sweep.subject));
  }
}

/** Goes on behind the cursor; `act` says whether it is finished with the session. */
function visitSessions(state: State, sweep: Sweep, act: (session: Session) => boolean): boolean {
  let done = true;
  state.sessions.visit(sweep.cursor, (session) => {
    done = state.steps-- > 0 && (session.incarnation !== sweep.subject || act(session));
    if (done) sweep.cursor = session.id;
    return done;
  });
  return done;
}

/** Looks at all jobs, ascending: a step for each page, and for each job for which the node's clients waited. */
function visitWaiters(state: State, sweep: Sweep): boolean {
  const { jobs } = state;
  const { subject } = sweep;
  const from = Math.floor((sweep.cursor + 1) / JOBS_PER_PAGE);
  for (let page = jobs.peekFrom(from); page !== null; page = jobs.peekFrom(page.number + 1)) {
    const behind = page.first + JOBS_PER_PAGE;
    if (page.mayHaveWaiters) jobs.inMemory(page);
    for (let seq = Math.max(sweep.cursor + 1, page.first); page.extras !== null && seq < behind; seq++) {
      const row = page.row(seq);
      if (row < 0 || page.extrasOf(row)?.waiters.some((one) => one.incarnation === subject) !== true)
        continue;
      forgetWaiters(state, seq, page, row, subject);
      sweep.cursor = seq;
      if (--state.steps <= 0) return false;
    }
    sweep.cursor = behind - 1;
    if (--state.steps <= 0) return false;
  }
  return true;
}

/** Removes the ended jobs of a dropped function as far as this entry's steps allow; true when it is gone. */
function finishDrop(state: State, fn: FunctionState): boolean {
  for (const list of fn.ended) {
    while (list.head !== 0) {
      if (state.steps-- <= 0) return false;
      remove(state, list.head);
    }
  }
  state.functions.free(fn);
  return true;
}

/** What was there when the purge was asked for: the cursor is the last order that was given out by then. */
function purge(state: State, sweep: Sweep): boolean {
  const fn = state.functions.get(sweep.subject);
  // It was dropped meanwhile.
  if (fn === null) return true;
  for (let number = SCHEDULED; number <= EXPIRED; number++) {
    if ((sweep.detail & (1 << number)) === 0) continue;
    if (number !== QUEUED) {
      const list = number === SCHEDULED ? fn.scheduled : fn.endedList(number);
      if (!purgeFirst(state, sweep, () => list.head)) return false;
      continue;
    }
    for (const priority of [0, 1, 2] as const) {
      if (!purgeFirst(state, sweep, () => fn.head(priority, state.jobs))) return false;
      if (!purgeFirst(state, sweep, () => fn.reserved.first(priority))) return false;
    }
  }
  return true;
}

/** Purges the first job again and again, as far as this entry's steps allow. */
function purgeFirst(state: State, sweep: Sweep, first: () => number): boolean {
  for (let seq = first(); seq !== 0; seq = first()) {
    const page = state.jobs.pageOf(seq);
    const row = page.row(seq);
    if (page.f[row * F_FIELDS + F_ORDER]! > sweep.cursor) break;
    if (state.steps-- <= 0) return false;
    if (stateOf(page, row) <= QUEUED) endWaiting(state, seq, CANCELLED, 'purged');
    if (state.jobs.has(seq)) remove(state, seq);
  }
  return true;
}
