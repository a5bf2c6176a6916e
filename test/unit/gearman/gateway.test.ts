import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { showCalendar } from '../../../src/base/calendar.js';
import { gearmanHandle, seqOfHandle } from '../../../src/base/gearman-handle.js';
import { GearmeshError } from '../../../src/core/errors.js';
import type { SessionView } from '../../../src/core/types.js';
import { createGearmanServer, type GearmanServer } from '../../../src/gearman/index.js';
import { packet, REQUEST_MAGIC, TYPE } from '../../../src/gearman/packets.js';
import type { SubmitResult } from '../../../src/node/interface.js';
import { argsOf, RawGearman } from '../../support/gearman.js';
import { assignment, FakeNode, type FakeSession, JOB_ID, jobView, reservation } from '../api/fake-node.js';
import { HandClock } from '../api/hand-clock.js';

/**
 * Goal: what the gateway asks of its node, and when: one credit that stands, jobs that are kept for a moment, answers in
 * order, limits. The node is a fake, so that each answer comes when the test says so.
 */
const HANDLE = 'H:test:42';
const silent = { info: () => {}, warn: () => {}, error: () => {} };

let server: GearmanServer | undefined;
let opened: RawGearman[] = [];

afterEach(async () => {
  for (const one of opened) one.end();
  opened = [];
  await server?.close();
});

async function bed(options: Partial<Parameters<typeof createGearmanServer>[0]> = {}) {
  const node = new FakeNode();
  const clock = new HandClock();
  const counted: string[] = [];
  server = createGearmanServer({
    api: node,
    clock,
    log: silent,
    host: '127.0.0.1',
    port: 0,
    metrics: {
      gearmanPacket: (type) => counted.push(type),
      gearmanError: (code) => counted.push(`error ${code}`),
    },
    ...options,
  });
  await server.listen();
  const open = async (): Promise<RawGearman> => {
    const raw = await RawGearman.open(`127.0.0.1:${server!.port}`);
    opened.push(raw);
    return raw;
  };
  return { node, clock, counted, open };
}

/** A worker whose session is open, and which waits for a job. */
async function sleeper(from: Awaited<ReturnType<typeof bed>>) {
  const raw = (await from.open()).send('CAN_DO', 'resize');
  await from.node.until(() => from.node.sessions.length === 1);
  await raw.send('GRAB_JOB').expect('NO_JOB');
  raw.send('PRE_SLEEP');
  expect(await raw.before()).toEqual([]);
  const session = from.node.sessions[0]! as FakeSession;
  return { raw, session, port: from.node.ports[0]! };
}

function created(seq: number): SubmitResult {
  return { jobId: 'x', seq, disposition: 'created', state: 'queued', revision: 1, error: null };
}

describe('handles', () => {
  it('name the cluster and the job, and no other', () => {
    expect(seqOfHandle('test', gearmanHandle('test', 42))).toBe(42);
    for (const wrong of ['H:test:042', 'H:test:', 'H:test:-1', 'H:other:42', 'test:42', 'H:test:1e3', '']) {
      expect(seqOfHandle('test', wrong), wrong).toBe(0);
    }
    const long = 'n'.repeat(63);
    const handle = gearmanHandle(long, Number.MAX_SAFE_INTEGER);
    expect(handle).toHaveLength(63);
    expect(seqOfHandle(long, handle)).toBe(Number.MAX_SAFE_INTEGER);
  });
});

