import { CANCELLED, EXPIRED, F_FIELDS, F_ORDER, QUEUED, SCHEDULED } from './jobs/fields.js';
import { loseLease, WORKER_LOST } from './jobs/leases.js';
import { endWaiting, remove } from './jobs/lifecycle.js';
import type { JobList } from './jobs/table.js';
import { matchAll, matchFunction, matchLater, matchSession, updateAvailability } from './matching/match.js';
import { detach } from './sessions-end.js';
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
} as const;

export interface Sweep {
  readonly kind: (typeof SWEEP)[keyof typeof SWEEP];
  readonly subject: number;
  readonly detail: number;
  cursor: number;
}

export function addSweep(
  state: State,
  kind: Sweep['kind'],
  subject: number,
  detail: number,
  cursor = 0,
): void {
  state.sweeps.push({ kind, subject, detail, cursor });
}

/** Goes on with the sweeps, oldest first, as far as this entry's steps allow. */
export function runSweeps(state: State): void {
  // A sweep that hits the limit of assignments puts itself behind the others: each is run once at most.
  for (let left = state.sweeps.length; left > 0 && state.steps > 0; left--) {
    state.steps--;
    const sweep = state.sweeps[0]!;
    if (!step(state, sweep)) return;
    matchAll(state);
    state.sweeps.splice(state.sweeps.indexOf(sweep), 1);
  }
}

/** False: not finished. */
function step(state: State, sweep: Sweep): boolean {
  switch (sweep.kind) {
    case SWEEP.detach:
      return visitSessions(state, sweep, (id) => detach(state, state.sessions.get(id)!));
    case SWEEP.stall: {
      const stalled = state.nodes.live(sweep.subject)?.stalled ?? false;
      return visitSessions(state, sweep, (id) => {
        const session = state.sessions.get(id)!;
        state.pages.touch(session.page);
        session.stalled = stalled;
        updateAvailability(state, session);
        if (!stalled) matchLater(state, session);
      });
    }
    case SWEEP.release:
      return release(state, sweep);
    case SWEEP.purge:
      return purge(state, sweep);
    case SWEEP.matchSession: {
      const session = state.sessions.get(sweep.subject);
      if (session !== null) matchSession(state, session);
      return true;
    }
    case SWEEP.matchFunction:
      matchFunction(state, state.functions.byId(sweep.subject));
      return true;
  }
}

function visitSessions(state: State, sweep: Sweep, act: (id: number) => void): boolean {
  let done = true;
  state.sessions.visit(sweep.cursor, (session) => {
    if (state.steps <= 0) {
      done = false;
      return false;
    }
    state.steps--;
    sweep.cursor = session.id;
    if (session.incarnation === sweep.subject) act(session.id);
    return true;
  });
  matchAll(state);
  return done;
}

function release(state: State, sweep: Sweep): boolean {
  const session = state.sessions.get(sweep.subject);
  if (session === null) return true;
  const counted = sweep.detail === 1;
  while (session.held.size > 0) {
    if (state.steps-- <= 0) return false;
    loseLease(state, session.held.head, counted ? 'detached' : 'released', counted ? WORKER_LOST : null);
  }
  return true;
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
