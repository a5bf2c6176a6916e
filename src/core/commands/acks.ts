import type { ByteReader } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import { FLAG_ACKED, M_FIELDS, M_SESSION, U_FIELDS, U_FLAGS } from '../jobs/fields.js';
import type { State } from '../state.js';

/** The worker has these assignments. Void in an old epoch. */
export function acks(state: State, reader: ByteReader): void {
  const session = state.sessions.get(readCount(reader));
  const current = session !== null && session.epoch === readCount(reader);
  if (session === null) readCount(reader);
  for (let left = reader.u32(); left > 0; left--) {
    const seq = state.tokens.get(readCount(reader));
    if (seq === 0 || !current) continue;
    const page = state.jobs.pageOf(seq);
    const row = page.row(seq);
    if (page.more[row * M_FIELDS + M_SESSION] !== session.id) continue;
    acknowledge(state, seq);
  }
}

/** The lease will not come back as unacknowledged. */
export function acknowledge(state: State, seq: number): void {
  const page = state.jobs.pageOf(seq);
  const at = page.row(seq) * U_FIELDS + U_FLAGS;
  if ((page.u[at]! & FLAG_ACKED) !== 0) return;
  state.pages.touch(page);
  page.u[at] = page.u[at]! | FLAG_ACKED;
}
