import type { ByteReader } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import { holderOf } from '../jobs/leases.js';
import { updateAvailability } from '../matching/match.js';
import { clearGrace, releaseUnclaimed } from '../sessions-end.js';
import type { State } from '../state.js';
import { addSweep, SWEEP } from '../sweeps.js';
import { acknowledge } from './acks.js';
import { answer, refuse } from './result.js';
import { settleAt } from './session-open.js';

const SECRET_BYTES = 16;

/**
 * A worker comes back, at this node or at another, and says which leases it still has: the others are released, as far
 * as this entry's steps allow, then as a sweep.
 * From now on only the new epoch counts.
 */
export function sessionAttach(state: State, reader: ByteReader): void {
  const session = state.sessions.get(readCount(reader));
  const secret = reader.raw(SECRET_BYTES);
  const claimed: number[] = [];
  for (let left = reader.u32(); left > 0; left--) claimed.push(readCount(reader));
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
  for (const token of claimed) {
    const seq = state.tokens.get(token);
    if (seq !== 0 && holderOf(state, seq) === session.id) acknowledge(state, seq);
  }
  claimed.sort((a, b) => a - b);
  addSweep(state, SWEEP.unclaimed, session.id, session.epoch, 0, [state.lastToken, ...claimed]);
  if (releaseUnclaimed(state, state.sweeps.at(-1)!)) state.sweeps.pop();
  answer(state, value);
}
