import { type ByteReader, MalformedBytesError } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import { changeWaiters } from '../jobs/waiters.js';
import type { State } from '../state.js';

/** Clients of this node wait for these jobs, or do so no longer. Jobs that have ended concern nobody. */
export function waiters(state: State, reader: ByteReader): void {
  for (let left = reader.u32(); left > 0; left--) {
    const seq = readCount(reader);
    const change = reader.f64();
    if (!Number.isSafeInteger(change)) throw new MalformedBytesError(`a change of ${change} waiters`);
    changeWaiters(state, seq, change);
  }
}
