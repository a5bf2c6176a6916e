import type { ByteReader } from '../../base/bytes.js';
import { RUNNING } from '../jobs/fields.js';
import { remove, stateOf } from '../jobs/lifecycle.js';
import type { State } from '../state.js';
import { readJob } from './job-id.js';
import { answer, refuse } from './result.js';

/** The record of an ended job goes; its id stays known for the dedupe window. */
export function deleteJob(state: State, reader: ByteReader): void {
  const seq = readJob(state, reader);
  if (seq === 0) {
    refuse(state, 'NOT_FOUND');
    return;
  }
  const page = state.jobs.pageOf(seq);
  if (stateOf(page, page.row(seq)) <= RUNNING) {
    refuse(state, 'WRONG_STATE');
    return;
  }
  answer(state, { seq, value: 1 });
  remove(state, seq);
}
