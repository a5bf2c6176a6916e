import type { ByteReader } from '../../base/bytes.js';
import { TOTAL } from '../functions.js';
import { newExtras } from '../jobs/extras.js';
import {
  FAILED,
  FLAG_CANCEL,
  M_ATTEMPT,
  M_DATA_COUNT,
  M_FIELDS,
  M_FINISHED_WALL,
  QUEUED,
  U_FIELDS,
  U_FLAGS,
} from '../jobs/fields.js';
import {
  clearLabel,
  count,
  enter,
  functionOf,
  priorityOf,
  queue,
  stateOf,
  unend,
} from '../jobs/lifecycle.js';
import type { State } from '../state.js';
import { mixText } from '../tables/hash.js';
import { readJob } from './job-id.js';
import { answer, refuse, refuseLimit } from './result.js';
import { liveJobs, QUEUE_LIMIT, uniqueHolder } from './submit.js';

/** A failed, cancelled or expired job is queued again as if it were new, but for its id and its times. */
export function retry(state: State, reader: ByteReader): void {
  const seq = readJob(state, reader);
  if (seq === 0) {
    refuse(state, 'NOT_FOUND');
    return;
  }
  const page = state.jobs.pageOf(seq);
  const row = page.row(seq);
  const fn = functionOf(state, page, row);
  const before = page.extrasOf(row);
  const uniqueKey = before?.uniqueKey ?? '';
  if (stateOf(page, row) < FAILED || uniqueHolder(state, fn, uniqueKey) !== 0) {
    refuse(state, 'WRONG_STATE');
    return;
  }
  if (liveJobs(state) >= state.settings.jobsMax) {
    refuseLimit(state, 'jobsMax');
    return;
  }
  if (fn.live >= state.settings.jobsPerFunctionMax) {
    refuseLimit(state, 'jobsPerFunctionMax');
    return;
  }
  const limit = fn.jobsMax[priorityOf(page, row)];
  if (limit !== 0 && fn.live >= limit) {
    answer(state, { refusal: 'LIMIT_REACHED', limit: QUEUE_LIMIT, limitValue: limit });
    return;
  }
  state.pages.touch(page);
  unend(state, fn, page, row);
  clearLabel(state, page, row);
  if (before !== null) {
    // Without its start deadline, which has passed or was met.
    page.setExtras(row, { ...newExtras(), uniqueKey, retry: before.retry, payloadBlob: before.payloadBlob });
    if (uniqueKey !== '') state.uniqueKeys.add(mixText(uniqueKey, fn.id), seq);
  }
  const flags = row * U_FIELDS + U_FLAGS;
  page.u[flags] = page.u[flags]! & ~FLAG_CANCEL;
  const more = page.ownMore();
  const numbers = row * M_FIELDS;
  more[numbers + M_ATTEMPT] = 0;
  more[numbers + M_DATA_COUNT] = 0;
  more[numbers + M_FINISHED_WALL] = 0;
  count(state, fn, TOTAL.retried);
  enter(state, fn, page, row, QUEUED);
  answer(state, { seq, value: 1 });
  state.effects.job(seq, 'queued');
  queue(state, fn, seq, page, row);
}
