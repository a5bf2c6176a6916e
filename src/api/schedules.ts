import { JobView as ViewKind } from '../../proto/gen/gearmesh/v1/common.js';
import type { JobSpec as ProtoSpec } from '../../proto/gen/gearmesh/v1/job.js';
import {
  type CreateScheduleRequest,
  type CreateScheduleResponse,
  type DeleteScheduleRequest,
  type DeleteScheduleResponse,
  type GetScheduleRequest,
  type ListSchedulesRequest,
  type ListSchedulesResponse,
  type Calendar as ProtoCalendar,
  Schedule,
  type ScheduleServiceService,
} from '../../proto/gen/gearmesh/v1/schedule.js';
import { type Calendar, type CalendarFields, parseCalendar, showCalendar } from '../base/calendar.js';
import { gearmanHandle } from '../base/gearman-handle.js';
import { type Limit, limitName } from '../core/limits.js';
import type { JobSpec, ScheduleView } from '../core/types.js';
import type { Call } from './call.js';
import { DISPOSITIONS, PRIORITIES, toMetadata, toRetry } from './convert.js';
import type { Deps } from './deps.js';
import { viewOf } from './jobs.js';
import { SCHEDULES_PAGE_DEFAULT, SCHEDULES_PAGE_MAX } from './limits.js';
import { namespaceOrAll } from './queues.js';
import { readOptions } from './read.js';
import { parsePageToken, toPageToken, toRevision } from './revision.js';
import type { Verbs } from './table.js';
import { toDuration, toDurationIfSet, toTimestamp, toTimestampIfSet } from './time.js';
import { Checker } from './validate.js';
import { jobSpec } from './validate-job.js';
import { payloadTooLarge } from './validate-payload.js';

export const scheduleVerbs: Verbs<typeof ScheduleServiceService> = {
  createSchedule,
  getSchedule,
  listSchedules,
  deleteSchedule,
};

const NOTHING = new Uint8Array(0);
const FIELD_NAMES: { readonly [field in keyof CalendarFields]: string } = {
  minute: 'minute',
  hour: 'hour',
  dayOfMonth: 'day_of_month',
  month: 'month',
  dayOfWeek: 'day_of_week',
};
const EVERY_MINUTE: ProtoCalendar = { minute: '', hour: '', dayOfMonth: '', month: '', dayOfWeek: '' };
/** What each job has of its own. */
const OF_EACH_JOB = [
  ['run_at', 'runAt'],
  ['delay', 'delay'],
  ['start_deadline', 'startDeadline'],
  ['payload_blob', 'payloadBlob'],
] as const;

async function createSchedule(
  deps: Deps,
  request: CreateScheduleRequest,
  call: Call,
): Promise<CreateScheduleResponse> {
  const { api } = deps;
  const checker = new Checker();
  const namespace = checker.namespace('namespace', request.namespace);
  if (request.scheduleId !== '') checker.jobId('schedule_id', request.scheduleId);
  checker.within('calendar');
  const calendar = calendarOf(checker, request.calendar ?? EVERY_MINUTE);
  checker.within('');
  const job = template(checker, deps, request.job);
  checker.done();
  const tooLarge = payloadTooLarge('job.payload', job!.payload.length, api.settings());
  if (tooLarge !== null) throw tooLarge;
  const id = request.scheduleId === '' ? job!.id : request.scheduleId;
  const spec = { job: { ...job!, id }, calendar: calendar! };
  const result = await api.createSchedule(namespace, spec, { signal: call.signal });
  return {
    scheduleId: result.id,
    disposition: DISPOSITIONS[result.disposition],
    gearmanHandle: gearmanHandle(api.clusterName, result.seq),
    revision: toRevision(result.revision),
  };
}

function calendarOf(checker: Checker, fields: ProtoCalendar): Calendar | null {
  return parseCalendar(fields, (field, why) => checker.add(FIELD_NAMES[field], why));
}

/** The submission that every job is made of; null after a violation. */
function template(checker: Checker, deps: Deps, job: ProtoSpec | undefined): JobSpec | null {
  if (job === undefined) {
    checker.add('job', 'is required');
    return null;
  }
  checker.within('job');
  if (job.id !== '') checker.add('id', 'must be empty: each job has an id of its own');
  for (const [field, key] of OF_EACH_JOB) {
    if (job[key] !== undefined) checker.add(field, 'cannot be set for the jobs of a schedule');
  }
  const spec = jobSpec(checker, deps.api, deps.api.settings(), { ...job, id: '' }, false);
  checker.within('');
  return spec;
}

