import { firstAtLeast } from '../base/search.js';
import { FLAG_ACKED, U_FIELDS, U_FLAGS } from './jobs/fields.js';
import { holderOf, loseLease, WORKER_LOST } from './jobs/leases.js';
import { leaveClass, stop, updateAvailability } from './matching/match.js';
import type { Session } from './sessions.js';
import type { State } from './state.js';
import { addSweep, SWEEP, type Sweep } from './sweeps.js';

/*
 * How sessions end:
 *
 *     attached ──detach──> detached ──attach──> attached (next epoch)
 *        │                    │ grace over
 *        └──close, detach of one that cannot resume──> closing ──holds nothing──> gone
 */

/** The session takes nothing any more; `giveBack` empties it. */
export function beginClose(state: State, session: Session): void {
  if (session.closing) return;
  state.pages.touch(session.page);
  session.closing = true;
  updateAvailability(state, session);
  removeIfDone(state, session);
}

/**
 * Gives back what a closing session holds, as far as this entry's steps allow, but at least one job. `counted`:
 * those attempts count. True: it is empty and gone.
 */
export function giveBack(state: State, session: Session, counted: boolean): boolean {
  while (session.held.size > 0) {
    loseLease(state, session.held.head, counted ? 'detached' : 'released', counted ? WORKER_LOST : null);
    if (state.steps-- <= 0) break;
  }
  return session.removed;
}

/**
 * Releases what the session holds from before its attach and did not claim there, as far as this entry's steps allow.
 * True: all of it, or a later attach has its own list.
 */
export function releaseUnclaimed(state: State, sweep: Sweep): boolean {
  const session = state.sessions.get(sweep.subject);
  if (session === null || session.epoch !== sweep.detail) return true;
  const newest = sweep.tokens[0]!;
  const seen = state.tokens.get(sweep.cursor);
  // Held leases are in order. Where the last one that was looked at is over, it is found from the beginning.
  const goesOn = seen !== 0 && holderOf(state, seen) === session.id;
  let seq = goesOn ? state.jobs.next(session.held, seen) : session.held.head;
  while (seq !== 0) {
    const page = state.jobs.pageOf(seq);
    const row = page.row(seq);
    const token = state.jobs.token(page, row);
    if (token > newest) return true;
    if (state.steps-- <= 0) return false;
    const next = state.jobs.next(session.held, seq);
    if (claims(sweep.tokens, token)) {
      sweep.cursor = token;
    } else {
      const acked = (page.u[row * U_FIELDS + U_FLAGS]! & FLAG_ACKED) !== 0;
      loseLease(state, seq, 'released', acked ? WORKER_LOST : null);
    }
    seq = next;
  }
  return true;
}

/** Whether the token is in the list behind its first place, which ascends. */
function claims(tokens: readonly number[], token: number): boolean {
  return tokens[firstAtLeast(tokens, token, 1)] === token;
}

/** Closes a session because of a command: what this entry cannot do goes on as a sweep. */
export function close(state: State, session: Session, counted: boolean): void {
  if (session.closing) return;
  clearGrace(state, session);
  beginClose(state, session);
  if (!session.removed && !giveBack(state, session, counted)) {
    addSweep(state, SWEEP.release, session.id, counted ? 1 : 0);
  }
}

/** The connection, or the node, is gone. One that cannot resume is closing afterwards: the caller gives back. */
export function detach(state: State, session: Session): void {
  const { incarnation } = session;
  if (incarnation === 0 || session.closing) return;
  if (session.isLease) {
    // Its leases live by their duration; nobody can be told of further jobs.
    stop(state, session);
    removeIfDone(state, session);
    return;
  }
  state.pages.touch(session.page);
  state.effects.sessionDetached(session.id, session.epoch, incarnation);
  if (!session.resumable) {
    beginClose(state, session);
    return;
  }
  session.incarnation = 0;
  session.stalled = false;
  session.granted = 0;
  session.assigned = 0;
  session.graceDueUs = state.elapsedUs + state.settings.sessionGraceMs * 1000;
  session.timer = state.elapsedTimers.add(session.graceDueUs, -session.id);
  updateAvailability(state, session);
}

export function clearGrace(state: State, session: Session): void {
  session.graceDueUs = 0;
  if (session.timer === 0) return;
  state.elapsedTimers.remove(session.timer);
  session.timer = 0;
}

/** A session on its way out that holds nothing any more goes. */
export function removeIfDone(state: State, session: Session): void {
  if (session.removed || session.held.size > 0 || !(session.closing || session.stopped)) return;
  clearGrace(state, session);
  leaveClass(state, session);
  state.labels.release(session.label);
  state.sessions.remove(session);
  state.effects.sessionClosed(session.id, session.incarnation);
}