describe('a client', () => {
  it('gets its answers in the order of its requests, whichever is there first', async () => {
    const { node, open } = await bed();
    const answers: ((results: SubmitResult[]) => void)[] = [];
    node.submitAnswer = () => new Promise((resolve) => answers.push(resolve));
    const raw = await open();
    raw.send('SUBMIT_JOB_BG', 'a', '', '1');
    await node.until(() => answers.length === 1);
    raw.send('SUBMIT_JOB_BG', 'a', '', '2').send('ECHO_REQ', 'three');
    await node.until(() => answers.length === 2);
    answers[1]!([created(2)]);
    answers[0]!([created(1)]);
    expect(await raw.expect('JOB_CREATED')).toBe('H:test:1');
    expect(await raw.expect('JOB_CREATED')).toBe('H:test:2');
    expect(await raw.expect('ECHO_RES')).toBe('three');
  });

  it('submits in one call what came in one piece', async () => {
    const { node, open } = await bed();
    const raw = await open();
    raw.socket.cork();
    for (let i = 0; i < 5; i++) raw.send('SUBMIT_JOB_BG', 'a', '', String(i));
    raw.socket.uncork();
    for (let i = 0; i < 5; i++) await raw.expect('JOB_CREATED');
    expect(node.submitted.flat()).toHaveLength(5);
    expect(node.submitted).toHaveLength(1);
  });

  it('is told after a while that there is no leader', async () => {
    const { node, clock, counted, open } = await bed();
    node.submit = (_namespace, _specs, options) => {
      node.note('submitting');
      const { signal } = options as { signal?: AbortSignal };
      return new Promise((_, reject) => {
        signal!.addEventListener('abort', () => reject(new GearmeshError('NO_LEADER')));
      });
    };
    const raw = (await open()).send('SUBMIT_JOB', 'a', '', 'x');
    await node.until(() => node.calls.length === 1);
    clock.advance(9_999);
    clock.advance(1);
    expect(await raw.expect('ERROR')).toMatch(/^NO_LEADER\0/);
    expect(counted).toEqual(['SUBMIT_JOB', 'error NO_LEADER']);
  });

  it('follows its job from JOB_CREATED to the end, and no longer', async () => {
    const { node, open } = await bed();
    const raw = await open();
    expect(await raw.submit('SUBMIT_JOB', 'a', '', 'x')).toBe(HANDLE);
    await node.until(() => node.watchers.length === 1);
    const [watcher] = node.watchers;
    watcher!.progress(1, 2, '');
    watcher!.data(1, 0, [Buffer.from('d1'), Buffer.from('d2')]);
    watcher!.progress(1, 2, 'careful');
    watcher!.state('ended', jobView({ state: 'succeeded', result: Buffer.from('r') }));
    const came = (await raw.before()).map(({ name, body }) => `${name} ${body}`);
    expect(came).toEqual([
      `WORK_STATUS ${HANDLE}\x001\x002`,
      `WORK_DATA ${HANDLE}\0d1`,
      `WORK_DATA ${HANDLE}\0d2`,
      `WORK_WARNING ${HANDLE}\0careful`,
      `WORK_COMPLETE ${HANDLE}\0r`,
    ]);
    await node.until(() => node.watchesClosed === 1);
  });

  it('that leaves ends its watches', async () => {
    const { node, open } = await bed();
    const raw = await open();
    await raw.submit('SUBMIT_JOB', 'a', '', 'x');
    await node.until(() => node.watchers.length === 1);
    raw.end();
    await node.until(() => node.watchesClosed === 1);
    expect(node.left).toEqual([42]);
  });

  it('rule: waiters - that is gone before its submission is answered, or whose job has ended, waits no longer', async () => {
    const { node, open } = await bed();
    const answers: ((results: SubmitResult[]) => void)[] = [];
    node.submitAnswer = () => new Promise((resolve) => answers.push(resolve));
    const gone = await open();
    gone.send('SUBMIT_JOB', 'a', '', 'x');
    await node.until(() => answers.length === 1);
    expect(node.submitted[0]![0]).toMatchObject({ foreground: true, waits: true });
    gone.socket.resetAndDestroy();
    while (server!.connections > 0) await new Promise(setImmediate);
    const stays = await open();
    stays.send('SUBMIT_JOB', 'a', '', 'x').send('SUBMIT_JOB_BG', 'a', '', 'x');
    await node.until(() => node.submitted.flat().length === 3);
    expect(node.submitted.flat()[2]).toMatchObject({ foreground: false, waits: false });
    answers[0]!([created(7)]);
    await node.until(() => node.left.length === 1);
    expect(node.left).toEqual([7]);
    if (answers.length === 2) answers[1]!([created(8), created(9)]);
    else for (const [i, seq] of [8, 9].entries()) answers[i + 1]!([created(seq)]);
    await node.until(() => node.watchers.length === 1);
    node.watchers[0]!.state('ended', jobView({ state: 'succeeded' }));
    expect(node.left).toEqual([7, 8]);
    stays.end();
    await node.until(() => node.watchesClosed === 1);
    expect(node.left).toEqual([7, 8]);
  });

  it('that follows and does not read is closed; others are not', async () => {
    const { node, open } = await bed({ limits: { outBytesMax: 4 << 20 } });
    const [slow, other] = [await open(), await open()];
    await slow.submit('SUBMIT_JOB', 'a', '', 'x');
    await node.until(() => node.watchers.length === 1);
    slow.socket.pause();
    const chunk = Buffer.alloc(1 << 20);
    for (let i = 0; i < 64 && node.watchesClosed === 0; i++) {
      node.watchers[0]!.data(1, i, [chunk]);
      await other.before();
    }
    expect(node.watchesClosed).toBe(1);
  });

  it('that was closed and keeps its own side open is gone after a while, whatever is answered yet', async () => {
    const { node, clock, open } = await bed({ limits: { outBytesMax: 4 << 20 } });
    const other = await open();
    const socket = connect({ port: server!.port, host: '127.0.0.1', allowHalfOpen: true });
    socket.write(packet(REQUEST_MAGIC, TYPE.SUBMIT_JOB, ['a', '', 'x']));
    await node.until(() => node.watchers.length === 1);
    let answer!: () => void;
    node.submitAnswer = () => new Promise((resolve) => (answer = () => resolve([created(2)])));
    socket.write(packet(REQUEST_MAGIC, TYPE.SUBMIT_JOB_BG, ['a', '', 'y']));
    await node.until(() => node.submitted.length === 2);
    const chunk = Buffer.alloc(1 << 20);
    for (let i = 0; i < 64 && node.watchesClosed === 0; i++) {
      node.watchers[0]!.data(1, i, [chunk]);
      await other.before();
    }
    socket.resume();
    await once(socket, 'end');
    answer();
    await other.before();
    await clock.walk(60_000, 30_000);
    await other.before();
    const { connections } = server!;
    socket.destroy();
    expect(connections).toBe(1);
  });

  it('is not read any more while too many of its requests wait', async () => {
    const { node, open } = await bed({ limits: { answersWaitingMax: 10 } });
    const answers: (() => void)[] = [];
    node.submitAnswer = (specs) =>
      new Promise((resolve) => answers.push(() => resolve(specs.map((_, i) => created(i + 1)))));
    const raw = await open();
    let sent = 0;
    for (let round = 0; round < 50; round++) {
      raw.send('SUBMIT_JOB_BG', 'a', '', Buffer.alloc(100_000));
      sent++;
      await new Promise(setImmediate);
    }
    await node.until(() => node.submitted.flat().length > 10);
    expect(node.submitted.flat().length).toBeLessThan(sent);
    const answered = (async () => {
      for (let i = 0; i < sent; i++) await raw.expect('JOB_CREATED');
    })();
    while (node.submitted.flat().length < sent || answers.length > 0) {
      answers.shift()?.();
      await new Promise(setImmediate);
    }
    await answered;
  });
});

