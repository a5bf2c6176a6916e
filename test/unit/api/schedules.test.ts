import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { JobView, Priority } from '../../../proto/gen/gearmesh/v1/common.js';
import { Disposition, JobSpec } from '../../../proto/gen/gearmesh/v1/job.js';
import {
  Calendar,
  CreateScheduleRequest,
  GetScheduleRequest,
  ListSchedulesRequest,
  ScheduleServiceService,
} from '../../../proto/gen/gearmesh/v1/schedule.js';
import { toRevision } from '../../../src/api/revision.js';
import { showCalendar } from '../../../src/base/calendar.js';
import { GearmeshError } from '../../../src/core/errors.js';
import { JOB_ID, OTHER_ID, scheduleView } from './fake-node.js';
import { type Bundle, refusal, startBundle, unary } from './harness.js';

/** What ScheduleService asks of its node, what it answers, and which field it blames. */
let b: Bundle;
beforeAll(async () => {
  b = await startBundle();
});
afterAll(() => b.stop());

const seconds = (s: number, nanos = 0) => ({ seconds: s, nanos });
const { createSchedule, getSchedule, listSchedules, deleteSchedule } = ScheduleServiceService;

test('CreateSchedule hands every field on', async () => {
  const job = JobSpec.create({
    function: 'report',
    payload: Buffer.from('abc'),
    contentType: 'text/plain',
    metadata: { b: '2', a: '1' },
    priority: Priority.LOW,
    uniqueKey: 'daily',
    retry: { maxAttempts: 3 },
    runTimeout: seconds(5),
    resultRetention: seconds(0),
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  });
  const calendar = { minute: '30', hour: ' 6 ', dayOfMonth: '*', month: '', dayOfWeek: '4' };
  const made = await unary(b.schedule, createSchedule, {
    namespace: 'ns',
    scheduleId: JOB_ID,
    calendar,
    job,
  });
  expect(b.node.calls.at(-1)).toEqual(['createSchedule', 'ns', 'report']);
  const spec = b.node.scheduled.at(-1)!;
  expect(spec.job).toMatchObject({
    id: JOB_ID,
    function: 'report',
    contentType: 'text/plain',
    metadata: [
      ['a', '1'],
      ['b', '2'],
    ],
    priority: 2,
    uniqueKey: 'daily',
    runAtWall: 0,
    delayMs: 0,
    runTimeoutMs: 5_000,
    startDeadlineWall: 0,
    retentionMs: 0,
    foreground: false,
    seed: 5,
  });
  expect(spec.job.retry!.maxAttempts).toBe(3);
  expect(String(spec.job.payload)).toBe('abc');
  expect(showCalendar(spec.calendar)).toEqual({ ...calendar, hour: '6', month: '*' });
  expect(made).toEqual({
    scheduleId: JOB_ID,
    disposition: Disposition.CREATED,
    gearmanHandle: 'H:test:43',
    revision: toRevision(108),
  });
});

test('CreateSchedule without id or calendar: an id of the server, every minute', async () => {
  b.node.scheduleAnswer = async () => ({ id: JOB_ID, seq: 7, disposition: 'coalesced', revision: 9 });
  const request = CreateScheduleRequest.create({ job: JobSpec.create({ function: 'f' }) });
  const made = await unary(b.schedule, createSchedule, request);
  expect(b.node.calls.at(-1)).toEqual(['createSchedule', 'default', 'f']);
  const { job, calendar } = b.node.scheduled.at(-1)!;
  expect(job).toMatchObject({ id: OTHER_ID, retry: null, retentionMs: -1 });
  expect(Object.values(showCalendar(calendar))).toEqual(['*', '*', '*', '*', '*']);
  expect(made).toMatchObject({ scheduleId: JOB_ID, disposition: Disposition.COALESCED });
});

test.each([
  [
    { calendar: Calendar.create({ minute: '60', dayOfWeek: '-1' }) },
    ['calendar.minute', 'calendar.day_of_week'],
  ],
  [{ calendar: Calendar.create({ hour: '24', month: '0' }) }, ['calendar.hour', 'calendar.month']],
  [{ calendar: Calendar.create({ dayOfMonth: '31', month: '2' }) }, ['calendar.day_of_month']],
  [{ scheduleId: 'no ulid' }, ['schedule_id']],
  [{ namespace: 'a\nb' }, ['namespace']],
  [{ job: undefined }, ['job']],
  [{ job: JobSpec.create({ function: '' }) }, ['job.function']],
  [{ job: JobSpec.create({ function: 'f', id: JOB_ID }) }, ['job.id']],
  [
    { job: JobSpec.create({ function: 'f', runAt: seconds(1), startDeadline: seconds(1) }) },
    ['job.run_at', 'job.start_deadline'],
  ],
  [{ job: JobSpec.create({ function: 'f', delay: seconds(1) }) }, ['job.delay']],
])('CreateSchedule with %o is refused by the fields %j', async (wrong, fields) => {
  const request = CreateScheduleRequest.create({ job: JobSpec.create({ function: 'f' }), ...wrong });
  const before = b.node.scheduled.length;
  const told = await refusal(unary(b.schedule, createSchedule, { ...request, ...wrong }));
  expect(told).toMatchObject({ code: status.INVALID_ARGUMENT, reason: 'INVALID_FIELD', fields });
  expect(b.node.scheduled).toHaveLength(before);
});

