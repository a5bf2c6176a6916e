import type { ByteReader } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import { FLAG_ACKED, U_FIELDS, U_FLAGS } from '../jobs/fields.js';
import { loseLease, WORKER_LOST } from '../jobs/leases.js';
import { updateAvailability } from '../matching/match.js';
import { clearGrace } from '../sessions-end.js';
import type { State } from '../state.js';
import { acknowledge } from './acks.js';
import { answer, refuse } from './result.js';
import { settleAt } from './session-open.js';

const SECRET_BYTES = 16;

/**
 * A worker comes back, at this node or at another, and says which leases it still has: the others are released.
 * From now on only the new epoch counts.
 */
export function sessionAttach(state: State, reader: ByteReader): void {
  const session = state.sessions.get(readCount(reader));
  const secret = reader.raw(SECRET_BYTES);
  const claimed = new Set<number>();
  for (let left = reader.u32(); left > 0; left--) claimed.add(readCount(reader));
  if (session === null || session.closing || session.isLease || !session.secretDigest.equals(secret)) {
    refuse(state, 'SESSION_UNKNOWN');
    return;
  }
  state.pages.touch(session.page);
  if (session.incarnation !== 0) {
    state.effects.sessionDetached(session.id, session.epoch, session.incarnation);
  }
  clearGrace(state, session);
  session.epoch++;
  session.granted = 0;
  session.assigned = 0;
  updateAvailability(state, session);
  settleAt(state, session);
  const value = { value: session.id, epoch: session.epoch };
  let seq = session.held.head;
  while (seq !== 0) {
    const next = state.jobs.next(session.held, seq);
    const { token, acked } = leaseOf(state, seq);
    if (claimed.has(token)) acknowledge(state, seq);
    else loseLease(state, seq, 'released', acked ? WORKER_LOST : null);
    seq = next;
  }
  answer(state, value);
}

function leaseOf(state: State, seq: number): { readonly token: number; readonly acked: boolean } {
  const page = state.jobs.pageOf(seq);
  const row = page.row(seq);
  return {
    token: state.jobs.token(page, row),
    acked: (page.u[row * U_FIELDS + U_FLAGS]! & FLAG_ACKED) !== 0,
  };
}
