import type { ByteReader } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import { isReserved, start } from '../jobs/reserved.js';
import type { State } from '../state.js';

/** Workers begin jobs that were reserved for them. The tokens fence: what has come back meanwhile is not begun. */
export function startReserved(state: State, reader: ByteReader): void {
  for (let left = reader.u32(); left > 0; left--) {
    const seq = state.tokens.get(readCount(reader));
    if (seq === 0) continue;
    const page = state.jobs.pageOf(seq);
    const row = page.row(seq);
    if (isReserved(page, row)) start(state, seq, page, row);
  }
}
