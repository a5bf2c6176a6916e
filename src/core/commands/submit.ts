import type { ByteReader } from '../../base/bytes.js';
import { blobLimit, blobRefusal, takeBlob } from '../blob-table.js';
import { saysAnything } from '../blobs.js';
import { SPEC_FLAG } from '../codec.js';
import { ALIAS, Dedupe } from '../dedupe.js';
import { type FunctionState, TOTAL } from '../functions.js';
import {
  EXPIRED,
  F_CREATED_US,
  F_CREATED_WALL,
  F_FIELDS,
  F_REVISION,
  FLAG_ENDLESS,
  FLAG_FOREGROUND,
  FLAG_PRIORITY_SHIFT,
  FLAG_RETENTION,
  M_DUE2,
  M_RETENTION,
  M_RUN_TIMEOUT,
  QUEUED,
  U_DIGEST,
  U_FIELDS,
  U_FLAGS,
  U_FUNCTION,
  U_ID,
  U_SEED,
} from '../jobs/fields.js';
import { count, endWaiting, extrasFor, queue, schedule } from '../jobs/lifecycle.js';
import { isEndless } from '../jobs/retry-policy.js';
import { count as countWaiters, submittedBy } from '../jobs/waiters.js';
import type { JobId, State } from '../state.js';
import { mixId, mixText } from '../tables/hash.js';
import type { Disposition, PriorityRank, Refusal, Settings } from '../types.js';
import { SubmittedSpec } from './spec.js';

/** How far an id's time may lie ahead of the leader's stamp, ms. */
const FUTURE_MS = 60_000;

const spec = new SubmittedSpec();

/** Jobs of one function, each on its own. */
export function submit(state: State, reader: ByteReader): void {
  const namespace = reader.string();
  const name = reader.string();
  let fn = state.functions.find(namespace, name);
  for (let left = reader.u32(); left > 0; left--) {
    spec.read(reader);
    const answer = verdict;
    if (!known(state, spec, answer)) {
      check(state, namespace, name, fn, spec, answer);
      if (answer.refusal === null) {
        fn ??= state.functions.create(namespace, name);
        carryOut(state, fn, spec, answer);
        continue;
      }
    } else if (answer.refusal === null) {
      submittedBy(state, answer.seq, submitterWaits(spec));
    }
    tell(state, answer);
  }
}

/** The limit that a queue has of its own, beside those of the settings. */
export const QUEUE_LIMIT = 'queueJobsMax';

/** What is to become of a submission. `seq`: of the job that exists already. */
export interface Verdict {
  disposition: Disposition;
  refusal: Refusal | null;
  limit: keyof Settings | typeof QUEUE_LIMIT | '';
  limitValue: number;
  seq: number;
}

const verdict: Verdict = { disposition: 'created', refusal: null, limit: '', limitValue: 0, seq: 0 };

export function newVerdict(): Verdict {
  return { ...verdict };
}

function say(into: Verdict, disposition: Disposition, seq: number, refusal: Refusal | null): true {
  into.disposition = disposition;
  into.seq = seq;
  into.refusal = refusal;
  into.limit = '';
  into.limitValue = 0;
  return true;
}

/** The submission is refused by this limit. */
export function full(into: Verdict, limit: Verdict['limit'], value: number): void {
  say(into, 'created', 0, 'LIMIT_REACHED');
  into.limit = limit;
  into.limitValue = value;
}

/** Answers the submission. */
export function tell(state: State, answer: Verdict): void {
  const position = state.position++;
  if (!state.wants) return;
  const { disposition, seq, refusal, limit, limitValue } = answer;
  state.effects.submitted(position, disposition, refusal === null ? seq : 0, refusal, limit, limitValue);
}

/** True when this id was seen before: the verdict says what it stands for. */
export function known(state: State, job: SubmittedSpec, into: Verdict): boolean {
  const seq = state.ids.find(mixId(job.a, job.b, job.c, job.d), job, state.idMatches);
  if (seq !== 0) {
    const page = state.jobs.pageOf(seq);
    const same = page.u[page.row(seq) * U_FIELDS + U_DIGEST] === job.digest;
    return say(into, 'same-id', seq, same ? null : 'ID_REUSED');
  }
  const tomb = state.dedupe.findId(job.a, job.b, job.c, job.d);
  if (tomb === null) return false;
  const disposition = tomb.state === ALIAS ? 'coalesced' : 'same-id';
  return say(into, disposition, tomb.seq, tomb.digest === job.digest ? null : 'ID_REUSED');
}