describe('SUBMIT_JOB_SCHED', () => {
  const fields = (...more: string[]): string[] => ['report', 'daily', ...more, 'payload'];
  const sched = async (raw: RawGearman, ...more: string[]): Promise<string> => {
    const came = await raw.send('SUBMIT_JOB_SCHED', ...fields(...more)).next();
    return `${came.name} ${came.body}`;
  };

  it('makes a schedule of an ordinary background job, and answers with its handle', async () => {
    const { node, open } = await bed({ jobRetries: 2 });
    const raw = await open();
    expect(await sched(raw, '30', '6', '', '*', '0')).toBe('JOB_CREATED H:test:43');
    const { job, calendar } = node.scheduled[0]!;
    expect(showCalendar(calendar)).toEqual({
      minute: '30',
      hour: '6',
      dayOfMonth: '*',
      month: '*',
      dayOfWeek: '0',
    });
    expect(job).toMatchObject({
      function: 'report',
      uniqueKey: 'daily',
      priority: 1,
      foreground: false,
      retentionMs: -1,
      retry: { maxAttempts: 3, initialBackoffMs: 0 },
    });
    expect(String(job.payload)).toBe('payload');
    expect(node.submitted).toEqual([]);
  });

  it('is answered in its turn among other submissions', async () => {
    const { node, open } = await bed();
    const answers: (() => void)[] = [];
    node.scheduleAnswer = ({ job }) =>
      new Promise((resolve) => {
        answers.push(() => resolve({ id: job.id, seq: 9, disposition: 'created', revision: 1 }));
        node.note();
      });
    const raw = (await open()).send('SUBMIT_JOB_SCHED', ...fields('*', '*', '*', '*', '*'));
    raw.send('SUBMIT_JOB_BG', 'a', '', 'x').send('ECHO_REQ', 'three');
    await node.until(() => answers.length === 1 && node.submitted.length === 1);
    answers[0]!();
    expect(await raw.expect('JOB_CREATED')).toBe('H:test:9');
    expect(await raw.expect('JOB_CREATED')).toBe(HANDLE);
    expect(await raw.expect('ECHO_RES')).toBe('three');
  });

  it('names the fields that are wrong', async () => {
    const { node, counted, open } = await bed();
    const raw = await open();
    for (const [more, text] of [
      [['60', '', '', '', ''], 'the minute must be a whole number from 0 to 59, or * for any'],
      [['', 'x', '', '', ''], 'the hour must be a whole number from 0 to 23, or * for any'],
      [['', '', '0', '', ''], 'the day of month must be a whole number from 1 to 31, or * for any'],
      [['', '', '', '13', ''], 'the month must be a whole number from 1 to 12, or * for any'],
      [['', '', '', '', '7'], 'the day of week must be a whole number from 0 to 6, or * for any'],
      [['', '', '31', '2', ''], 'the day of month never comes in this month'],
      [
        ['60', '24', '', '', ''],
        'the minute must be a whole number from 0 to 59, or * for any; ' +
          'the hour must be a whole number from 0 to 23, or * for any',
      ],
    ] as const) {
      expect(await sched(raw, ...more)).toBe(`ERROR INVALID_ARGUMENT\0${text}`);
    }
    expect(counted.filter((one) => one === 'error INVALID_ARGUMENT')).toHaveLength(7);
    raw.send('SUBMIT_JOB_SCHED', 'report', 'daily', '1', '2');
    expect(await raw.expect('ERROR')).toMatch(/^INVALID_PACKET\0/);
    raw.send('SUBMIT_JOB_SCHED', 'report', 'u'.repeat(65), '', '', '', '', '', 'x');
    expect(await raw.expect('ERROR')).toMatch(/^ARGUMENT_TOO_LARGE\0the unique id/);
    raw.send('SUBMIT_JOB_SCHED', '', '', '', '', '', '', '', 'x');
    expect(await raw.expect('ERROR')).toMatch(/^INVALID_ARGUMENT\0the function's name/);
    expect(node.scheduled).toEqual([]);
  });

  it('keeps bytes of any kind as payload, NUL included', async () => {
    const { node, open } = await bed();
    const raw = await open();
    const payload = Buffer.from([0, 1, 0, 255]);
    raw.send('SUBMIT_JOB_SCHED', 'report', '-', '', '', '', '', '', payload);
    await raw.expect('JOB_CREATED');
    expect(Buffer.from(node.scheduled[0]!.job.payload)).toEqual(payload);
    expect(node.scheduled[0]!.job.uniqueKey).toMatch(/^-[0-9a-f]{64}$/);
  });

  it('is told what the cluster refuses, and that there is no leader', async () => {
    const { node, clock, open } = await bed();
    node.scheduleAnswer = async () => {
      throw new GearmeshError('LIMIT_REACHED', { message: 'the limit limits.schedules-max = 1 is reached' });
    };
    const raw = await open();
    expect(await sched(raw, '', '', '', '', '')).toMatch(/^ERROR QUEUE_ERROR\0.*schedules-max/);
    node.createSchedule = (_namespace, _spec, call?: { signal?: AbortSignal }) => {
      node.note('waiting');
      return new Promise((_, reject) => {
        call!.signal!.addEventListener('abort', () => reject(new GearmeshError('NO_LEADER')));
      });
    };
    raw.send('SUBMIT_JOB_SCHED', ...fields('', '', '', '', ''));
    await node.until(() => node.calls.at(-1)![0] === 'waiting');
    clock.advance(10_000);
    expect(await raw.expect('ERROR')).toMatch(/^NO_LEADER\0/);
  });

  it('GET_STATUS of its handle: known, and never running; cancel job ends it', async () => {
    const { node, open } = await bed();
    node.jobs = [];
    const raw = await open();
    const handle = 'H:test:43';
    expect(await raw.send('GET_STATUS', handle).expect('STATUS_RES')).toBe(`${handle}\x001\x000\x000\x000`);
    expect(await raw.text(`cancel job ${handle}`)).toBe('OK\r\n');
    expect(node.calls.at(-1)).toEqual(['deleteSchedule', 'default', JOB_ID]);
    node.schedules = [];
    expect(await raw.text(`cancel job ${handle}`)).toBe('ERR UNKNOWN_JOB\r\n');
    expect(await raw.send('GET_STATUS', handle).expect('STATUS_RES')).toBe(`${handle}\x000\x000\x000\x000`);
    // A job of that number comes first.
    node.jobs = [jobView({ state: 'queued' })];
    expect(await raw.text(`cancel job ${handle}`)).toBe('OK\r\n');
    expect(node.calls.at(-1)![0]).toBe('cancelJob');
  });
});

describe('a worker', () => {
  it('has one credit that stands: asking again needs no question to the cluster', async () => {
    const { node, open } = await bed();
    const raw = (await open()).send('SET_CLIENT_ID', 'me').send('CAN_DO', 'a').send('CAN_DO', 'b');
    await node.until(() => node.sessions.length === 1);
    const [session] = node.sessions as [FakeSession];
    for (let i = 0; i < 3; i++) await raw.send('GRAB_JOB').expect('NO_JOB');
    raw.send('PRE_SLEEP');
    await raw.before();
    expect(session.said).toEqual([['settle', [], 1, 'begins']]);
    const spec = (name: string) => ({ name, concurrency: 0, runTimeoutMs: 0 });
    expect(node.calls[0]).toEqual(['openSession', 'default', 'me', [spec('a'), spec('b')], false, 0]);
  });

  it('asks for its next job with the outcome of the last', async () => {
    const all = await bed();
    const { raw, session, port } = await sleeper(all);
    port.assigned([reservation(11, 'first')]);
    await raw.expect('NOOP');
    expect(argsOf(await raw.send('GRAB_JOB').next(), 3)).toEqual([HANDLE, 'resize', 'first']);
    raw.send('WORK_DATA', HANDLE, 'd').send('WORK_COMPLETE', HANDLE, 'r');
    await raw.before();
    expect(session.said).toEqual([
      ['settle', [], 1, 'begins'],
      ['start', 11],
      ['data', 11, 0, ['d']],
      ['settle', ['complete 11'], 2],
    ]);
    // It is there before the worker asks.
    port.assigned([reservation(12, 'second')]);
    expect(argsOf(await raw.send('GRAB_JOB').next(), 3)[2]).toBe('second');
    expect(session.said.slice(4)).toEqual([['start', 12]]);
  });

  it('that asks right behind an outcome waits for it: with its answer comes the next job, or that there is none', async () => {
    const all = await bed();
    const { raw, session, port } = await sleeper(all);
    port.assigned([reservation(11, 'first')]);
    await raw.expect('NOOP');
    await raw.send('GRAB_JOB').expect('JOB_ASSIGN');
    const settled: (() => void)[] = [];
    session.answer = (outcomes) =>
      new Promise((resolve) => {
        settled.push(() => resolve(outcomes.map(({ token }) => ({ token, revision: 200, error: null }))));
      });
    raw.together(['WORK_COMPLETE', HANDLE, 'r'], ['GRAB_JOB']);
    await all.node.until(() => settled.length === 1);
    settled.shift()!();
    // As it waits, it begins this one with its assignment.
    port.assigned([assignment(12, 'second')]);
    expect(argsOf(await raw.next(), 3)[2]).toBe('second');
    raw.together(['WORK_COMPLETE', HANDLE, 'r'], ['GRAB_JOB'], ['GRAB_JOB']);
    await all.node.until(() => settled.length === 1);
    settled.shift()!();
    await raw.expect('NO_JOB');
    await raw.expect('NO_JOB');
    expect(session.said.slice(1)).toEqual([
      ['start', 11],
      ['settle', ['complete 11'], 2, 'begins'],
      ['ack', [12]],
      ['settle', ['complete 12'], 3, 'begins'],
    ]);
  });

  it('gets its answer in time even when the cluster does not', async () => {
    const { node, clock, open } = await bed();
    const raw = (await open()).send('CAN_DO', 'resize');
    await node.until(() => node.sessions.length === 1);
    const [session] = node.sessions as [FakeSession];
    session.answer = () => new Promise(() => {});
    raw.send('GRAB_JOB');
    await node.until(() => session.said.length === 1);
    await clock.walk(400, 400);
    await raw.expect('NO_JOB');
    raw.send('PRE_SLEEP');
    expect(await raw.before()).toEqual([]);
    node.ports[0]!.assigned([assignment(11)]);
    await raw.expect('NOOP');
  });

  it('that does not grab its job in time loses it, however often it says that it sleeps', async () => {
    const all = await bed();
    const { raw, session, port } = await sleeper(all);
    port.assigned([reservation(11)]);
    await raw.expect('NOOP');
    all.clock.advance(199);
    await raw.send('PRE_SLEEP').expect('NOOP');
    all.clock.advance(1);
    expect(session.said.at(-1)).toEqual(['settle', ['release 11'], 0]);
    await raw.send('GRAB_JOB').expect('NO_JOB');
    expect(session.said.at(-1)).toEqual(['settle', [], 2, 'begins']);
    raw.send('WORK_COMPLETE', HANDLE, 'r');
    expect(await raw.expect('ERROR')).toMatch(/^JOB_NOT_FOUND\0/);
  });

  it('that goes gives back what it was about to get, without an attempt, and then the rest', async () => {
    const all = await bed();
    const { raw, session, port } = await sleeper(all);
    port.assigned([reservation(11)]);
    await raw.expect('NOOP');
    raw.end();
    await all.node.until(() => session.said.at(-1)?.[0] === 'detach');
    expect(session.said.slice(1)).toEqual([['settle', ['release 11'], 0], ['detach']]);
  });

  it('that cannot do a function any more gives its kept job back', async () => {
    const all = await bed();
    const { raw, session, port } = await sleeper(all);
    port.assigned([reservation(11)]);
    await raw.expect('NOOP');
    raw.send('CANT_DO', 'resize');
    await raw.before();
    expect(session.said.slice(1)).toEqual([
      ['functions', []],
      ['settle', ['release 11'], 0],
    ]);
    await raw.send('GRAB_JOB').expect('NO_JOB');
  });

  it('whose lease is lost does not get the job, nor may it end it', async () => {
    const all = await bed();
    const { raw, port } = await sleeper(all);
    port.assigned([reservation(11)]);
    await raw.expect('NOOP');
    port.leasesLost([{ token: 11, reason: 'cancelled' }]);
    await raw.send('GRAB_JOB').expect('NO_JOB');
    raw.send('WORK_FAIL', HANDLE);
    expect(await raw.expect('ERROR')).toMatch(/^JOB_NOT_FOUND\0/);
  });

  it('is sent away when the node stops: at once without a job, else after its outcome', async () => {
    const all = await bed();
    const idle = await sleeper(all);
    const busy = (await all.open()).send('CAN_DO', 'resize').send('GRAB_JOB');
    await all.node.until(() => all.node.sessions.length === 2);
    await busy.expect('NO_JOB');
    const port = all.node.ports[1]!;
    port.assigned([reservation(12)]);
    expect((await busy.send('GRAB_JOB').next()).name).toBe('JOB_ASSIGN');
    server!.drain();
    for (const one of all.node.ports) one.drain('the node is stopping');
    await idle.raw.closed();
    await busy.send('GRAB_JOB').expect('NO_JOB');
    busy.send('WORK_COMPLETE', HANDLE, 'r');
    await busy.closed();
    expect(all.node.sessions[1]!.said.slice(-2)).toEqual([['settle', ['complete 12'], 0], ['detach']]);
  });

  it('that the cluster refuses is told why', async () => {
    const { node, open } = await bed();
    node.openAnswer = async () => {
      throw new GearmeshError('LIMIT_REACHED', { message: 'limits.sessions-max is reached' });
    };
    const raw = (await open()).send('CAN_DO', 'resize');
    expect(await raw.expect('ERROR')).toBe('QUEUE_ERROR\0limits.sessions-max is reached');
    await raw.closed();
  });
});

describe('an administrator', () => {
  it('stops the node, where that is allowed', async () => {
    let stopped = 0;
    const { open } = await bed({ shutdown: () => stopped++ });
    expect(await (await open()).text('shutdown graceful')).toBe('OK\r\n');
    expect(stopped).toBe(1);
  });

  it('limits, creates and drops functions', async () => {
    const { node, counted, open } = await bed();
    const raw = await open();
    const limits: [string, number[]][] = [
      ['maxqueue a', [0, 0, 0]],
      ['maxqueue a 7', [7, 7, 7]],
      ['maxqueue a 7 8', [7, 8, 0]],
      ['maxqueue a 7 -8 9', [7, 0, 9]],
    ];
    for (const [line, expected] of limits) {
      expect(await raw.text(line)).toBe('OK\r\n');
      expect(node.calls.at(-1)).toEqual(['limitQueue', 'default', 'a', expected]);
    }
    expect(await raw.text('create function ends-in-x')).toBe('OK\r\n');
    expect(node.calls.at(-1)).toEqual(['createQueue', 'default', 'ends-in-x']);
    expect(await raw.text('drop function a')).toBe('OK\r\n');
    node.dropQueue = async () => {
      throw new GearmeshError('WRONG_STATE');
    };
    expect(await raw.text('drop function a')).toBe(
      'ERR there are still connected workers or executing clients\r\n',
    );
    node.dropQueue = async () => {
      throw new GearmeshError('NOT_FOUND');
    };
    expect(await raw.text('drop function a')).toBe('ERR function not found\r\n');
    expect(counted.filter((one) => one !== 'text')).toEqual(['error WRONG_STATE', 'error NOT_FOUND']);
    for (const wrong of ['maxqueue a 1 2 3 4', 'maxqueue a b', 'create function', 'drop function a b']) {
      expect(await raw.text(wrong)).toMatch(/^ERR INVALID_ARGUMENTS .*\r\n$/);
    }
  });

  it('sees the workers of all nodes, and each once', async () => {
    const all = await bed();
    const { raw, session } = await sleeper(all);
    const view = (id: number, over: Partial<SessionView>): SessionView => ({
      id,
      epoch: 1,
      namespace: 'default',
      name: 'w',
      incarnation: 1,
      node: 'n2',
      state: 'attached',
      reserves: false,
      credit: 1,
      held: 0,
      functions: [
        { name: 'a', concurrency: 0, runTimeoutMs: 0 },
        { name: 'b', concurrency: 0, runTimeoutMs: 0 },
      ],
      ...over,
    });
    all.node.sessionViews = [
      view(session.id, { node: 'n1' }),
      view(21, { name: 'of grpc', node: 'n1' }),
      view(22, { name: 'gearman-10.0.0.9' }),
      view(23, { state: 'detached', incarnation: 0, node: '' }),
    ];
    expect(await raw.text('workers', 'list')).toBe(
      '1 127.0.0.1 - : resize\n21 n1 of_grpc : a b\n22 n2 - : a b\n.\n',
    );
  });

  it('is told when the state cannot be read', async () => {
    const { node, counted, open } = await bed();
    node.listQueues = async () => {
      throw new GearmeshError('NO_LEADER');
    };
    expect(await (await open()).text('status')).toMatch(/^ERR NO_LEADER .*\r\n$/);
    expect(counted).toEqual(['text', 'error NO_LEADER']);
  });

  it('gets the answer to its last line when it has closed its side', async () => {
    const { open } = await bed();
    const raw = await open();
    raw.socket.end('version\nstatus\n');
    expect(await raw.textAnswer()).toBe('OK 1\n');
    expect(await raw.textAnswer('list')).toBe('a\t15\t5\t10\nb\t15\t5\t10\n.\n');
    await raw.closed();
  });
});
