import type { ByteReader } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import { F_FIELDS, F_REVISION } from '../jobs/fields.js';
import { extrasFor } from '../jobs/lifecycle.js';
import { isReserved, start } from '../jobs/reserved.js';
import type { State } from '../state.js';

/** Progress of a running attempt; a reserved job has begun when there is some. The token fences: session and epoch say no more than it does. */
export function progress(state: State, reader: ByteReader): void {
  readCount(reader);
  readCount(reader);
  const seq = state.tokens.get(readCount(reader));
  const numerator = reader.f64();
  const denominator = reader.f64();
  const message = reader.string();
  if (seq === 0) return;
  const page = state.jobs.pageOf(seq);
  const row = page.row(seq);
  state.pages.touch(page);
  if (isReserved(page, row)) start(state, seq, page, row);
  const extras = extrasFor(page, row);
  extras.numerator = numerator;
  extras.denominator = denominator;
  extras.message = message;
  page.f[row * F_FIELDS + F_REVISION] = state.index;
  state.effects.job(seq, 'progress');
}
