import { ulidFromBytes } from '../base/ulid.js';
import { readResult, readSubmission } from './blobs.js';
import { ALIAS } from './dedupe.js';
import { type FunctionState, TOTAL } from './functions.js';
import type { JobPage as JobListing, JobQuery } from './interface.js';
import {
  F_CREATED_US,
  F_CREATED_WALL,
  F_FIELDS,
  F_REVISION,
  FLAG_FOREGROUND,
  JOBS_PER_PAGE,
  M_ATTEMPT,
  M_DATA_COUNT,
  M_DUE_US,
  M_DUE2,
  M_FIELDS,
  M_FINISHED_WALL,
  M_LABEL,
  M_RUN_TIMEOUT,
  M_SESSION,
  M_STARTED_US,
  M_STARTED_WALL,
  M_TOKEN,
  RUNNING,
  SCHEDULED,
  SUCCEEDED,
  U_FIELDS,
  U_FLAGS,
  U_ID,
} from './jobs/fields.js';
import { cancelled } from './jobs/leases.js';
import { dueOf, functionOf, ownRetention, priorityOf, queuedWall, stateOf } from './jobs/lifecycle.js';
import type { JobPage } from './jobs/page.js';
import { ownRetry } from './jobs/retry-policy.js';
import { waiting } from './jobs/waiters.js';
import type { Session } from './sessions.js';
import type { State } from './state.js';
import {
  type AssignedJob,
  type Attempt,
  JOB_STATES,
  type JobState,
  type JobView,
  type QueueView,
  type RetryPolicy,
  type SessionView,
} from './types.js';

const NOTHING = new Uint8Array(0);
const idBytes = Buffer.alloc(16);
const NO_PROGRESS: JobView['progress'] = { numerator: 0, denominator: 0, message: '' };

export function jobView(state: State, seq: number): JobView | null {
  const told = assignedJob(state, seq);
  if (told === null) return null;
  const page = state.jobs.pageOf(seq);
  const row = page.row(seq);
  const { more } = page;
  const m = row * M_FIELDS;
  const extras = page.extrasOf(row);
  const result = page.blob(row, 1);
  const outcome = readResult(result === 0 ? NOTHING : state.payloads.get(result));
  return {
    ...told,
    foreground: (page.u[row * U_FIELDS + U_FLAGS]! & FLAG_FOREGROUND) !== 0,
    waiters: waiting(extras),
    retry: retryOf(state, ownRetry(page, row)),
    startDeadlineWall: extras?.startDeadlineWall ?? 0,
    retentionMs: ownRetention(page, row),
    attempts: attemptsOf(state, page, row),
    session: more[m + M_SESSION]!,
    dueWall: dueWall(state, page, row),
    startedUs: more[m + M_STARTED_US]!,
    finishedWall: more[m + M_FINISHED_WALL]!,
    progress:
      extras === null
        ? NO_PROGRESS
        : { numerator: extras.numerator, denominator: extras.denominator, message: extras.message },
    cancelRequested: cancelled(page, row),
    cancelReason: extras?.cancelReason ?? '',
    result: outcome.result,
    resultBlob: extras?.resultBlob ?? null,
    resultContentType: outcome.contentType,
    error: extras?.error ?? null,
    dataCount: more[m + M_DATA_COUNT]!,
  };
}

/** What a worker is told of a job that is assigned to it: a part of `jobView`, made once for each attempt. */
export function assignedJob(state: State, seq: number): AssignedJob | null {
  const page = state.jobs.page(seq);
  const row = page === null ? -1 : page.row(seq);
  if (page === null || row < 0) return null;
  const words = row * U_FIELDS;
  const f = row * F_FIELDS;
  const m = row * M_FIELDS;
  const { more } = page;
  const fn = functionOf(state, page, row);
  const extras = page.extrasOf(row);
  const payload = page.blob(row, 0);
  const submission = readSubmission(payload === 0 ? NOTHING : state.payloads.get(payload));
  return {
    seq,
    id: ulidOf((word) => page.u[words + U_ID + word]!),
    namespace: fn.namespace,
    function: fn.name,
    state: JOB_STATES[stateOf(page, row)]!,
    priority: priorityOf(page, row),
    payload: submission.payload,
    payloadBlob: extras?.payloadBlob ?? null,
    contentType: submission.contentType,
    metadata: submission.metadata,
    traceparent: submission.traceparent,
    uniqueKey: extras?.uniqueKey ?? '',
    maxAttempts: ownRetry(page, row)?.maxAttempts || state.settings.maxAttempts,
    runTimeoutMs: more[m + M_RUN_TIMEOUT]!,
    attempt: more[m + M_ATTEMPT]!,
    token: more[m + M_TOKEN]!,
    createdWall: page.f[f + F_CREATED_WALL]!,
    createdUs: page.f[f + F_CREATED_US]!,
    startedWall: more[m + M_STARTED_WALL]!,
    revision: page.f[f + F_REVISION]!,
  };
}

