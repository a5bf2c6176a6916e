import type { FunctionState } from '../functions.js';
import { assign } from '../jobs/leases.js';
import { unqueue } from '../jobs/lifecycle.js';
import type { JobPage } from '../jobs/page.js';
import type { Session } from '../sessions.js';
import type { State } from '../state.js';
import { addSweep, SWEEP } from '../sweeps.js';
import type { FunctionSpec, PriorityRank } from '../types.js';
import { SessionClass } from './class.js';

/** Gives a job that is in no list to the session that waited longest for one of its function. False: none waits. */
export function offer(state: State, fn: FunctionState, seq: number, page: JobPage, row: number): boolean {
  const session = waitingSession(fn);
  if (session === null) return false;
  assign(state, session, fn, seq, page, row);
  if (session.isLease) stop(state, session);
  return true;
}

function waitingSession(fn: FunctionState): Session | null {
  let found: Session | null = null;
  for (const place of fn.classes) {
    const session = place.cls.head;
    if (session === null || (found !== null && session.stamp > found.stamp)) continue;
    if (!place.cls.blocked(place.local)) found = session;
  }
  return found;
}

/** The function has a waiting job, or a better one than before: its classes must know. */
export function raise(fn: FunctionState, priority: PriorityRank, order: number): void {
  for (const place of fn.classes) place.cls.raise(place.local, priority, order);
}

/** The session may be able to take more: looked at once the command under way is through. */
export function matchLater(state: State, session: Session): void {
  if (session.waitsForMatch) return;
  session.waitsForMatch = true;
  state.toMatch.push(session);
}

/** Gives waiting jobs to all sessions for which `matchLater` was called. */
export function matchAll(state: State): void {
  for (let i = 0; i < state.toMatch.length; i++) {
    const session = state.toMatch[i]!;
    session.waitsForMatch = false;
    if (!session.removed) matchSession(state, session);
    session.begins = false;
  }
  state.toMatch.length = 0;
}

/** Highest priority first, then oldest. What this entry may not do any more goes on as a sweep. */
export function matchSession(state: State, session: Session): void {
  while (session.available > 0) {
    const fn = session.cls.bestFunction(state.jobs);
    if (fn === null) break;
    if (state.matches <= 0) {
      addSweep(state, SWEEP.matchSession, session.id, 0);
      break;
    }
    state.matches--;
    assignHead(state, session, fn);
  }
  if (session.isLease && session.assigned > 0) stop(state, session);
}

/** Gives the function's waiting jobs to sessions, after it was paused. */
export function matchFunction(state: State, fn: FunctionState): void {
  while (fn.best() >= 0) {
    const session = waitingSession(fn);
    if (session === null) return;
    if (state.matches <= 0) {
      addSweep(state, SWEEP.matchFunction, fn.id, 0);
      return;
    }
    state.matches--;
    assignHead(state, session, fn);
    if (session.isLease) matchSession(state, session);
  }
}

function assignHead(state: State, session: Session, fn: FunctionState): void {
  const seq = fn.head(fn.best() as PriorityRank, state.jobs);
  const page = state.jobs.pageOf(seq);
  const row = page.row(seq);
  state.pages.touch(page);
  unqueue(state, fn, page, row);
  assign(state, session, fn, seq, page, row);
}

/** A long poll takes no more jobs. */
export function stop(state: State, session: Session): void {
  if (session.stopped) return;
  state.pages.touch(session.page);
  session.stopped = true;
  updateAvailability(state, session);
}

/**
 * To be called after anything changed that `Session.available` depends on: puts the session into the queue of its
 * class or takes it out. The session's page has been touched.
 */
export function updateAvailability(state: State, session: Session): void {
  const { cls } = session;
  const { available } = session;
  const worker = session.incarnation !== 0 && !session.closing && !session.stopped ? 1 : 0;
  cls.credits += available - session.shownCredit;
  cls.workers += worker - session.shownWorker;
  session.shownCredit = available;
  session.shownWorker = worker;
  if (available > 0) {
    if (session.listed) return;
    session.stamp = ++state.lastStamp;
    cls.push(session);
  } else if (session.listed) {
    cls.unlink(session);
  }
}

/** After an assignment: to the end of the queue, or out of it. */
export function rotate(state: State, session: Session): void {
  if (session.listed) session.cls.unlink(session);
  updateAvailability(state, session);
}

/** A refused set of functions: which limit it breaks. */
interface FunctionsRefusal {
  readonly limit: 'functionsPerSessionMax' | 'functionsMax';
}

/** Checks that these functions may be a session's. */
export function checkFunctions(
  state: State,
  namespace: string,
  specs: readonly FunctionSpec[],
): FunctionsRefusal | null {
  if (specs.length > state.settings.functionsPerSessionMax) return { limit: 'functionsPerSessionMax' };
  const fresh = new Set<string>();
  for (const spec of specs) {
    if (state.functions.find(namespace, spec.name) === null) fresh.add(spec.name);
  }
  return state.functions.size + fresh.size > state.settings.functionsMax ? { limit: 'functionsMax' } : null;
}

/** Puts the session into the class of these functions, which have been checked. Its page has been touched. */
export function joinClass(state: State, session: Session, specs: readonly FunctionSpec[]): void {
  session.functions = specs;
  const byId = new Map<number, { readonly fn: FunctionState; readonly spec: FunctionSpec }>();
  for (const spec of specs) {
    const { namespace } = session;
    const fn = state.functions.find(namespace, spec.name) ?? state.functions.create(namespace, spec.name);
    byId.set(fn.id, { fn, spec });
  }
  const members = Array.from(byId.values()).sort((a, b) => a.fn.id - b.fn.id);
  const limited = members.some(({ spec }) => spec.concurrency > 0);
  const timed = members.some(({ spec }) => spec.runTimeoutMs > 0);
  let key = members.map(({ fn, spec }) => (timed ? `${fn.id}:${spec.runTimeoutMs}` : fn.id)).join();
  if (limited) key += `/${session.id}/${session.epoch}`;
  key = `${session.namespace}\u0000${key}`;
  let cls = state.classes.get(key);
  if (cls === undefined) {
    cls = new SessionClass(
      key,
      members.map(({ fn }) => fn),
      limited ? Uint32Array.from(members, ({ spec }) => spec.concurrency) : null,
      timed ? Float64Array.from(members, ({ spec }) => spec.runTimeoutMs) : null,
    );
    state.classes.set(key, cls);
    for (let local = 0; local < cls.functions.length; local++) {
      const fn = cls.functions[local]!;
      fn.classes.push({ cls, local });
      const best = fn.best();
      if (best >= 0) cls.raise(local, best, fn.headOrder(best as PriorityRank, state.jobs));
    }
  }
  cls.references++;
  session.cls = cls;
}

export function leaveClass(state: State, session: Session): void {
  const { cls } = session;
  if (session.listed) cls.unlink(session);
  cls.credits -= session.shownCredit;
  cls.workers -= session.shownWorker;
  session.shownCredit = 0;
  session.shownWorker = 0;
  if (--cls.references > 0) return;
  state.classes.delete(cls.key);
  for (const fn of cls.functions) {
    const at = fn.classes.findIndex((place) => place.cls === cls);
    fn.classes[at] = fn.classes[fn.classes.length - 1]!;
    fn.classes.pop();
  }
}
