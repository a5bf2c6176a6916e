import type { ByteReader } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import { checkFunctions, joinClass, matchLater, updateAvailability } from '../matching/match.js';
import type { Session } from '../sessions.js';
import type { State } from '../state.js';
import { grant } from './credit.js';
import { readFunctions } from './functions.js';
import { answer, refuseLimit } from './result.js';

const SECRET_BYTES = 16;

export function sessionOpen(state: State, reader: ByteReader): void {
  const namespace = reader.string();
  const name = reader.string();
  const secretDigest = Buffer.from(reader.raw(SECRET_BYTES));
  const flags = reader.u8();
  const total = readCount(reader);
  const functions = readFunctions(reader);
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
  const resumable = (flags & 1) !== 0;
  const reserves = (flags & 2) !== 0;
  const session = state.sessions.create(id, namespace, name, secretDigest, resumable, '', 0, reserves);
  joinClass(state, session, functions);
  settleAt(state, session);
  grant(state, session, total);
  answer(state, { value: id, epoch: session.epoch });
  matchLater(state, session);
}

/** The session is at the node whose batch is being applied. Its page has been touched. */
export function settleAt(state: State, session: Session): void {
  const node = state.origin;
  session.incarnation = node.incarnation;
  session.node = node.name;
  session.stalled = node.stalled;
  const label = state.labels.intern(session.name, node.name, state.nextLabel);
  state.labels.release(session.label);
  session.label = label;
  updateAvailability(state, session);
}
