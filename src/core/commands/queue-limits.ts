import type { ByteReader } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import type { State } from '../state.js';
import { findOrCreate } from './queue-create.js';
import { answer } from './result.js';

/** Limits the jobs of a function. What is there already stays, however much it is. */
export function queueLimits(state: State, reader: ByteReader): void {
  const namespace = reader.string();
  const name = reader.string();
  const jobsMax = [readCount(reader), readCount(reader), readCount(reader)] as const;
  // Without a limit there is nothing to remember of a function that nobody uses.
  if (jobsMax.every((limit) => limit === 0) && state.functions.find(namespace, name) === null) {
    answer(state, {});
    return;
  }
  const fn = findOrCreate(state, namespace, name);
  if (fn === null) return;
  state.pages.touch(fn.page);
  fn.jobsMax = jobsMax;
  answer(state, { value: fn.live });
}