/** Whether a submission with a new id may be carried out: sets refusal, or the job that it joins. */
export function check(
  state: State,
  namespace: string,
  name: string,
  fn: FunctionState | null,
  job: SubmittedSpec,
  into: Verdict,
): void {
  const refusal = refusedId(state, job);
  if (refusal === null) checkRoom(state, namespace, name, fn, job, into);
  else say(into, 'created', 0, refusal);
}

/** Whether a new id may be taken: its time tells that it was not seen and forgotten. Null: it may. */
export function refusedId(state: State, id: JobId): Refusal | null {
  const time = Dedupe.time(id.a, id.b);
  if (time > state.wall + FUTURE_MS) return 'ID_IN_FUTURE';
  return time < state.dedupe.horizon(state.wall, state.settings) ? 'ID_TOO_OLD' : null;
}

/** Sets the limit that refuses a new job, or the job that it joins. */
export function checkRoom(
  state: State,
  namespace: string,
  name: string,
  fn: FunctionState | null,
  job: SubmittedSpec,
  into: Verdict,
): void {
  const { settings } = state;
  say(into, 'created', 0, null);
  if (job.payloadBytes > settings.payloadBytesMax) {
    full(into, 'payloadBytesMax', settings.payloadBytesMax);
  } else if (!state.dedupe.makeRoom(state.wall, settings, 1)) {
    full(into, 'dedupeEntriesMax', settings.dedupeEntriesMax);
  } else {
    const holder = fn === null ? 0 : uniqueHolder(state, fn, job.uniqueKey);
    if (holder !== 0) {
      say(into, 'coalesced', holder, null);
    } else if (fn === null && state.functions.find(namespace, name) === null && functionsFull(state, 0)) {
      full(into, 'functionsMax', settings.functionsMax);
    } else if (liveJobs(state) >= settings.jobsMax) {
      full(into, 'jobsMax', settings.jobsMax);
    } else if (fn !== null && fn.live >= settings.jobsPerFunctionMax) {
      full(into, 'jobsPerFunctionMax', settings.jobsPerFunctionMax);
    } else if (fn !== null && queueFull(fn, job, 0)) {
      full(into, QUEUE_LIMIT, jobsMaxFor(fn, job));
    } else if (job.payloadBlob !== null) {
      const limit = blobLimit(state, job.payloadBlob);
      if (limit !== null) full(into, limit, settings[limit]);
      else into.refusal = blobRefusal(state, job.payloadBlob);
    }
  }
}

/** Its submitter waits for the job that it is answered with. */
export function submitterWaits(job: SubmittedSpec): boolean {
  return (job.flags & SPEC_FLAG.waits) !== 0;
}

/** It is not to be started any more: it ends as it is created. */
export function isLate(state: State, { startDeadlineWall }: SubmittedSpec): boolean {
  return startDeadlineWall !== 0 && startDeadlineWall <= state.wall;
}

/** What the queue allows for a job of this priority; 0: any number. */
export function jobsMaxFor(fn: FunctionState, job: SubmittedSpec): number {
  return fn.jobsMax[(job.flags & SPEC_FLAG.priority) as PriorityRank];
}

/** All jobs of the function count against the limit of the submitted priority. `more`: those accepted beside them. */
export function queueFull(fn: FunctionState, job: SubmittedSpec, more: number): boolean {
  const limit = jobsMaxFor(fn, job);
  return limit !== 0 && fn.live + more >= limit;
}

export function functionsFull(state: State, more: number): boolean {
  return state.functions.size + more >= state.settings.functionsMax;
}

export function liveJobs(state: State): number {
  return state.byState[0]! + state.byState[1]! + state.byState[2]!;
}

