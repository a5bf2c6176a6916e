import { MalformedBytesError } from '../../base/bytes.js';
import {
  F_FIELDS,
  F_ORDER,
  FLAG_ACKED,
  JOBS_PER_PAGE,
  M_FIELDS,
  M_LABEL,
  M_SESSION,
  M_STARTED_US,
  M_TOKEN,
  QUEUED,
  RUNNING,
  SCHEDULED,
  U_FIELDS,
  U_FLAGS,
  U_FUNCTION,
  U_ID,
} from '../jobs/fields.js';
import { recountRunning } from '../jobs/leases.js';
import { endedList, functionOf, priorityOf, setTimer, stateOf } from '../jobs/lifecycle.js';
import { isReserved, rank } from '../jobs/reserved.js';
import { joinClass, raise, updateAvailability } from '../matching/match.js';
import { setScheduleTimer } from '../schedules/fire.js';
import type { Session } from '../sessions.js';
import type { State } from '../state.js';
import { mixId, mixText } from '../tables/hash.js';
import type { PriorityRank } from '../types.js';

/** Makes everything that derives from the records: indexes, lists, timers, counts, classes. */
export function rebuild(state: State): void {
  for (const session of state.sessions.all()) joinSession(state, session);
  for (const schedule of state.schedules.all()) setScheduleTimer(state, schedule);
  const waiting: number[] = [];
  const waitingOrder: number[] = [];
  const running: number[] = [];
  const runningToken: number[] = [];
  for (let page = state.jobs.pageFrom(0); page !== null; page = state.jobs.pageFrom(page.number + 1)) {
    for (let place = 0; place < JOBS_PER_PAGE; place++) {
      const row = page.rows[place]!;
      if (row < 0) continue;
      const seq = page.first + place;
      indexJob(state, seq);
      if (stateOf(page, row) === RUNNING || isReserved(page, row)) {
        running.push(seq);
        runningToken.push(page.more[row * M_FIELDS + M_TOKEN]!);
      } else {
        waiting.push(seq);
        waitingOrder.push(page.f[row * F_FIELDS + F_ORDER]!);
      }
    }
  }
  for (const at of ascending(waitingOrder)) listJob(state, waiting[at]!);
  for (const at of ascending(runningToken)) holdJob(state, running[at]!);
  for (const fn of state.functions.all()) {
    const best = fn.best();
    if (best >= 0) raise(fn, best as PriorityRank, fn.headOrder(best as PriorityRank, state.jobs));
  }
  const sessions = Array.from(state.sessions.all()).sort((a, b) => a.stamp - b.stamp);
  const { lastStamp } = state;
  for (const session of sessions) {
    recountRunning(state, session);
    const { stamp } = session;
    updateAvailability(state, session);
    session.stamp = stamp;
  }
  state.lastStamp = lastStamp;
}

/** Places that visit `keys` in ascending order. */
function ascending(keys: readonly number[]): Uint32Array {
  const places = new Uint32Array(keys.length);
  for (let i = 0; i < places.length; i++) places[i] = i;
  return places.sort((a, b) => keys[a]! - keys[b]!);
}

function joinSession(state: State, session: Session): void {
  for (const spec of session.functions) {
    if (state.functions.find(session.namespace, spec.name) === null) {
      throw new MalformedBytesError(`session ${session.id} names function ${spec.name}, which is not there`);
    }
  }
  joinClass(state, session, session.functions);
  session.label = state.labels.intern(session.name, session.node, () => {
    throw new MalformedBytesError(`the label of session ${session.id} is not there`);
  });
  if (session.graceDueUs !== 0) session.timer = state.elapsedTimers.add(session.graceDueUs, -session.id);
}

function indexJob(state: State, seq: number): void {
  const page = state.jobs.pageOf(seq);
  const row = page.row(seq);
  const words = row * U_FIELDS;
  const fnId = page.u[words + U_FUNCTION]!;
  if (state.functions.get(fnId) === null) {
    throw new MalformedBytesError(`job ${seq} is of function ${fnId}, which is not there`);
  }
  const fn = functionOf(state, page, row);
  const at = stateOf(page, row);
  fn.counts[at] = fn.counts[at]! + 1;
  state.byState[at] = state.byState[at]! + 1;
  const id = words + U_ID;
  state.ids.add(mixId(page.u[id]!, page.u[id + 1]!, page.u[id + 2]!, page.u[id + 3]!), seq);
  const extras = page.extrasOf(row);
  if (extras !== null) state.blobs.restore(extras);
  const uniqueKey = extras?.uniqueKey ?? '';
  if (uniqueKey !== '' && at <= RUNNING) state.uniqueKeys.add(mixText(uniqueKey, fn.id), seq);
  const label = page.more[row * M_FIELDS + M_LABEL]!;
  if (label !== 0 && state.labels.get(label) === null) {
    throw new MalformedBytesError(`job ${seq} has label ${label}, which is not there`);
  }
  state.labels.hold(label);
}

/** To be called in ascending order. */
function listJob(state: State, seq: number): void {
  const page = state.jobs.pageOf(seq);
  const row = page.row(seq);
  const fn = functionOf(state, page, row);
  const at = stateOf(page, row);
  if (at === SCHEDULED) {
    state.jobs.push(fn.scheduled, seq, page, row);
  } else if (at === QUEUED) {
    state.jobs.push(fn.waiting[priorityOf(page, row)], seq, page, row);
  } else {
    state.jobs.push(endedList(state, page, row), seq, page, row);
    state.jobs.push(fn.endedList(at), seq, page, row);
  }
  setTimer(state, seq, page, row);
}

/** To be called in ascending order of tokens. */
function holdJob(state: State, seq: number): void {
  const page = state.jobs.pageOf(seq);
  const row = page.row(seq);
  const token = page.more[row * M_FIELDS + M_TOKEN]!;
  const session = state.sessions.get(page.more[row * M_FIELDS + M_SESSION]!);
  if (session === null) throw new MalformedBytesError(`job ${seq} runs in a session that is not there`);
  state.jobs.push(session.held, seq, page, row);
  if (isReserved(page, row)) rank(functionOf(state, page, row).reserved, seq, page, row);
  state.tokens.add(token, seq);
  if ((page.u[row * U_FIELDS + U_FLAGS]! & FLAG_ACKED) === 0) {
    state.acks.push(token, page.more[row * M_FIELDS + M_STARTED_US]!);
  }
  setTimer(state, seq, page, row);
}
