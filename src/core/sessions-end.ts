import { leaveClass, stop, updateAvailability } from './matching/match.js';
import type { Session } from './sessions.js';
import type { State } from './state.js';
import { addSweep, SWEEP } from './sweeps.js';

/*
 * How sessions end:
 *
 *     attached ──detach──> detached ──attach──> attached (next epoch)
 *        │                    │ grace over
 *        └──close, detach of one that cannot resume──> closing ──holds nothing──> gone
 */

/** The session takes nothing any more; what it holds goes back by a sweep. `counted`: those attempts count. */
export function beginClose(state: State, session: Session, counted: boolean): void {
  if (session.closing) return;
  state.pages.touch(session.page);
  session.closing = true;
  clearGrace(state, session);
  updateAvailability(state, session);
  if (session.held.size > 0) addSweep(state, SWEEP.release, session.id, counted ? 1 : 0);
  else removeIfDone(state, session);
}

/** The connection, or the node, is gone. */
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
    beginClose(state, session, true);
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
  leaveClass(state, session);
  state.labels.release(session.label);
  state.sessions.remove(session);
  state.effects.sessionClosed(session.id, session.incarnation);
}