/** Seq of the live job of this function with this key, 0: none. */
export function uniqueHolder(state: State, fn: FunctionState, uniqueKey: string): number {
  if (uniqueKey === '') return 0;
  return state.uniqueKeys.find(mixText(uniqueKey, fn.id), uniqueKey, (key, seq) => {
    const page = state.jobs.pageOf(seq);
    const row = page.row(seq);
    return page.u[row * U_FIELDS + U_FUNCTION] === fn.id && page.extrasOf(row)?.uniqueKey === key;
  });
}

/** Creates the job, or notes that its submission joined another. */
export function carryOut(state: State, fn: FunctionState, job: SubmittedSpec, answer: Verdict): void {
  if (answer.disposition === 'coalesced') {
    const { a, b, c, d, digest } = job;
    state.dedupe.add(state.wall, state.settings, a, b, c, d, answer.seq, ALIAS, 0, state.index, digest, 0);
    count(state, fn, TOTAL.coalesced);
    submittedBy(state, answer.seq, submitterWaits(job));
    tell(state, answer);
  } else {
    create(state, fn, job, answer);
  }
}

function create(state: State, fn: FunctionState, job: SubmittedSpec, answer: Verdict): void {
  const seq = ++state.lastJob;
  const page = state.jobs.add(seq);
  const row = page.row(seq);
  const words = row * U_FIELDS;
  page.u[words + U_ID] = job.a;
  page.u[words + U_ID + 1] = job.b;
  page.u[words + U_ID + 2] = job.c;
  page.u[words + U_ID + 3] = job.d;
  page.u[words + U_DIGEST] = job.digest;
  page.u[words + U_FUNCTION] = fn.id;
  page.u[words + U_SEED] = job.seed;
  const endless = isEndless(job.retry);
  page.u[words + U_FLAGS] =
    ((job.flags & SPEC_FLAG.priority) << FLAG_PRIORITY_SHIFT) |
    ((job.flags & SPEC_FLAG.foreground) !== 0 ? FLAG_FOREGROUND : 0) |
    (endless ? FLAG_ENDLESS : 0) |
    (job.retentionMs >= 0 ? FLAG_RETENTION : 0) |
    QUEUED;
  const numbers = row * F_FIELDS;
  page.f[numbers + F_CREATED_WALL] = state.wall;
  page.f[numbers + F_CREATED_US] = state.elapsedUs;
  page.setMore(row, M_RUN_TIMEOUT, job.runTimeoutMs);
  if (job.retentionMs > 0) page.setMore(row, M_RETENTION, job.retentionMs);
  if (saysAnything(job.blob)) {
    state.jobs.setBlob(seq, page, row, 0, state.payloads.put(job.blob), job.blob.length);
  }
  const { payloadBlob } = job;
  if (
    job.uniqueKey !== '' ||
    (job.retry !== null && !endless) ||
    job.startDeadlineWall !== 0 ||
    payloadBlob !== null ||
    submitterWaits(job)
  ) {
    const extras = extrasFor(page, row);
    if (submitterWaits(job)) {
      extras.droppable = true;
      countWaiters(state, extras, 1);
    }
    extras.uniqueKey = job.uniqueKey;
    extras.retry = endless ? null : job.retry;
    extras.startDeadlineWall = job.startDeadlineWall;
    if (payloadBlob !== null) extras.payloadBlob = takeBlob(state, payloadBlob);
    if (job.uniqueKey !== '') state.uniqueKeys.add(mixText(job.uniqueKey, fn.id), seq);
  }
  state.ids.add(mixId(job.a, job.b, job.c, job.d), seq);
  fn.counts[QUEUED] = fn.counts[QUEUED]! + 1;
  state.byState[QUEUED] = state.byState[QUEUED]! + 1;
  count(state, fn, TOTAL.submitted);
  page.f[numbers + F_REVISION] = state.index;
  const due = job.delayMs > 0 ? state.wall + job.delayMs : job.runAtWall;
  const late = isLate(state, job);
  const waits = due > state.wall || late;
  if (waits) {
    page.setMore(row, M_DUE2, due);
    schedule(state, fn, seq, page, row);
  }
  answer.seq = seq;
  tell(state, answer);
  state.effects.job(seq, 'accepted');
  if (late) endWaiting(state, seq, EXPIRED, '');
  else if (!waits) queue(state, fn, seq, page, row);
}
