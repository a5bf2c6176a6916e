import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Client } from '../../src/client/index.js';
import { gearmesh } from '../support/cli.js';
import { RawGearman } from '../support/gearman.js';
import { RealCluster, type RealNode } from '../support/real-cluster.js';

/**
 * Goal: SUBMIT_JOB_SCHED byte by byte, against three nodes and the real clock: what is scheduled at one node is seen at
 * all, has one job in its minute although the leader was killed before, and none after `cancel job`.
 */
const MINUTE_MS = 60_000;
/** A minute that begins sooner is left out: the leader is to be dead by then. */
const MARGIN_MS = 8_000;

let cluster: RealCluster;
let client: Client;
let opened: RawGearman[] = [];

beforeAll(async () => {
  cluster = await RealCluster.start();
  client = cluster.client();
});

afterEach(() => {
  for (const one of opened) one.end();
  opened = [];
});

afterAll(async () => {
  await client?.close();
  await cluster?.agreedHash();
  await cluster?.remove();
});

async function at(node: RealNode): Promise<RawGearman> {
  const raw = await RawGearman.open(node.gearman);
  opened.push(raw);
  return raw;
}

const newFunction = (): string => `f-${randomUUID()}`;

interface Listed {
  readonly id: string;
  readonly function: string;
  readonly calendar: Readonly<Record<string, string>>;
  readonly next_at: string;
  readonly last_at: string | null;
  readonly fired: number;
  readonly gearman_handle: string;
}

/** What `gearmesh schedules list` shows at a node of the schedules of a function. */
async function listed(node: RealNode, fn: string): Promise<readonly Listed[]> {
  const { code, stdout, stderr } = await gearmesh(['schedules', 'list', '--json', '--endpoint', node.grpc]);
  expect(code, stderr).toBe(0);
  const { schedules } = JSON.parse(stdout) as { schedules: Listed[] };
  return schedules.filter((schedule) => schedule.function === fn);
}

describe('SUBMIT_JOB_SCHED', () => {
  it('is known at every node by its handle, and is one however often it is said', async () => {
    const fn = newFunction();
    const [n1, n2, n3] = cluster.nodes as [RealNode, RealNode, RealNode];
    const raw = await at(n1);
    // Among other submissions, in their order.
    raw.send('SUBMIT_JOB_BG', fn, '', 'before');
    raw.send('SUBMIT_JOB_SCHED', fn, 'daily', '30', '06', '', '*', '0', 'the\0report');
    raw.send('SUBMIT_JOB_BG', fn, '', 'behind');
    const handles = [];
    for (let i = 0; i < 3; i++) handles.push(await raw.expect('JOB_CREATED'));
    const handle = handles[1]!;
    expect(new Set(handles).size).toBe(3);
    for (const node of [n1, n2, n3]) {
      const asking = await at(node);
      const answer = await asking.send('GET_STATUS', handle).expect('STATUS_RES');
      expect(answer).toBe(`${handle}\x001\x000\x000\x000`);
      expect(await asking.submit('SUBMIT_JOB_SCHED', fn, 'daily', '*', '', '', '', '', 'other')).toBe(handle);
      expect(await asking.text('show jobs', 'list')).not.toContain(`${handle}\t`);
    }
    const [schedule, ...more] = await listed(n3, fn);
    expect(more).toEqual([]);
    expect(schedule).toMatchObject({
      gearman_handle: handle,
      calendar: { minute: '30', hour: '6', day_of_month: '*', month: '*', day_of_week: '0' },
    });
    const next = new Date(schedule!.next_at);
    expect([next.getUTCDay(), next.getUTCHours(), next.getUTCMinutes()]).toEqual([1, 6, 30]);
    const found = await client.schedules.get(schedule!.id, { view: 'full' });
    expect(String(found.payload)).toBe('the\0report');

    const admin = await at(n2);
    expect(await admin.text(`cancel job ${handle}`)).toBe('OK\r\n');
    expect(await admin.text(`cancel job ${handle}`)).toBe('ERR UNKNOWN_JOB\r\n');
    expect(await raw.send('GET_STATUS', handle).expect('STATUS_RES')).toBe(`${handle}\x000\x000\x000\x000`);
    expect(await listed(n1, fn)).toEqual([]);
  });

  it('with a field out of range is an error that names it, and the connection stays', async () => {
    const raw = await at(cluster.node('n2'));
    raw.send('SUBMIT_JOB_SCHED', newFunction(), '', '0', '0', '31', '2', '', 'x');
    expect(await raw.expect('ERROR')).toMatch(/^INVALID_ARGUMENT\0the day of month never comes/);
    raw.send('SUBMIT_JOB_SCHED', newFunction(), '', '61', '', '', '', '', 'x');
    expect(await raw.expect('ERROR')).toMatch(/^INVALID_ARGUMENT\0the minute must be/);
    expect(await raw.before()).toEqual([]);
  });

  it('has one job in its minute, although the leader was killed before; one that was cancelled has none', async () => {
    const [fn, cancelled] = [newFunction(), newFunction()];
    const minute = Math.ceil((Date.now() + MARGIN_MS) / MINUTE_MS) * MINUTE_MS;
    const of = String(new Date(minute).getUTCMinutes());
    const [submitter, watcher] = (await cluster.followers()) as [RealNode, RealNode];
    const leader = await cluster.leader();
    const raw = await at(submitter);
    const handle = await raw.submit('SUBMIT_JOB_SCHED', fn, '', of, '', '', '', '', 'tick');
    const other = await raw.submit('SUBMIT_JOB_SCHED', cancelled, '', of, '*', '*', '*', '*', 'never');
    const admin = await at(watcher);
    expect(await admin.text(`cancel job ${other}`)).toBe('OK\r\n');
    const [before] = await listed(leader, fn);
    expect(before).toMatchObject({
      gearman_handle: handle,
      fired: 0,
      next_at: new Date(minute).toISOString(),
    });

    const worker = await at(watcher);
    worker.waitMs = MINUTE_MS + MARGIN_MS + 15_000;
    worker.send('CAN_DO', fn).send('CAN_DO', cancelled);
    expect(await worker.send('GRAB_JOB').expect('NO_JOB')).toBe('');
    await leader.end('SIGKILL');
    const killed = Date.now();
    const job = await worker.work();
    const came = Date.now();
    expect(killed).toBeLessThan(minute);
    expect(came).toBeGreaterThanOrEqual(minute - 100);
    expect(job).toMatchObject({ fn, payload: 'tick' });
    expect(job.handle).not.toBe(handle);
    worker.send('WORK_COMPLETE', job.handle, 'done');
    expect(await worker.before()).toEqual([]);
    expect(await worker.send('GRAB_JOB').expect('NO_JOB')).toBe('');

    leader.start();
    await cluster.ready();
    for (const node of cluster.nodes) {
      const [schedule] = await listed(node, fn);
      expect(schedule).toMatchObject({
        fired: 1,
        last_at: new Date(minute).toISOString(),
        next_at: new Date(minute + 60 * MINUTE_MS).toISOString(),
      });
      expect(await listed(node, cancelled)).toEqual([]);
    }
    expect((await client.queues.get(fn)).totals).toMatchObject({ submitted: 1, succeeded: 1 });
    expect((await client.queues.get(cancelled)).totals.submitted).toBe(0);
    expect(await (await at(leader)).text(`cancel job ${handle}`)).toBe('OK\r\n');
  });
});