async function getSchedule(deps: Deps, request: GetScheduleRequest, call: Call): Promise<Schedule> {
  const checker = new Checker();
  const namespace = checker.namespace('namespace', request.namespace);
  const id = checker.jobId('schedule_id', request.scheduleId);
  const view = viewOf(checker, request.view);
  const read = readOptions(checker, request, call);
  checker.done();
  return toSchedule(await deps.api.getSchedule(namespace, id, read), view, deps.api.clusterName);
}

async function listSchedules(
  deps: Deps,
  request: ListSchedulesRequest,
  call: Call,
): Promise<ListSchedulesResponse> {
  const checker = new Checker();
  const namespace = namespaceOrAll(checker, request);
  const view = viewOf(checker, request.view);
  const read = readOptions(checker, request, call);
  const pageSize =
    checker.count('page_size', request.pageSize, 0, SCHEDULES_PAGE_MAX) || SCHEDULES_PAGE_DEFAULT;
  const query = ['schedules', namespace];
  const position = parsePageToken(query, request.pageToken);
  const after = Number(position ?? 0);
  if (position === null || !Number.isSafeInteger(after)) {
    checker.add('page_token', 'belongs to another query, or never came from a server');
  }
  checker.done();

  const page = await deps.api.listSchedules(
    { namespace, pageSize, after, budget: deps.limits.listBudget },
    read,
  );
  const schedules: Schedule[] = [];
  let { next } = page;
  let bytes = 0;
  for (const [i, found] of page.schedules.entries()) {
    const schedule = toSchedule(found, view, deps.api.clusterName);
    bytes += Schedule.encode(schedule).finish().length;
    if (i > 0 && bytes > deps.limits.pageBytes) {
      next = page.schedules[i - 1]!.seq;
      break;
    }
    schedules.push(schedule);
  }
  return { schedules, nextPageToken: toPageToken(query, next === 0 ? '' : String(next)) };
}

async function deleteSchedule(
  deps: Deps,
  request: DeleteScheduleRequest,
  call: Call,
): Promise<DeleteScheduleResponse> {
  const checker = new Checker();
  const namespace = checker.namespace('namespace', request.namespace);
  const id = checker.jobId('schedule_id', request.scheduleId);
  checker.done();
  const { revision } = await deps.api.deleteSchedule(namespace, id, { signal: call.signal });
  return { revision: toRevision(revision) };
}

function toSchedule(schedule: ScheduleView, view: ViewKind, cluster: string): Schedule {
  return {
    id: schedule.id,
    namespace: schedule.namespace,
    calendar: showCalendar(schedule.calendar),
    job: {
      id: '',
      function: schedule.function,
      payload: view === ViewKind.FULL ? schedule.payload : NOTHING,
      payloadBlob: undefined,
      contentType: schedule.contentType,
      metadata: toMetadata(schedule.metadata),
      priority: PRIORITIES[schedule.priority],
      runAt: undefined,
      delay: undefined,
      uniqueKey: schedule.uniqueKey,
      retry: schedule.retry === null ? undefined : toRetry(schedule.retry),
      runTimeout: toDurationIfSet(schedule.runTimeoutMs),
      startDeadline: undefined,
      resultRetention: schedule.retentionMs < 0 ? undefined : toDuration(schedule.retentionMs),
      traceparent: schedule.traceparent,
    },
    payloadSize: schedule.payload.length,
    createdAt: toTimestamp(schedule.createdWall),
    nextAt: toTimestamp(schedule.nextWall),
    lastAt: toTimestampIfSet(schedule.lastWall),
    fired: schedule.fired,
    coalesced: schedule.coalesced,
    skipped: schedule.skipped,
    skippedBy: reasonOf(schedule.skippedBy),
    gearmanHandle: gearmanHandle(cluster, schedule.seq),
    revision: toRevision(schedule.revision),
  };
}

/** The name of a limit, or a refusal as the table of errors has it. */
function reasonOf(skippedBy: string): string {
  return /^[a-z]/.test(skippedBy) ? limitName(skippedBy as Limit) : skippedBy;
}
