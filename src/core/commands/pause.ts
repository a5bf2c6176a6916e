import type { ByteReader } from '../../base/bytes.js';
import { QUEUED } from '../jobs/fields.js';
import { matchFunction, raise } from '../matching/match.js';
import type { State } from '../state.js';
import type { PriorityRank } from '../types.js';
import { findOrCreate } from './queue-create.js';
import { answer } from './result.js';

/** A paused queue takes jobs and gives none out. A function can be paused before its first job. */
export function pause(state: State, reader: ByteReader): void {
  const namespace = reader.string();
  const name = reader.string();
  const paused = reader.u8() === 1;
  const fn = findOrCreate(state, namespace, name);
  if (fn === null) return;
  answer(state, { value: fn.counts[QUEUED]! });
  if (fn.paused === paused) return;
  state.pages.touch(fn.page);
  fn.paused = paused;
  const best = fn.best();
  if (best < 0) return;
  raise(fn, best as PriorityRank, fn.headOrder(best as PriorityRank, state.jobs));
  matchFunction(state, fn);
}
