import type { ByteReader } from '../../base/bytes.js';
import { SUCCEEDED } from '../jobs/fields.js';
import type { State } from '../state.js';
import { addSweep, SWEEP } from '../sweeps.js';
import { answer, refuse } from './result.js';

/**
 * A function is forgotten: its name, totals and limits at once, its ended jobs little by little, its place among
 * `functionsMax` with the last of them. One that a session can do, or that has jobs, stays: a detached session may
 * come back, and names it.
 */
export function queueDrop(state: State, reader: ByteReader): void {
  const namespace = reader.string();
  const name = reader.string();
  const fn = state.functions.find(namespace, name);
  if (fn === null) {
    refuse(state, 'NOT_FOUND');
    return;
  }
  if (fn.live > 0 || fn.classes.length > 0) {
    refuse(state, 'WRONG_STATE');
    return;
  }
  let value = 0;
  for (let number = SUCCEEDED; number < fn.counts.length; number++) value += fn.counts[number]!;
  answer(state, { value });
  state.functions.drop(fn);
  if (value > 0) addSweep(state, SWEEP.drop, fn.id, 0);
  else state.functions.free(fn);
}
