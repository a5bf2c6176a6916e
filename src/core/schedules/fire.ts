import { lastAt, nextAt } from '../../base/calendar.js';
import { blobBodyLength } from '../blobs.js';
import { SubmittedSpec } from '../commands/spec.js';
import { carryOut, checkRoom, known, newVerdict } from '../commands/submit.js';
import type { State } from '../state.js';
import { mix32, mixNumber } from '../tables/hash.js';
import type { Schedule } from './table.js';

const job = new SubmittedSpec();
/** What goes out with nothing at all has this blob: a submission without meta and payload. */
const NOTHING = Buffer.alloc(4);
const time = Buffer.alloc(8);

/** Keys of schedules among the wall timers are negative, and ascend as their numbers do: the oldest is served first. */
const FIRST_KEY = -(2 ** 53);

/** Sets the timer of a schedule that has none. */
export function setScheduleTimer(state: State, schedule: Schedule): void {
  schedule.timer = state.wallTimers.add(schedule.nextWall, FIRST_KEY + schedule.seq);
}

/** The schedule that a negative key stands for. */
export function scheduleOfKey(state: State, key: number): Schedule {
  return state.schedules.get(key - FIRST_KEY)!;
}

/**
 * A schedule is due: it submits a job for the last of its minutes that has begun. Of several that passed while there
 * was no leader only that one counts. The minutes ascend, and the job's id follows from schedule and minute, so that
 * no minute ever has two jobs.
 */
export function fireSchedule(state: State, schedule: Schedule): void {
  const { content } = schedule;
  state.pages.touch(schedule.page);
  state.wallTimers.remove(schedule.timer);
  const minute = lastAt(content.calendar, state.wall);
  schedule.lastWall = minute;
  schedule.nextWall = nextAt(content.calendar, state.wall);
  schedule.revision = state.index;
  setScheduleTimer(state, schedule);
  fill(state, schedule, minute);
  const verdict = newVerdict();
  let fn = state.functions.find(content.namespace, content.function);
  if (!known(state, job, verdict)) checkRoom(state, content.namespace, content.function, fn, job, verdict);
  // Only an id that a client chose for a job of its own can be known here.
  else verdict.refusal = 'ID_REUSED';
  if (verdict.refusal !== null) {
    schedule.skipped++;
    schedule.skippedBy = verdict.limit === '' ? verdict.refusal : verdict.limit;
    state.firingsSkipped++;
    return;
  }
  if (verdict.disposition === 'coalesced') {
    schedule.coalesced++;
    state.firingsCoalesced++;
  } else {
    schedule.fired++;
    state.firingsCreated++;
  }
  fn ??= state.functions.create(content.namespace, content.function);
  // No batch is being applied: nobody waits for an answer.
  state.wants = false;
  carryOut(state, fn, job, verdict);
}

/** The submission that a schedule makes for a minute: its id has the minute's time, and the rest of the schedule's. */
function fill(state: State, schedule: Schedule, minute: number): void {
  const { content, payload } = schedule;
  time.writeUIntBE(minute, 0, 6);
  job.a = time.readUInt32LE(0);
  job.b = (time.readUInt16LE(4) | (content.b & 0xffff0000)) >>> 0;
  job.c = content.c;
  job.d = content.d;
  job.digest = content.digest;
  job.seed = mix32(content.seed ^ mixNumber(minute));
  job.flags = content.priority;
  job.uniqueKey = content.uniqueKey;
  job.retry = content.retry;
  job.runAtWall = 0;
  job.delayMs = 0;
  job.runTimeoutMs = content.runTimeoutMs;
  job.startDeadlineWall = 0;
  job.retentionMs = content.retentionMs;
  job.blob = payload === null ? NOTHING : state.payloads.get(payload.handle);
  job.payloadBytes = blobBodyLength(job.blob);
}
