import type { ByteReader } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import { stop } from '../matching/match.js';
import { removeIfDone } from '../sessions-end.js';
import type { State } from '../state.js';

/** The poll is over: it takes no more jobs. */
export function leaseStop(state: State, reader: ByteReader): void {
  const session = state.sessions.get(readCount(reader));
  if (session === null || !session.isLease) return;
  stop(state, session);
  removeIfDone(state, session);
}