test('CreateSchedule: refusals of the cluster, and a payload that is too large', async () => {
  const request = CreateScheduleRequest.create({ job: JobSpec.create({ function: 'f' }) });
  b.node.scheduleAnswer = async () => {
    throw new GearmeshError('LIMIT_REACHED', { metadata: { limit: 'limits.schedules-max', value: '1' } });
  };
  expect(await refusal(unary(b.schedule, createSchedule, request))).toMatchObject({
    code: status.RESOURCE_EXHAUSTED,
    reason: 'LIMIT_REACHED',
    metadata: { limit: 'limits.schedules-max' },
  });
  const payload = Buffer.alloc(b.node.settingsNow.payloadBytesMax + 1);
  const large = CreateScheduleRequest.create({ job: JobSpec.create({ function: 'f', payload }) });
  expect(await refusal(unary(b.schedule, createSchedule, large))).toMatchObject({
    reason: 'PAYLOAD_TOO_LARGE',
    fields: ['job.payload'],
  });
});

test('GetSchedule shows all there is, the payload in the full view alone', async () => {
  const request = GetScheduleRequest.create({ scheduleId: OTHER_ID, minRevision: toRevision(5) });
  const basic = await unary(b.schedule, getSchedule, request);
  expect(b.node.calls.at(-1)).toEqual(['getSchedule', 'default', OTHER_ID, 'linearizable', 5]);
  expect(basic).toMatchObject({
    id: OTHER_ID,
    namespace: 'default',
    calendar: { minute: '30', hour: '6', dayOfMonth: '1', month: '*', dayOfWeek: '*' },
    payloadSize: 7,
    createdAt: seconds(1_700_000_000, 123e6),
    nextAt: seconds(1_701_412_200),
    fired: 3,
    coalesced: 2,
    skipped: 1,
    skippedBy: 'limits.jobs-per-function-max',
    gearmanHandle: 'H:test:43',
    revision: toRevision(100),
  });
  expect(basic.lastAt).toBeUndefined();
  expect(basic.job).toMatchObject({
    id: '',
    function: 'resize',
    contentType: 'text/plain',
    metadata: { k: 'v' },
    priority: Priority.LOW,
    uniqueKey: 'u',
    runTimeout: seconds(1, 500e6),
  });
  expect([basic.job!.payload.length, basic.job!.retry, basic.job!.resultRetention]).toEqual([
    0,
    undefined,
    undefined,
  ]);
  const full = await unary(b.schedule, getSchedule, { ...request, view: JobView.FULL });
  expect(String(full.job!.payload)).toBe('payload');
  const wrong = GetScheduleRequest.create({ view: 9 as JobView, minRevision: '?' });
  expect((await refusal(unary(b.schedule, getSchedule, wrong))).fields).toEqual([
    'schedule_id',
    'view',
    'min_revision',
  ]);
});

test('ListSchedules goes on where the page ended, for the same query alone', async () => {
  b.node.nextSchedule = 43;
  const request = ListSchedulesRequest.create({ allNamespaces: true });
  const page = await unary(b.schedule, listSchedules, request);
  expect(page.schedules).toHaveLength(1);
  expect(b.node.calls.at(-1)![1]).toMatchObject({ namespace: null, pageSize: 100, after: 0 });
  await unary(b.schedule, listSchedules, { ...request, pageToken: page.nextPageToken });
  expect(b.node.calls.at(-1)![1]).toMatchObject({ after: 43 });
  const other = ListSchedulesRequest.create({ pageToken: page.nextPageToken, pageSize: 1_001 });
  expect((await refusal(unary(b.schedule, listSchedules, other))).fields).toEqual([
    'page_size',
    'page_token',
  ]);
  const both = ListSchedulesRequest.create({ allNamespaces: true, namespace: 'ns' });
  expect((await refusal(unary(b.schedule, listSchedules, both))).fields).toEqual(['namespace']);
  b.node.nextSchedule = 0;
  expect((await unary(b.schedule, listSchedules, request)).nextPageToken).toBe('');
  const payload = Buffer.alloc(200_000);
  b.node.schedules = Array.from({ length: 20 }, (_, i) => scheduleView({ seq: i + 1, payload }));
  const large = await unary(b.schedule, listSchedules, { ...request, view: JobView.FULL });
  expect(large.schedules).toHaveLength(5);
  await unary(b.schedule, listSchedules, { ...request, pageToken: large.nextPageToken });
  expect(b.node.calls.at(-1)![1]).toMatchObject({ after: 5 });
});

test('DeleteSchedule', async () => {
  const done = await unary(b.schedule, deleteSchedule, { namespace: 'ns', scheduleId: JOB_ID });
  expect(done.revision).toBe(toRevision(109));
  expect(b.node.calls.at(-1)).toEqual(['deleteSchedule', 'ns', JOB_ID]);
  const none = unary(b.schedule, deleteSchedule, { namespace: '', scheduleId: '' });
  expect((await refusal(none)).fields).toEqual(['schedule_id']);
});
