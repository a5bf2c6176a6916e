import { CANCELLED, EXPIRED, F_FIELDS, F_ORDER, QUEUED, SCHEDULED } from './jobs/fields.js';
import { endWaiting, remove } from './jobs/lifecycle.js';
import type { JobList } from './jobs/table.js';
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
      matchFunction(state, state.functions.byId(sweep.subject));
      state.steps--;
      return true;
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

function purge(state: State, sweep: Sweep): boolean {
  const fn = state.functions.byId(sweep.subject);
  for (let number = SCHEDULED; number <= EXPIRED; number++) {
    if ((sweep.detail & (1 << number)) === 0) continue;
    const lists: readonly JobList[] =
      number === SCHEDULED ? [fn.scheduled] : number === QUEUED ? fn.waiting : [fn.endedList(number)];
    for (const list of lists) {
      while (list.head !== 0) {
        const page = state.jobs.pageOf(list.head);
        if (page.f[page.row(list.head) * F_FIELDS + F_ORDER]! > sweep.cursor) break;
        if (state.steps-- <= 0) return false;
        const seq = list.head;
        if (number <= QUEUED) endWaiting(state, seq, CANCELLED, 'purged');
        if (state.jobs.has(seq)) remove(state, seq);
      }
    }
  }
  return true;
}
