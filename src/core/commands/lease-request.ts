import type { ByteReader } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import { checkFunctions, joinClass, matchLater, updateAvailability } from '../matching/match.js';
import type { State } from '../state.js';
import { readFunctions } from './functions.js';
import { answer, refuse, refuseLimit } from './result.js';
import { settleAt } from './session-open.js';

const NO_SECRET = Buffer.alloc(0);

/** A long poll for at most `max` jobs, once. The same request again, at any node, finds the same leases. */
export function leaseRequest(state: State, reader: ByteReader): void {
  const namespace = reader.string();
  const name = reader.string();
  const requestId = reader.string();
  const max = readCount(reader);
  const durationMs = readCount(reader);
  const functions = readFunctions(reader);
  if (requestId === '' || max === 0 || durationMs === 0) {
    refuse(state, 'INVALID_FIELD');
    return;
  }
  let session = state.sessions.byRequest(namespace, requestId);
  if (session !== null) {
    state.pages.touch(session.page);
    settleAt(state, session);
    answer(state, { value: session.id, epoch: session.epoch });
    matchLater(state, session);
    return;
  }
  if (state.sessions.size >= state.settings.sessionsMax) {
    refuseLimit(state, 'sessionsMax');
    return;
  }
  const refusal = checkFunctions(state, namespace, functions);
  if (refusal !== null) {
    refuseLimit(state, refusal.limit);
    return;
  }
  const id = ++state.lastSession;
  session = state.sessions.create(id, namespace, name, NO_SECRET, false, requestId, durationMs);
  joinClass(state, session, functions);
  session.granted = Math.min(max, state.settings.creditsPerSessionMax);
  settleAt(state, session);
  updateAvailability(state, session);
  answer(state, { value: id, epoch: session.epoch });
  matchLater(state, session);
}
