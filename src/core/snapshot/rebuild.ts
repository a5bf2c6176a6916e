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
import type { JobPage } from '../jobs/page.js';
import { isReserved, rank } from '../jobs/reserved.js';
import { joinClass, raise, updateAvailability } from '../matching/match.js';
import { setScheduleTimer } from '../schedules/fire.js';
import type { Session } from '../sessions.js';
import type { State } from '../state.js';
import { mixId, mixText } from '../tables/hash.js';
import type { PriorityRank } from '../types.js';
import { BlobCheck } from './blob-check.js';

/** Jobs out of their pages, and a number of each by which they are to be put in order. */
class Gathered {
  readonly #seqs: number[] = [];
  readonly #keys: number[] = [];
  #places: Uint32Array = new Uint32Array(0);
  #next = 0;

  add(seq: number, key: number): void {
    this.#seqs.push(seq);
    this.#keys.push(key);
  }

  sort(): void {
    this.#places = ascending(this.#keys);
  }

  /** Takes those whose number is below this, in their order. */
  *below(key: number): Iterable<number> {
    for (; this.#next < this.#places.length; this.#next++) {
      const at = this.#places[this.#next]!;
      if (this.#keys[at]! >= key) return;
      yield this.#seqs[at]!;
    }
  }
}

/**
 * Makes everything that derives from the records: indexes, lists, timers, counts, classes. Compares blobs with their
 * digests. Throws MalformedBytesError. In steps of a page or so.
 *
 * Most pages of a long queue are in order as they are: they are gone through once, each in memory for a moment only. The
 * jobs of the others are put in order first, and join the lists in between.
 */
export function* rebuild(state: State): Iterable<void> {
  const { jobs, relief } = state;
  for (const session of state.sessions.all()) joinSession(state, session);
  for (const schedule of state.schedules.all()) setScheduleTimer(state, schedule);
  const check = new BlobCheck(state);
  const orderly: JobPage[] = [];
  const waiting = new Gathered();
  const running = new Gathered();
  let last = 0;
  for (let page = jobs.peekFrom(0); page !== null; page = jobs.peekFrom(page.number + 1)) {
    if (page.firstOrder > last) {
      last = page.lastOrder;
      orderly.push(page);
    } else {
      const isSpilled = page.spilledTo !== null;
      gather(state, jobs.inMemory(page), waiting, running);
      check.page(page);
      if (isSpilled) jobs.putAway(page);
      yield;
    }
  }
  waiting.sort();
  for (const page of orderly) {
    check.page(jobs.inMemory(page));
    for (let place = 0; place < JOBS_PER_PAGE; place++) {
      // Making room for others may have taken it out of memory.
      const row = jobs.inMemory(page).rows[place]!;
      if (row < 0) continue;
      const seq = page.first + place;
      indexJob(state, seq);
      for (const before of waiting.below(page.f[row * F_FIELDS + F_ORDER]!)) {
        listJob(state, before);
        if (relief.isTight) yield makeRoom(state);
      }
      listJob(state, seq);
    }
    if (relief.isTight) jobs.putAway(page);
    yield makeRoom(state);
  }
  for (const seq of waiting.below(Number.POSITIVE_INFINITY)) {
    listJob(state, seq);
    if (relief.isTight) yield makeRoom(state);
  }
  running.sort();
  for (const seq of running.below(Number.POSITIVE_INFINITY)) {
    holdJob(state, seq);
    if (relief.isTight) yield makeRoom(state);
  }
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

/** Whatever came into memory for its links may go again at once. */
function makeRoom({ relief }: State): void {
  while (relief.relieve(true));
}

/** Indexes the jobs of a page whose order is not known. */
function gather(state: State, page: JobPage, waiting: Gathered, running: Gathered): void {
  for (let place = 0; place < JOBS_PER_PAGE; place++) {
    const row = page.rows[place]!;
    if (row < 0) continue;
    const seq = page.first + place;
    indexJob(state, seq);
    if (stateOf(page, row) === RUNNING || isReserved(page, row)) {
      running.add(seq, page.more[row * M_FIELDS + M_TOKEN]!);
    } else {
      waiting.add(seq, page.f[row * F_FIELDS + F_ORDER]!);
    }
  }
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
