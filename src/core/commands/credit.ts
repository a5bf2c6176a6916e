import type { ByteReader } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import { matchLater, updateAvailability } from '../matching/match.js';
import type { Session } from '../sessions.js';
import type { State } from '../state.js';

/** A cumulative count within the epoch: a repeated or late message changes nothing. */
export function credit(state: State, reader: ByteReader): void {
  const session = state.sessions.get(readCount(reader));
  const epoch = readCount(reader);
  const total = readCount(reader);
  if (session === null || session.epoch !== epoch || session.isLease) return;
  grant(state, session, total);
  matchLater(state, session);
}

/** Raises what the session has been granted, never by so much that it could hold more than the limit at once. */
export function grant(state: State, session: Session, total: number): void {
  const most = session.assigned + state.settings.creditsPerSessionMax;
  const granted = Math.min(total, most);
  if (granted <= session.granted || session.incarnation === 0) return;
  state.pages.touch(session.page);
  session.granted = granted;
  updateAvailability(state, session);
}
