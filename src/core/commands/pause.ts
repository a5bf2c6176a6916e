import type { ByteReader } from '../../base/bytes.js';
import { matchFunction, raise } from '../matching/match.js';
import type { State } from '../state.js';
import type { PriorityRank } from '../types.js';
import { answer, refuseLimit } from './result.js';
import { functionsFull } from './submit.js';

/** A paused queue takes jobs and gives none out. A function can be paused before its first job. */
export function pause(state: State, reader: ByteReader): void {
  const namespace = reader.string();
  const name = reader.string();
  const paused = reader.u8() === 1;
  let fn = state.functions.find(namespace, name);
  if (fn === null) {
    if (functionsFull(state, 0)) {
      refuseLimit(state, 'functionsMax');
      return;
    }
    fn = state.functions.create(namespace, name);
  }
  answer(state, { value: fn.waitingCount });
  if (fn.paused === paused) return;
  state.pages.touch(fn.page);
  fn.paused = paused;
  const best = fn.best();
  if (best < 0) return;
  raise(fn, best as PriorityRank, fn.headOrder(best as PriorityRank, state.jobs));
  matchFunction(state, fn);
}
