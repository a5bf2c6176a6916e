import type { ByteReader } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import {
  CANCELLED,
  F_FIELDS,
  F_REVISION,
  FLAG_CANCEL,
  M_FIELDS,
  M_SESSION,
  M_TOKEN,
  RUNNING,
  U_FIELDS,
  U_FLAGS,
} from '../jobs/fields.js';
import { loseLease } from '../jobs/leases.js';
import { endWaiting, extrasFor, setTimer, stateOf } from '../jobs/lifecycle.js';
import type { State } from '../state.js';
import { readJob } from './job-id.js';
import { answer, refuse } from './result.js';

/**
 * A waiting job is cancelled at once. A running one's worker is asked to stop, and after the grace its lease ends;
 * without a grace it ends now. Asking again shortens the grace, never lengthens it.
 */
export function cancel(state: State, reader: ByteReader): void {
  const seq = readJob(state, reader);
  const reason = reader.string();
  const graceMs = readCount(reader);
  if (seq === 0) {
    refuse(state, 'NOT_FOUND');
    return;
  }
  const page = state.jobs.pageOf(seq);
  const row = page.row(seq);
  const at = stateOf(page, row);
  if (at === CANCELLED) {
    answer(state, { seq });
  } else if (at > RUNNING) {
    refuse(state, 'WRONG_STATE');
  } else if (at < RUNNING) {
    answer(state, { seq, value: 1 });
    endWaiting(state, seq, CANCELLED, reason);
  } else {
    state.pages.touch(page);
    const flags = row * U_FIELDS + U_FLAGS;
    const extras = extrasFor(page, row);
    if ((page.u[flags]! & FLAG_CANCEL) === 0) extras.cancelReason = reason;
    page.u[flags] = page.u[flags]! | FLAG_CANCEL;
    if (graceMs === 0) {
      answer(state, { seq, value: 1 });
      loseLease(state, seq, 'cancelled', null);
      return;
    }
    const due = state.elapsedUs + graceMs * 1000;
    if (extras.cancelDueUs === 0 || due < extras.cancelDueUs) extras.cancelDueUs = due;
    page.f[row * F_FIELDS + F_REVISION] = state.index;
    setTimer(state, seq, page, row);
    answer(state, { seq, value: 1 });
    const session = state.sessions.get(page.more[row * M_FIELDS + M_SESSION]!)!;
    const token = page.more[row * M_FIELDS + M_TOKEN]!;
    state.effects.cancelRequested(session.id, session.epoch, seq, token, reason, graceMs);
    state.effects.job(seq, 'cancelling');
  }
}
