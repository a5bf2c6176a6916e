import type { ByteReader } from '../../base/bytes.js';
import { type Calendar, nextAt } from '../../base/calendar.js';
import { saysAnything } from '../blobs.js';
import { readCalendar, SPEC_FLAG } from '../codec.js';
import { ALIAS } from '../dedupe.js';
import { setScheduleTimer } from '../schedules/fire.js';
import type { Schedule } from '../schedules/table.js';
import type { JobId, State } from '../state.js';
import { mix32 } from '../tables/hash.js';
import { answer, refuse, refuseLimit } from './result.js';
import { SubmittedSpec } from './spec.js';
import { refusedId } from './submit.js';

const spec = new SubmittedSpec();
/** What became of it, as `CommandResult.value`. */
const CREATED = 0;
const SAME_ID = 1;
const COALESCED = 2;

/**
 * A new schedule, unless its id says that it is there already, or another one of its function has the same unique key:
 * a client that says it again with each of its starts has one schedule.
 */
export function scheduleCreate(state: State, reader: ByteReader): void {
  const namespace = reader.string();
  const name = reader.string();
  const calendar = readCalendar(reader);
  spec.read(reader);
  const digest = digestWith(spec.digest, calendar);
  if (known(state, digest)) return;
  const { settings } = state;
  const refusal = state.schedules.likeId(spec) === null ? refusedId(state, spec) : 'ID_REUSED';
  const next = nextAt(calendar, state.wall);
  // A blob belongs to one job, and a schedule has many.
  if (refusal !== null || next === 0 || spec.payloadBlob !== null) {
    refuse(state, refusal ?? 'INVALID_FIELD');
    return;
  }
  if (!state.dedupe.makeRoom(state.wall, settings, 1)) {
    refuseLimit(state, 'dedupeEntriesMax');
    return;
  }
  const holder = state.schedules.holder(namespace, name, spec.uniqueKey);
  if (holder !== null) {
    remember(state, spec, holder.seq, digest);
    answer(state, { value: COALESCED, seq: holder.seq });
  } else if (spec.payloadBytes > settings.payloadBytesMax) {
    refuseLimit(state, 'payloadBytesMax');
  } else if (state.schedules.size >= settings.schedulesMax) {
    refuseLimit(state, 'schedulesMax');
  } else {
    const schedule = create(state, namespace, name, calendar, next);
    answer(state, { value: CREATED, seq: schedule.seq });
  }
}

/** True when this id was seen before, and is answered. */
function known(state: State, digest: number): boolean {
  const schedule = state.schedules.byId(spec);
  if (schedule !== null) {
    if (digestWith(schedule.content.digest, schedule.content.calendar) === digest)
      answer(state, { value: SAME_ID, seq: schedule.seq });
    else refuse(state, 'ID_REUSED');
    return true;
  }
  // One that was coalesced or has been deleted since.
  const tomb = state.dedupe.findId(spec.a, spec.b, spec.c, spec.d);
  if (tomb === null) return false;
  const joined = state.schedules.get(tomb.seq) !== null;
  if (tomb.digest !== digest) refuse(state, 'ID_REUSED');
  else answer(state, { value: joined ? COALESCED : SAME_ID, seq: tomb.seq });
  return true;
}

/** Digest of a schedule from that of its jobs: another one than a job of the same id would have. */
export function digestWith(digest: number, calendar: Calendar): number {
  const { minutesLow, minutesHigh, hours, daysOfMonth, months, daysOfWeek } = calendar;
  let mixed = mix32(digest ^ 0x5ced);
  for (const set of [minutesLow, minutesHigh, hours, daysOfMonth, months, daysOfWeek]) {
    mixed = mix32(mixed ^ set) + 1;
  }
  return mixed >>> 0;
}

function create(state: State, namespace: string, name: string, calendar: Calendar, next: number): Schedule {
  const { a, b, c, d, seed, uniqueKey, retry, runTimeoutMs, retentionMs, blob } = spec;
  const schedule = state.schedules.create(
    {
      seq: ++state.lastJob,
      a,
      b,
      c,
      d,
      namespace,
      function: name,
      calendar,
      digest: spec.digest,
      seed,
      priority: spec.flags & SPEC_FLAG.priority,
      uniqueKey,
      retry,
      runTimeoutMs,
      retentionMs,
      createdWall: state.wall,
    },
    saysAnything(blob) ? blob : blob.subarray(0, 0),
  );
  schedule.nextWall = next;
  schedule.revision = state.index;
  setScheduleTimer(state, schedule);
  return schedule;
}

/** An id that stands for a schedule which has another id, or is gone. */
export function remember(state: State, id: JobId, seq: number, digest: number): void {
  const { a, b, c, d } = id;
  state.dedupe.add(state.wall, state.settings, a, b, c, d, seq, ALIAS, 0, state.index, digest, 0);
}
