import type { ByteReader } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import { close, detach } from '../sessions-end.js';
import type { State } from '../state.js';

/** The worker's connection is gone. Void in an old epoch: the worker has come back meanwhile. */
export function sessionDetach(state: State, reader: ByteReader): void {
  const session = state.sessions.get(readCount(reader));
  const epoch = readCount(reader);
  if (session === null || session.epoch !== epoch || session.isLease) return;
  if (session.resumable) {
    detach(state, session);
  } else if (!session.closing) {
    state.effects.sessionDetached(session.id, epoch, session.incarnation);
    close(state, session, true);
  }
}