/** A ULID from its four little-endian words. */
export function ulidOf(word: (at: number) => number): string {
  for (let i = 0; i < 4; i++) idBytes.writeUInt32LE(word(i), i * 4);
  return ulidFromBytes(idBytes);
}

function retryOf(state: State, own: RetryPolicy | null): RetryPolicy {
  const { settings } = state;
  const source = own ?? settings;
  return {
    maxAttempts: source.maxAttempts || settings.maxAttempts,
    initialBackoffMs: source.initialBackoffMs,
    maxBackoffMs: source.maxBackoffMs,
    multiplierPermille: source.multiplierPermille,
    jitterPermille: source.jitterPermille,
  };
}

function attemptsOf(state: State, page: JobPage, row: number): readonly Attempt[] {
  const history = page.extrasOf(row)?.history ?? [];
  const at = stateOf(page, row);
  if (at !== RUNNING && at !== SUCCEEDED) return history.slice();
  const label = state.labels.get(page.more[row * M_FIELDS + M_LABEL]!);
  const last = {
    number: page.more[row * M_FIELDS + M_ATTEMPT]!,
    worker: label?.worker ?? '',
    node: label?.node ?? '',
    startedWall: page.more[row * M_FIELDS + M_STARTED_WALL]!,
    endedWall: at === RUNNING ? 0 : page.more[row * M_FIELDS + M_FINISHED_WALL]!,
    error: null,
  };
  return [...history, last];
}

/** Scheduled: when it is queued. Running: when its run timeout or its lease ends, 0 never. By the wall clock. */
function dueWall(state: State, page: JobPage, row: number): number {
  const at = stateOf(page, row);
  if (at !== RUNNING && at !== SCHEDULED) return 0;
  if (at === SCHEDULED && page.more[row * M_FIELDS + M_DUE_US] === 0)
    return page.more[row * M_FIELDS + M_DUE2]!;
  const due = dueOf(page, row);
  return due === 0 ? 0 : Math.floor(state.wall + (due - state.elapsedUs) / 1000);
}

export function jobState(state: State, seq: number): JobState | null {
  const page = state.jobs.page(seq);
  const row = page === null ? -1 : page.row(seq);
  return page === null || row < 0 ? null : JOB_STATES[stateOf(page, row)]!;
}

/**
 * Of a running job: µs from its coming into the queue to its start, of a reserved one until now. By the finer clock where it came there at once,
 * else by the one that runs while nobody leads.
 */
export function waitedUs(state: State, seq: number): number {
  const page = state.jobs.pageOf(seq);
  const row = page.row(seq);
  const at = row * F_FIELDS;
  const started = row * M_FIELDS;
  const queued = queuedWall(page, row);
  const begun = stateOf(page, row) === RUNNING;
  const us =
    queued === page.f[at + F_CREATED_WALL]!
      ? (begun ? page.more[started + M_STARTED_US]! : state.elapsedUs) - page.f[at + F_CREATED_US]!
      : ((begun ? page.more[started + M_STARTED_WALL]! : state.wall) - queued) * 1000;
  return Math.max(0, us);
}

/** Of a running job: wall ms at which its lease ends by its duration; 0 for one that lives by its session. */
export function leaseEndWall(state: State, seq: number): number {
  const page = state.jobs.pageOf(seq);
  const due = page.more[page.row(seq) * M_FIELDS + M_DUE2]!;
  return due === 0 ? 0 : Math.floor(state.wall + (due - state.elapsedUs) / 1000);
}

export function endedView(
  state: State,
  seq: number,
): { readonly id: string; readonly state: JobState; readonly revision: number } | null {
  const tomb = state.dedupe.findSeq(seq);
  if (tomb === null || tomb.state === ALIAS) return null;
  return { id: ulidOf((word) => tomb.id(word)), state: JOB_STATES[tomb.state]!, revision: tomb.revision };
}

