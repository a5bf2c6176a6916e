import type { ByteReader } from '../../base/bytes.js';
import { EXPIRED, RUNNING } from '../jobs/fields.js';
import type { State } from '../state.js';
import { addSweep, SWEEP } from '../sweeps.js';
import { answer, refuse } from './result.js';

/** Drops the function's jobs in these states; waiting ones are cancelled first. Running jobs cannot be purged. */
export function purge(state: State, reader: ByteReader): void {
  const namespace = reader.string();
  const name = reader.string();
  const mask = reader.u32();
  const fn = state.functions.find(namespace, name);
  if (mask === 0 || mask >= 1 << (EXPIRED + 1) || (mask & (1 << RUNNING)) !== 0) {
    refuse(state, 'INVALID_FIELD');
    return;
  }
  let value = 0;
  if (fn !== null) {
    for (let number = 0; number <= EXPIRED; number++) {
      if ((mask & (1 << number)) !== 0) value += fn.counts[number]!;
    }
    if (value > 0) addSweep(state, SWEEP.purge, fn.id, mask, state.lastOrder);
  }
  answer(state, { value });
}
