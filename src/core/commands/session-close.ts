import type { ByteReader } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import { close } from '../sessions-end.js';
import type { State } from '../state.js';

/** The worker says goodbye: what it holds was handed back, so these attempts do not count. */
export function sessionClose(state: State, reader: ByteReader): void {
  const session = state.sessions.get(readCount(reader));
  const epoch = readCount(reader);
  if (session !== null && session.epoch === epoch && !session.isLease) close(state, session, false);
}