export function listJobs(state: State, query: JobQuery): JobListing {
  const jobs: JobView[] = [];
  let mask = 0;
  for (const wanted of query.states) mask |= 1 << JOB_STATES.indexOf(wanted);
  let budget = query.budget;
  let after = query.after;
  for (;;) {
    const page = state.jobs.peekFrom(Math.floor((after + 1) / JOBS_PER_PAGE));
    if (page === null) return { jobs, next: 0 };
    // Who asks for other states need not see what is on disk.
    if (page.spilledTo !== null && mask !== 0 && (mask & page.statesOnDisk) === 0) {
      after = page.first + JOBS_PER_PAGE - 1;
      budget -= page.count;
      if (budget <= 0) return { jobs, next: after };
      continue;
    }
    state.jobs.inMemory(page);
    for (let seq = Math.max(after + 1, page.first); seq < page.first + JOBS_PER_PAGE; seq++) {
      after = seq;
      const row = page.row(seq);
      if (row < 0) continue;
      if (matches(state, query, mask, page, row)) jobs.push(jobView(state, seq)!);
      if (--budget <= 0 || jobs.length >= query.pageSize) return { jobs, next: after };
    }
  }
}

function matches(state: State, query: JobQuery, mask: number, page: JobPage, row: number): boolean {
  if (mask !== 0 && (mask & (1 << stateOf(page, row))) === 0) return false;
  const fn = functionOf(state, page, row);
  if (fn.namespace !== query.namespace || fn.dropped) return false;
  if (query.function !== '' && fn.name !== query.function) return false;
  return query.uniqueKey === '' || page.extrasOf(row)?.uniqueKey === query.uniqueKey;
}

export function queueView(state: State, fn: FunctionState): QueueView {
  let oldest = 0;
  for (const priority of [0, 1, 2] as const) {
    for (const [place, seq] of [fn.head(priority, state.jobs), fn.reserved.first(priority)].entries()) {
      if (seq === 0) continue;
      const since = waitingSince(state, fn, (priority * 2 + place) * 2, seq);
      if (oldest === 0 || since < oldest) oldest = since;
    }
  }
  let workers = 0;
  let credits = 0;
  for (const { cls } of fn.classes) {
    workers += cls.workers;
    credits += cls.credits;
  }
  const { totals, counts } = fn;
  return {
    namespace: fn.namespace,
    function: fn.name,
    waiting: [fn.queuedCount(0), fn.queuedCount(1), fn.queuedCount(2)],
    scheduled: counts[0]!,
    running: counts[2]!,
    succeeded: counts[3]!,
    failed: counts[4]!,
    cancelled: counts[5]!,
    expired: counts[6]!,
    oldestWaitingWall: oldest,
    workers,
    credits,
    paused: fn.paused,
    jobsMax: fn.jobsMax,
    totals: {
      submitted: totals[TOTAL.submitted]!,
      coalesced: totals[TOTAL.coalesced]!,
      started: totals[TOTAL.started]!,
      succeeded: totals[TOTAL.succeeded]!,
      failedAttempts: totals[TOTAL.failedAttempts]!,
      failed: totals[TOTAL.failed]!,
      retried: totals[TOTAL.retried]!,
      cancelled: totals[TOTAL.cancelled]!,
      expired: totals[TOTAL.expired]!,
      leasesLost: totals[TOTAL.leasesLost]!,
    },
  };
}

/** A first job that stays on disk is not brought back each time that someone looks at the queues. */
function waitingSince(state: State, fn: FunctionState, at: number, seq: number): number {
  const { firstSeen } = fn;
  const isOnDisk = state.jobs.peek(Math.floor(seq / JOBS_PER_PAGE))?.spilledTo !== null;
  if (isOnDisk && firstSeen[at] === seq) return firstSeen[at + 1]!;
  const page = state.jobs.pageOf(seq);
  firstSeen[at] = seq;
  firstSeen[at + 1] = queuedWall(page, page.row(seq));
  return firstSeen[at + 1]!;
}

export function queueViews(state: State, namespace: string | null): QueueView[] {
  return state.functions
    .all()
    .filter((fn) => namespace === null || fn.namespace === namespace)
    .sort((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name))
    .map((fn) => queueView(state, fn));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function sessionView(session: Session): SessionView {
  return {
    id: session.id,
    epoch: session.epoch,
    namespace: session.namespace,
    name: session.name,
    incarnation: session.incarnation,
    node: session.node,
    state: session.incarnation === 0 ? 'detached' : 'attached',
    reserves: session.reserves,
    credit: session.available,
    held: session.held.size,
    functions: session.functions,
  };
}
