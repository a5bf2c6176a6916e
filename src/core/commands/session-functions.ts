import type { ByteReader } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import { recountRunning } from '../jobs/leases.js';
import { checkFunctions, joinClass, leaveClass, matchLater, updateAvailability } from '../matching/match.js';
import type { State } from '../state.js';
import { readFunctions } from './functions.js';
import { answer, refuse, refuseLimit } from './result.js';

/** From now on the session takes jobs of these functions; what it runs goes on. */
export function sessionFunctions(state: State, reader: ByteReader): void {
  const session = state.sessions.get(readCount(reader));
  const epoch = readCount(reader);
  const functions = readFunctions(reader);
  if (session === null || session.epoch !== epoch || session.closing || session.isLease) {
    refuse(state, 'SESSION_UNKNOWN');
    return;
  }
  const refusal = checkFunctions(state, session.namespace, functions);
  if (refusal !== null) {
    refuseLimit(state, refusal.limit);
    return;
  }
  state.pages.touch(session.page);
  leaveClass(state, session);
  joinClass(state, session, functions);
  recountRunning(state, session);
  updateAvailability(state, session);
  answer(state, { value: session.id, epoch });
  matchLater(state, session);
}
