/** client.schedules: what goes out, what comes back, and what a wrong clock changes. */
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { JobView, Priority } from '../../../proto/gen/gearmesh/v1/common.js';
import { Disposition } from '../../../proto/gen/gearmesh/v1/job.js';
import {
  type CreateScheduleRequest,
  type CreateScheduleResponse,
  type DeleteScheduleRequest,
  type GetScheduleRequest,
  type ListSchedulesRequest,
  Schedule,
} from '../../../proto/gen/gearmesh/v1/schedule.js';
import { Client } from '../../../src/client/index.js';
import { FakeNode, noLeader, refusal } from './fake-server.js';

let a: FakeNode;
let b: FakeNode;
let client: Client;
let asked: CreateScheduleRequest[];

beforeEach(async () => {
  [a, b] = await Promise.all([FakeNode.start(), FakeNode.start()]);
  client = new Client({ endpoints: `${a.address}, ${b.address}`, order: 'listed', namespace: 'team' });
  asked = [];
});

afterEach(async () => {
  a.kill();
  b.kill();
  await client.close();
});

const ULID = /^[0-9A-HJKMNP-TV-Z]{26}$/;
const made = (request: CreateScheduleRequest): CreateScheduleResponse => {
  asked.push(request);
  return {
    scheduleId: request.scheduleId || 'of the server',
    disposition: Disposition.CREATED,
    gearmanHandle: 'H:test:1',
    revision: 'r',
  };
};

test('create says calendar and job in numbers or words', async () => {
  a.unary.set('createSchedule', made);
  const options = { uniqueKey: 'daily', priority: 'low', runTimeoutMs: 1_500 } as const;
  const result = await client.schedules.create({ minute: 30, hour: '6' }, 'report', { of: 'today' }, options);
  expect(asked[0]).toMatchObject({
    namespace: 'team',
    scheduleId: expect.stringMatching(ULID),
    calendar: { minute: '30', hour: '6', dayOfMonth: '', month: '', dayOfWeek: '' },
    job: {
      id: '',
      function: 'report',
      contentType: 'application/json',
      uniqueKey: 'daily',
      priority: Priority.LOW,
      runTimeout: { seconds: 1, nanos: 500e6 },
    },
  });
  expect(String(asked[0]!.job!.payload)).toBe('{"of":"today"}');
  expect(result).toEqual({
    scheduleId: asked[0]!.scheduleId,
    disposition: 'created',
    gearmanHandle: 'H:test:1',
    revision: 'r',
  });
});

test('create is said again elsewhere under the same id', async () => {
  a.unary.set('createSchedule', (request: CreateScheduleRequest) => {
    asked.push(request);
    throw noLeader();
  });
  b.unary.set('createSchedule', made);
  await client.schedules.create({}, 'f');
  expect(asked).toHaveLength(2);
  expect(asked[1]).toEqual(asked[0]);
});

test.each(['ID_IN_FUTURE', 'ID_TOO_OLD'])(
  'create with a clock that is wrong (%s): the server chooses',
  async (why) => {
    a.unary.set('createSchedule', (request: CreateScheduleRequest) => {
      if (request.scheduleId === '') return made(request);
      throw refusal(status.FAILED_PRECONDITION, why, { metadata: { outcome: 'UNKNOWN' } });
    });
    expect((await client.schedules.create({}, 'f')).scheduleId).toBe('of the server');
    const id = '01ARZ3NDEKTSV4RRFFQ69G5FAV';
    await expect(client.schedules.create({}, 'f', '', { id })).rejects.toMatchObject({ reason: why });
  },
);

test('create tells which field is wrong, and what cannot be encoded', async () => {
  a.unary.set('createSchedule', () => {
    throw refusal(status.INVALID_ARGUMENT, 'INVALID_FIELD', {
      fields: { 'calendar.hour': 'must be from 0 to 23' },
    });
  });
  await expect(client.schedules.create({ hour: 24 }, 'f')).rejects.toMatchObject({
    reason: 'INVALID_FIELD',
    violations: [{ field: 'calendar.hour' }],
  });
  const priority = 'highest' as 'high';
  await expect(client.schedules.create({}, 'f', 'x', { priority })).rejects.toMatchObject({
    reason: 'INVALID_FIELD',
  });
});

const schedule = (more: Partial<Schedule> = {}): Schedule =>
  Schedule.fromPartial({
    id: 's',
    namespace: 'team',
    calendar: { minute: '1', hour: '*', dayOfMonth: '*', month: '*', dayOfWeek: '0' },
    job: { function: 'f', priority: Priority.HIGH, payload: Buffer.from('p'), retry: { maxAttempts: 2 } },
    payloadSize: 1,
    nextAt: { seconds: 60, nanos: 0 },
    fired: 3,
    skipped: 1,
    skippedBy: 'limits.jobs-max',
    ...more,
  });

test('get shows a schedule in words instead of numbers', async () => {
  const requests: GetScheduleRequest[] = [];
  a.unary.set('getSchedule', (request: GetScheduleRequest) => {
    requests.push(request);
    return schedule();
  });
  const found = await client.schedules.get('s', { view: 'full', consistency: 'eventual' });
  expect(requests[0]).toMatchObject({
    namespace: 'team',
    scheduleId: 's',
    view: JobView.FULL,
    consistency: 2,
  });
  expect(found).toMatchObject({
    id: 's',
    function: 'f',
    calendar: { minute: '1', dayOfWeek: '0' },
    priority: 'high',
    retry: { maxAttempts: 2 },
    nextAt: new Date(60_000),
    lastAt: undefined,
    runTimeoutMs: undefined,
    fired: 3,
    skipped: 1,
    skippedBy: 'limits.jobs-max',
  });
  // Whatever a later server leaves out.
  a.unary.set('getSchedule', () => Schedule.create());
  expect(await client.schedules.get('s')).toMatchObject({
    function: '',
    calendar: { minute: '' },
    retry: undefined,
  });
});

test('list goes through the pages as the iteration goes on', async () => {
  a.unary.set('listSchedules', ({ pageToken, allNamespaces, namespace, pageSize }: ListSchedulesRequest) => {
    expect([allNamespaces, namespace, pageSize]).toEqual([true, '', 7]);
    if (pageToken === '') return { schedules: [schedule({ id: '1' })], nextPageToken: 't' };
    return { schedules: [schedule({ id: '2' })], nextPageToken: '' };
  });
  const ids: string[] = [];
  for await (const one of client.schedules.list({ allNamespaces: true, pageSize: 7 })) ids.push(one.id);
  expect(ids).toEqual(['1', '2']);
  const first = client.schedules.list({ allNamespaces: true, pageSize: 7 });
  await first.next();
  await first.return();
  expect(a.calls).toHaveLength(3);
});

test('delete', async () => {
  a.unary.set('deleteSchedule', (request: DeleteScheduleRequest) => {
    expect(request).toEqual({ namespace: 'team', scheduleId: 's' });
    return { revision: 'r' };
  });
  expect(await client.schedules.delete('s')).toEqual({ revision: 'r' });
});
