import type { ByteReader } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import { M_DUE2, M_FIELDS } from '../jobs/fields.js';
import { setTimer } from '../jobs/lifecycle.js';
import type { State } from '../state.js';
import { answer, refuse } from './result.js';

/** Leases that live by a duration end that much after now. Those of a session with a connection need none of it. */
export function leaseExtend(state: State, reader: ByteReader): void {
  const durationMs = readCount(reader);
  for (let left = reader.u32(); left > 0; left--) {
    const seq = state.tokens.get(readCount(reader));
    if (seq === 0) {
      refuse(state, 'LEASE_LOST');
      continue;
    }
    const page = state.jobs.pageOf(seq);
    const row = page.row(seq);
    if (page.more[row * M_FIELDS + M_DUE2] === 0) {
      refuse(state, 'WRONG_STATE');
      continue;
    }
    state.pages.touch(page);
    const due = state.elapsedUs + durationMs * 1000;
    page.ownMore()[row * M_FIELDS + M_DUE2] = due;
    setTimer(state, seq, page, row);
    answer(state, { value: due, seq });
  }
}
