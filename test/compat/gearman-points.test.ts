import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { packet, REQUEST_MAGIC, RESPONSE_MAGIC, TYPE } from '../../src/gearman/packets.js';
import { argsOf, RawGearman } from '../support/gearman.js';
import { RealCluster, until } from '../support/real-cluster.js';

/**
 * Goal: what real Gearman clients and workers depend on, byte by byte, against three nodes: each test is named after
 * its point in the table of docs/gearman.md. Clients and workers connect to different nodes on purpose.
 */
let cluster: RealCluster;
let opened: RawGearman[] = [];
const RETRIES = 2;

beforeAll(async () => {
  cluster = await RealCluster.start({ flags: ['--gearman-job-retries', String(RETRIES)] });
});

afterEach(() => {
  for (const one of opened) one.end();
  opened = [];
});

afterAll(async () => {
  await cluster?.agreedHash();
  await cluster?.remove();
});

async function at(node: 1 | 2 | 3): Promise<RawGearman> {
  const raw = await RawGearman.open(cluster.node(`n${node}`).gearman);
  opened.push(raw);
  return raw;
}

async function workerAt(node: 1 | 2 | 3, ...functions: string[]): Promise<RawGearman> {
  const worker = await at(node);
  for (const fn of functions) worker.send('CAN_DO', fn);
  return worker;
}

/** A function of its own for every test: nothing of another test is in its queue. */
const newFunction = (): string => `f-${randomUUID()}`;

/** Resolves when `status` at the node shows these numbers: total, running, workers. */
async function statusIs(node: 1 | 2 | 3, fn: string, ...numbers: number[]): Promise<void> {
  const asking = await at(node);
  await until(10_000, async () =>
    (await asking.text('status', 'list')).split('\n').includes([fn, ...numbers].join('\t')),
  );
}

describe('gearman', () => {
  it('gearman point 1: WORK_FAIL after WORK_EXCEPTION is swallowed', async () => {
    const fn = newFunction();
    const client = await at(1);
    const worker = await workerAt(2, fn);
    const handle = await client.submit('SUBMIT_JOB', fn, '', 'x');
    expect(await worker.work()).toMatchObject({ handle, payload: 'x' });
    worker.send('WORK_EXCEPTION', handle, 'boom').send('WORK_FAIL', handle);
    expect(await client.expect('WORK_FAIL')).toBe(handle);
    expect(await worker.before()).toEqual([]);
    // Once only: said again it is about an unknown job.
    worker.send('WORK_FAIL', handle);
    expect(await worker.expect('ERROR')).toMatch(/^JOB_NOT_FOUND\0/);
  });

  it('gearman point 2: an exception ends the job, and reaches those who asked for it', async () => {
    const fn = newFunction();
    const plain = await at(1);
    const wants = await at(3);
    expect(await wants.send('OPTION_REQ', 'Exceptions').expect('OPTION_RES')).toBe('Exceptions');
    expect(await plain.send('OPTION_REQ', 'colours').expect('ERROR')).toMatch(/^UNKNOWN_OPTION\0/);
    const worker = await workerAt(2, fn);
    const handle = await plain.submit('SUBMIT_JOB', fn, 'same', 'x');
    expect(await wants.submit('SUBMIT_JOB', fn, 'same', 'y')).toBe(handle);
    expect(await worker.work()).toMatchObject({ handle });
    worker.send('WORK_EXCEPTION', handle, 'it\0broke');
    expect(await wants.expect('WORK_EXCEPTION')).toBe(`${handle}\0it\0broke`);
    expect(await plain.expect('WORK_FAIL')).toBe(handle);
    expect(await wants.before()).toEqual([]);
  });

  it('gearman point 3: a handle that is unknown or foreign is an error, and the connection stays', async () => {
    const fn = newFunction();
    const client = await at(1);
    const holder = await workerAt(1, fn);
    const other = await workerAt(2, fn);
    const handle = await client.submit('SUBMIT_JOB', fn, '', 'x');
    await holder.work();
    for (const wrong of [handle, 'H:nobody:1', '']) {
      other
        .send('WORK_DATA', wrong, 'x')
        .send('WORK_WARNING', wrong, 'x')
        .send('WORK_STATUS', wrong, '1', '2')
        .send('WORK_EXCEPTION', wrong, 'x')
        .send('WORK_FAIL', wrong)
        .send('WORK_COMPLETE', wrong, 'x');
      for (let i = 0; i < 6; i++) expect(await other.expect('ERROR')).toMatch(/^JOB_NOT_FOUND\0/);
    }
    expect(await other.before()).toEqual([]);
    holder.send('WORK_COMPLETE', handle, 'done');
    expect(await client.expect('WORK_COMPLETE')).toBe(`${handle}\0done`);
  });

  it('gearman point 4: one connection holds several jobs, and is client and worker at once', async () => {
    const fn = newFunction();
    const both = await workerAt(1, fn);
    const handles = [];
    for (let i = 0; i < 3; i++) handles.push(await both.submit('SUBMIT_JOB', fn, '', String(i)));
    for (const handle of handles) expect((await both.work()).handle).toBe(handle);
    for (const handle of [...handles].reverse()) both.send('WORK_COMPLETE', handle, 'r');
    for (const handle of [...handles].reverse()) {
      expect(await both.expect('WORK_COMPLETE')).toBe(`${handle}\0r`);
    }
  });

  it('gearman point 5: a reduce job has function, unique, reducer and an empty argument before its data', async () => {
    const fn = newFunction();
    const client = await at(1);
    const worker = await workerAt(3, fn);
    const handle = await client.submit('SUBMIT_REDUCE_JOB_BACKGROUND', fn, 'u5', 'sum', '', 'a\0b');
    const came = await worker.grab('GRAB_JOB_ALL');
    expect([came.name, ...argsOf(came, 5)]).toEqual(['JOB_ASSIGN_ALL', handle, fn, 'u5', 'sum', 'a\0b']);
    client.send('SUBMIT_REDUCE_JOB', fn, 'u5', 'sum', 'not empty', 'x');
    expect(await client.expect('ERROR')).toMatch(/^INVALID_ARGUMENT\0/);
    client.send('SUBMIT_REDUCE_JOB', fn, 'u5');
    expect(await client.expect('ERROR')).toMatch(/^INVALID_PACKET\0/);
  });

  it('gearman point 6: GRAB_JOB_ALL is answered by what there is, and every GRAB_JOB takes reduce jobs', async () => {
    const fn = newFunction();
    const client = await at(2);
    const worker = await workerAt(1, fn);
    for (let i = 0; i < 2; i++)
      await client.submit('SUBMIT_REDUCE_JOB_BACKGROUND', fn, '', 'sum', '', `r${i}`);
    await client.submit('SUBMIT_JOB_BG', fn, 'u6', 'plain');
    const first = await worker.grab('GRAB_JOB');
    expect([first.name, argsOf(first, 3)[2]]).toEqual(['JOB_ASSIGN', 'r0']);
    const second = await worker.grab('GRAB_JOB_UNIQ');
    expect([second.name, argsOf(second, 4)[3]]).toEqual(['JOB_ASSIGN_UNIQ', 'r1']);
    const third = await worker.grab('GRAB_JOB_ALL');
    expect([third.name, ...argsOf(third, 4).slice(2)]).toEqual(['JOB_ASSIGN_UNIQ', 'u6', 'plain']);
  });

  it('gearman point 7: JOB_CREATED comes in order, before all else of its job, and once it is durable', async () => {
    const fn = newFunction();
    const client = await at(1);
    const elsewhere = await at(3);
    const worker = await workerAt(2, fn);
    const count = 300;
    const working = (async () => {
      for (let i = 0; i < count; i++) {
        const { handle, payload } = await worker.work();
        worker.send('WORK_DATA', handle, 'd').send('WORK_COMPLETE', handle, payload);
      }
    })();
    for (let i = 0; i < count; i++) client.send('SUBMIT_JOB', fn, '', `p${i}`);
    const created: string[] = [];
    const results = new Map<string, string>();
    while (results.size < count) {
      const { name, body } = await client.next();
      if (name === 'JOB_CREATED') {
        created.push(body.toString());
      } else {
        const [handle, data] = argsOf({ name, body }, 2) as [string, string];
        expect(created).toContain(handle);
        if (name === 'WORK_COMPLETE') results.set(handle, data);
        else expect(name).toBe('WORK_DATA');
      }
    }
    await working;
    expect(created.map((handle) => results.get(handle))).toEqual(
      Array.from({ length: count }, (_, i) => `p${i}`),
    );
    const handle = await client.submit('SUBMIT_JOB_BG', `${fn}-none`, '', 'x');
    expect(await elsewhere.send('GET_STATUS', handle).expect('STATUS_RES')).toBe(
      `${handle}\x001\x000\x000\x000`,
    );
  });

  it('gearman point 8: handles are short, unique in the cluster, and valid at every node', async () => {
    const fn = newFunction();
    const handles = new Set<string>();
    for (const node of [1, 2, 3] as const) {
      const client = await at(node);
      for (let i = 0; i < 5; i++) handles.add(await client.submit('SUBMIT_JOB_BG', fn, '', 'x'));
    }
    expect(handles.size).toBe(15);
    for (const handle of handles) {
      expect(handle).toMatch(/^H:[^\s:]+:\d+$/);
      expect(handle).not.toContain('//');
      expect(handle.length).toBeLessThanOrEqual(63);
      for (const node of [1, 2, 3] as const) {
        const asking = await at(node);
        expect(await asking.send('GET_STATUS', handle).expect('STATUS_RES')).toMatch(`${handle}\x001\x000`);
        asking.end();
      }
    }
  });

  it('gearman point 9: a status by unique id, and one asked at another node than the worker is at', async () => {
    const fn = newFunction();
    const unique = `u9-${fn}`;
    const client = await at(1);
    const asking = await at(3);
    const status = async (): Promise<string[]> =>
      argsOf(
        {
          name: '',
          body: Buffer.from(await asking.send('GET_STATUS_UNIQUE', unique).expect('STATUS_RES_UNIQUE')),
        },
        6,
      );
    expect(await status()).toEqual([unique, '0', '0', '0', '0', '0']);
    const handle = await client.submit('SUBMIT_JOB_BG', fn, unique, 'x');
    expect(await status()).toEqual([unique, '1', '0', '0', '0', '0']);
    const worker = await workerAt(2, fn);
    await worker.work();
    // The answer to GRAB_JOB does not wait until its start is on the disks.
    await until(5_000, async () => (await status())[2] === '1');
    expect(await status()).toEqual([unique, '1', '1', '0', '0', '0']);
    for (let i = 1; i <= 5; i++) {
      worker.send('WORK_STATUS', handle, String(i), '5');
      await worker.before();
      await until(5_000, async () => (await status())[3] === String(i));
    }
    expect(await status()).toEqual([unique, '1', '1', '5', '5', '0']);
    worker.send('WORK_COMPLETE', handle, '');
    await until(5_000, async () => (await status())[1] === '0');
    expect(await status()).toEqual([unique, '0', '0', '0', '0', '0']);
  });

  it('gearman point 10: a job assigned to a connection that is gone goes back to the queue', async () => {
    const fn = newFunction();
    const client = await at(1);
    const asleep = await workerAt(2, fn);
    await asleep.send('GRAB_JOB').expect('NO_JOB');
    asleep.send('PRE_SLEEP');
    const handle = await client.submit('SUBMIT_JOB', fn, '', 'x');
    await asleep.expect('NOOP');
    asleep.end();
    const worker = await workerAt(3, fn);
    expect((await worker.work()).handle).toBe(handle);
    worker.send('WORK_COMPLETE', handle, 'r');
    expect(await client.expect('WORK_COMPLETE')).toBe(`${handle}\0r`);
  });

  it('gearman point 11: one job wakes one sleeper that can do it, work that waits wakes at once', async () => {
    const fn = newFunction();
    const client = await at(1);
    const sleepers: RawGearman[] = [];
    for (let i = 0; i < 9; i++) {
      const worker = await workerAt(((i % 3) + 1) as 1 | 2 | 3, i === 0 ? `${fn}-other` : fn);
      await worker.send('GRAB_JOB').expect('NO_JOB');
      worker.send('PRE_SLEEP');
      expect(await worker.before()).toEqual([]);
      sleepers.push(worker);
    }
    await statusIs(1, fn, 0, 0, 8);
    const handle = await client.submit('SUBMIT_JOB', fn, '', 'x');
    const told = sleepers.map((one) =>
      one.expect('NOOP').then(
        () => one,
        (error: unknown) => String(error),
      ),
    );
    const woken = (await Promise.race(told)) as RawGearman;
    expect(sleepers.indexOf(woken)).toBeGreaterThan(0);
    expect(argsOf(await woken.send('GRAB_JOB').next(), 3)[0]).toBe(handle);
    woken.send('WORK_COMPLETE', handle, 'r');
    await client.expect('WORK_COMPLETE');
    // Whoever else had been woken would have read of it before the echo.
    const others = sleepers.filter((one) => one !== woken);
    for (const one of others) one.send('ECHO_REQ', 'asleep');
    for (const [i, one] of sleepers.entries()) {
      if (one !== woken) expect(await told[i]).toContain('ECHO_RES (asleep) came');
    }
    for (const one of sleepers) one.end();

    await client.submit('SUBMIT_JOB_BG', fn, '', 'y');
    const late = await workerAt(3, fn);
    await late.send('PRE_SLEEP').expect('NOOP');
    expect((await late.work()).payload).toBe('y');
  });

  it('gearman point 11: of many sleepers one job wakes few', async () => {
    const fn = newFunction();
    const client = await at(1);
    const sleepers: RawGearman[] = [];
    for (let i = 0; i < 200; i++) sleepers.push(await workerAt(((i % 3) + 1) as 1 | 2 | 3, fn));
    for (const one of sleepers) await one.send('GRAB_JOB').expect('NO_JOB');
    for (const one of sleepers) one.send('PRE_SLEEP');
    for (const one of sleepers) expect(await one.before()).toEqual([]);
    await statusIs(1, fn, 0, 0, 200);
    const handle = await client.submit('SUBMIT_JOB', fn, '', 'x');
    // Whoever is woken comes for the job; one of them gets it. The others only say that they sleep on.
    let woken = 0;
    let worked = 0;
    const watched = sleepers.map(async (one) => {
      for (;;) {
        const came = await one.next();
        if (came.name === 'NOOP') {
          woken++;
          one.send('GRAB_JOB');
        } else if (came.name === 'JOB_ASSIGN') {
          worked++;
          expect(argsOf(came, 3)[0]).toBe(handle);
          one.send('WORK_COMPLETE', handle, 'r').send('PRE_SLEEP');
        } else if (came.name === 'NO_JOB') {
          one.send('PRE_SLEEP');
        } else {
          expect(came.name).toBe('ECHO_RES');
          return;
        }
      }
    });
    expect(await client.expect('WORK_COMPLETE')).toBe(`${handle}\0r`);
    // What any of them was told before that is read before the echo.
    for (const one of sleepers) one.send('ECHO_REQ', 'asleep');
    await Promise.all(watched);
    expect(worked).toBe(1);
    expect(woken).toBeGreaterThanOrEqual(1);
    // Its worker, and up to three others where that one was slow to come.
    expect(woken).toBeLessThanOrEqual(4);
    for (const one of sleepers) one.end();
  });

  it('gearman point 11: a job that its worker does not come for is queued, and wakes another one at no cost', async () => {
    const fn = newFunction();
    const client = await at(1);
    const sleepers: RawGearman[] = [];
    for (let i = 0; i < RETRIES + 3; i++) {
      const worker = await workerAt(((i % 3) + 1) as 1 | 2 | 3, fn);
      await worker.send('GRAB_JOB').expect('NO_JOB');
      worker.send('PRE_SLEEP');
      await worker.before();
      sleepers.push(worker);
    }
    const handle = await client.submit('SUBMIT_JOB', fn, '', 'first');
    const woken = new Map(sleepers.map((one) => [one, one.expect('NOOP').then(() => one)]));
    for (let i = 0; i < RETRIES + 2; i++) {
      woken.delete(await Promise.race(woken.values()));
      for (const node of [1, 2, 3] as const) {
        await statusIs(node, fn, 1, 0, RETRIES + 3);
        const asking = await at(node);
        const lines = (await asking.text('prioritystatus', 'list')).split('\n');
        expect(lines).toContain([fn, 0, 1, 0, RETRIES + 3].join('\t'));
        expect(await asking.send('GET_STATUS', handle).expect('STATUS_RES')).toBe(
          `${handle}\x001\x000\x000\x000`,
        );
      }
    }
    const last = await Promise.race(woken.values());
    expect(argsOf(await last.send('GRAB_JOB').next(), 3)[0]).toBe(handle);
    await statusIs(2, fn, 1, 1, RETRIES + 3);
    const jobs = (await (await at(3)).text('show jobs', 'list')).split('\n');
    expect(jobs).toContain([handle, 0, 0, 0].join('\t'));
    last.send('WORK_COMPLETE', handle, 'r');
    expect(await client.expect('WORK_COMPLETE')).toBe(`${handle}\0r`);
  });

  it('gearman point 11: a job with a time wakes sleepers when it is due', async () => {
    const fn = newFunction();
    const client = await at(1);
    const worker = await workerAt(2, fn);
    await worker.send('GRAB_JOB').expect('NO_JOB');
    worker.send('PRE_SLEEP');
    const due = Math.floor(Date.now() / 1_000) + 2;
    const handle = await client.submit('SUBMIT_JOB_EPOCH', fn, '', String(due), 'later');
    await worker.expect('NOOP');
    expect(Date.now()).toBeGreaterThanOrEqual(due * 1_000);
    expect(argsOf(await worker.send('GRAB_JOB').next(), 3)).toEqual([handle, fn, 'later']);
  });

  it('gearman point 12: a job that takes longer than CAN_DO_TIMEOUT is queued again', async () => {
    const fn = newFunction();
    const client = await at(1);
    const slow = (await at(2)).send('CAN_DO_TIMEOUT', fn, '1');
    const handle = await client.submit('SUBMIT_JOB', fn, '', 'x');
    expect((await slow.work()).handle).toBe(handle);
    const begun = Date.now();
    // Less than 0 means none, like 0: this one is held all the while.
    const patient = (await at(1)).send('CAN_DO_TIMEOUT', `${fn}-patient`, '-1');
    const held = await client.submit('SUBMIT_JOB_BG', `${fn}-patient`, '', 'x');
    expect((await patient.work()).handle).toBe(held);
    const worker = (await at(3)).send('CAN_DO_TIMEOUT', fn, '0');
    expect((await worker.work()).handle).toBe(handle);
    // 1 to 999 count as a second.
    expect(Date.now() - begun).toBeGreaterThan(700);
    slow.send('WORK_COMPLETE', handle, 'late');
    expect(await slow.expect('ERROR')).toMatch(/^JOB_NOT_FOUND\0/);
    worker.send('WORK_COMPLETE', handle, 'good');
    expect(await client.expect('WORK_COMPLETE')).toBe(`${handle}\0good`);
    expect(await client.send('GET_STATUS', held).expect('STATUS_RES')).toBe(`${held}\x001\x001\x000\x000`);
    patient.send('WORK_COMPLETE', held, '');
    expect(await patient.before()).toEqual([]);
  });

  it('gearman point 13: the jobs of a lost worker go to the tail with their handle, without progress', async () => {
    const fn = newFunction();
    const client = await at(1);
    const first = await client.submit('SUBMIT_JOB', fn, '', 'first');
    const lost = await workerAt(2, fn);
    expect((await lost.work()).handle).toBe(first);
    lost.send('WORK_STATUS', first, '3', '4');
    expect(await client.expect('WORK_STATUS')).toBe(`${first}\x003\x004`);
    const second = await client.submit('SUBMIT_JOB_BG', fn, '', 'second');
    lost.end();
    await statusIs(3, fn, 2, 0, 0);
    expect(await client.send('GET_STATUS', first).expect('STATUS_RES')).toBe(`${first}\x001\x000\x000\x000`);
    const worker = await workerAt(3, fn);
    expect((await worker.work()).handle).toBe(second);
    expect((await worker.work()).handle).toBe(first);
    await statusIs(1, fn, 2, 2, 1);
    expect(await client.send('GET_STATUS', first).expect('STATUS_RES')).toBe(`${first}\x001\x001\x000\x000`);
  });

  it('gearman point 13: a job whose worker is lost before it asks for it keeps its place, and costs no retry', async () => {
    const fn = newFunction();
    const client = await at(1);
    const first = await client.submit('SUBMIT_JOB_BG', fn, '', 'first');
    const second = await client.submit('SUBMIT_JOB_BG', fn, '', 'second');
    for (let i = 0; i < RETRIES + 2; i++) {
      const asleep = await workerAt(2, fn);
      await asleep.send('PRE_SLEEP').expect('NOOP');
      asleep.end();
      await statusIs(1, fn, 2, 0, 0);
    }
    const worker = await workerAt(3, fn);
    expect((await worker.work()).handle).toBe(first);
    expect((await worker.work()).handle).toBe(second);
    await statusIs(1, fn, 2, 2, 1);
    const jobs = (await (await at(2)).text('show jobs', 'list')).split('\n');
    for (const handle of [first, second]) expect(jobs).toContain([handle, 0, 0, 0].join('\t'));
  });

  it('gearman point 13: a job whose workers are lost too often fails', async () => {
    const fn = newFunction();
    const client = await at(1);
    const handle = await client.submit('SUBMIT_JOB', fn, '', 'poison');
    for (let i = 0; i <= RETRIES; i++) {
      const worker = await workerAt(2, fn);
      expect((await worker.work()).handle).toBe(handle);
      worker.end();
    }
    expect(await client.expect('WORK_FAIL')).toBe(handle);
  });

  it('gearman point 14: high before normal before low, among all functions of a worker; first in, first out', async () => {
    const [a, b] = [newFunction(), newFunction()];
    const client = await at(1);
    const later = String(Math.floor(Date.now() / 1_000) + 3_600);
    await client.submit('SUBMIT_JOB_EPOCH', a, '', later, 'future');
    await client.submit('SUBMIT_JOB_LOW_BG', a, '', 'low');
    await client.submit('SUBMIT_JOB_BG', a, '', 'normal 1');
    await client.submit('SUBMIT_JOB_BG', a, '', 'normal 2');
    await client.submit('SUBMIT_JOB_HIGH_BG', b, '', 'high 1');
    await client.submit('SUBMIT_JOB_HIGH_BG', b, '', 'high 2');
    const worker = await workerAt(2, a, b);
    const order = [];
    for (let i = 0; i < 5; i++) {
      const { handle, payload } = await worker.work();
      order.push(payload);
      worker.send('WORK_COMPLETE', handle, '');
    }
    expect(order).toEqual(['high 1', 'high 2', 'normal 1', 'normal 2', 'low']);
    await worker.send('GRAB_JOB').expect('NO_JOB');
  });

  it('gearman point 15: a unique id stands for one job of its function at a time', async () => {
    const fn = newFunction();
    const [one, two] = [await at(1), await at(2)];
    const handle = await one.submit('SUBMIT_JOB_BG', fn, 'u', 'first');
    expect(await two.submit('SUBMIT_JOB', fn, 'u', 'second')).toBe(handle);
    expect(await two.submit('SUBMIT_JOB_BG', `${fn}-other`, 'u', 'x')).not.toBe(handle);
    const empty = await one.submit('SUBMIT_JOB_BG', `${fn}-empty`, '', 'x');
    expect(await one.submit('SUBMIT_JOB_BG', `${fn}-empty`, '', 'x')).not.toBe(empty);
    const dash = await one.submit('SUBMIT_JOB_BG', `${fn}-dash`, '-', 'same');
    expect(await two.submit('SUBMIT_JOB_BG', `${fn}-dash`, '-', 'same')).toBe(dash);
    expect(await two.submit('SUBMIT_JOB_BG', `${fn}-dash`, '-', 'other')).not.toBe(dash);
    const worker = await workerAt(3, fn);
    expect(await worker.work()).toMatchObject({ handle, payload: 'first' });
    // While it runs as well.
    expect(await one.submit('SUBMIT_JOB_BG', fn, 'u', 'third')).toBe(handle);
    worker.send('WORK_COMPLETE', handle, 'r');
    expect(await two.expect('WORK_COMPLETE')).toBe(`${handle}\0r`);
    expect(await one.submit('SUBMIT_JOB_BG', fn, 'u', 'again')).not.toBe(handle);
    // A foreground job is joined by another client, and by one that does not wait.
    const followed = await one.submit('SUBMIT_JOB', `${fn}-followed`, 'u', 'first');
    expect(await two.submit('SUBMIT_JOB_HIGH', `${fn}-followed`, 'u', 'second')).toBe(followed);
    expect(await two.submit('SUBMIT_JOB_LOW_BG', `${fn}-followed`, 'u', 'third')).toBe(followed);
    const both = await workerAt(3, `${fn}-followed`);
    expect(await both.work()).toMatchObject({ handle: followed, payload: 'first' });
    both.send('WORK_COMPLETE', followed, 'r');
    for (const client of [one, two]) {
      expect(await client.expect('WORK_COMPLETE')).toBe(`${followed}\0r`);
    }
    expect(await both.send('GRAB_JOB').expect('NO_JOB')).toBe('');
    await one.submit('SUBMIT_JOB_BG', `${fn}-64`, 'u'.repeat(64), 'x');
    one.send('SUBMIT_JOB_BG', `${fn}-64`, 'u'.repeat(65), 'x');
    expect(await one.expect('ERROR')).toMatch(/^ARGUMENT_TOO_LARGE\0/);
  });

  it('gearman point 16: a job that nobody waits for any more is dropped, unless it runs', async () => {
    const fn = newFunction();
    const [one, two, asking] = [await at(1), await at(2), await at(3)];
    const dropped = await one.submit('SUBMIT_JOB', fn, 'u16', 'dropped');
    expect(await two.submit('SUBMIT_JOB', fn, 'u16', 'joins')).toBe(dropped);
    const waiting = async (): Promise<string> =>
      (await asking.send('GET_STATUS_UNIQUE', 'u16').expect('STATUS_RES_UNIQUE')).split('\0').at(-1)!;
    expect(await waiting()).toBe('2');
    one.end();
    await until(5_000, async () => (await waiting()) === '1');
    await statusIs(3, fn, 1, 0, 0);
    two.end();
    await statusIs(3, fn, 0, 0, 0);
    expect(await asking.send('GET_STATUS', dropped).expect('STATUS_RES')).toBe(
      `${dropped}\x000\x000\x000\x000`,
    );
    const worker = await workerAt(3, fn);
    await worker.send('GRAB_JOB').expect('NO_JOB');

    const client = await at(1);
    const runs = await client.submit('SUBMIT_JOB', fn, '', 'runs');
    expect((await worker.work()).handle).toBe(runs);
    await statusIs(2, fn, 1, 1, 1);
    client.end();
    worker.send('WORK_STATUS', runs, '1', '2').send('WORK_COMPLETE', runs, 'r');
    expect(await worker.before()).toEqual([]);
    await statusIs(1, fn, 0, 0, 1);
  });

  it('gearman point 16: a background job stays when a client that had joined it leaves', async () => {
    const fn = newFunction();
    const background = await at(1);
    const handle = await background.submit('SUBMIT_JOB_BG', fn, 'u16', 'x');
    const joined = await at(2);
    expect(await joined.submit('SUBMIT_JOB', fn, 'u16', 'y')).toBe(handle);
    joined.end();
    const worker = await workerAt(3, fn);
    expect((await worker.work()).handle).toBe(handle);
    worker.send('WORK_COMPLETE', handle, 'r');
    expect(await worker.before()).toEqual([]);
    await statusIs(1, fn, 0, 0, 1);
  });

  it('gearman point 17: text commands and their ends of lines', async () => {
    const admin = await at(1);
    expect(await admin.text('version')).toMatch(/^OK \S+\n$/);
    expect(await admin.text('VERSION\r')).toMatch(/^OK \S+\n$/);
    expect(await admin.text('getpid')).toBe(`OK ${cluster.node('n1').pid}\n`);
    expect(await admin.text('verbose')).toMatch(/^OK [A-Z]+\n$/);
    expect(await admin.text('bogus')).toMatch(/^ERR UNKNOWN_COMMAND .*\r\n$/);
    expect(await admin.text('')).toMatch(/^ERR UNKNOWN_COMMAND .*\r\n$/);
    expect(await admin.text('Status', 'list')).toMatch(/(^|\n)\.\n$/);
    expect(await admin.text('cancel job')).toMatch(/^ERR INVALID_ARGUMENTS .*\r\n$/);
    expect(await admin.text('show me')).toMatch(/^ERR UNKNOWN_SHOW_ARGUMENTS\r\n$/);
    expect(await admin.text('shutdown')).toMatch(/^ERR NOT_ALLOWED .*\r\n$/);
    // Mixed with packets, pipelined.
    admin.bytes('version\n').send('ECHO_REQ', 'x').bytes('verbose\r\n');
    expect(await admin.textAnswer()).toMatch(/^OK /);
    expect(await admin.expect('ECHO_RES')).toBe('x');
    expect(await admin.textAnswer()).toMatch(/^OK /);
  });

  it('gearman point 18: status, prioritystatus and workers', async () => {
    const fn = newFunction();
    const client = await at(1);
    for (const form of [
      'SUBMIT_JOB_HIGH_BG',
      'SUBMIT_JOB_BG',
      'SUBMIT_JOB_BG',
      'SUBMIT_JOB_LOW_BG',
    ] as const) {
      await client.submit(form, fn, '', 'x');
    }
    const worker = (await workerAt(2, fn, fn)).send('SET_CLIENT_ID', 'me').send('CAN_DO', fn);
    await worker.work();
    for (const node of [1, 2, 3] as const) {
      await statusIs(node, fn, 4, 1, 1);
      const admin = await at(node);
      const lines = (await admin.text('prioritystatus', 'list')).split('\n');
      expect(lines).toContain([fn, 0, 2, 1, 1].join('\t'));
    }
    const admin = await at(2);
    const lines = (await admin.text('workers', 'list')).split('\n');
    expect(lines.filter((line) => new RegExp(`^\\d+ 127\\.0\\.0\\.1 me : ${fn}$`).test(line))).toHaveLength(
      1,
    );
    expect(lines.filter((line) => /^\d+ 127\.0\.0\.1 - :$/.test(line)).length).toBeGreaterThanOrEqual(1);
  });

  it('gearman point 18: the workers of all nodes, asked at any of them', async () => {
    const fn = newFunction();
    for (const node of [1, 2, 3] as const) {
      const worker = (await at(node)).send('SET_CLIENT_ID', `w${node}`).send('CAN_DO', fn);
      await worker.before();
    }
    await (await workerAt(3, fn)).before();
    for (const node of [1, 2, 3] as const) {
      await statusIs(node, fn, 0, 0, 4);
      const admin = await at(node);
      const mine = (await admin.text('workers', 'list'))
        .split('\n')
        .filter((line) => line.endsWith(` : ${fn}`));
      const address = (other: number): string => (other === node ? '127\\.0\\.0\\.1' : `n${other}`);
      const expected = [1, 2, 3].map((other) => new RegExp(`^\\d+ ${address(other)} w${other} : ${fn}$`));
      expected.push(new RegExp(`^\\d+ ${address(3)} - : ${fn}$`));
      for (const line of expected) expect(mine.filter((one) => line.test(one))).toHaveLength(1);
      expect(mine).toHaveLength(4);
    }
  });

  it('gearman point 19: maxqueue counts all jobs of the function against the priority submitted', async () => {
    const fn = newFunction();
    const [admin, client] = [await at(1), await at(2)];
    expect(await admin.text(`maxqueue ${fn} 3 2 1`)).toBe('OK\r\n');
    const refused = async (
      form: 'SUBMIT_JOB_HIGH_BG' | 'SUBMIT_JOB_BG' | 'SUBMIT_JOB_LOW_BG',
    ): Promise<void> => {
      client.send(form, fn, '', 'x');
      expect(await client.expect('ERROR')).toMatch(/^QUEUE_ERROR\0.*queue-jobs-max/);
    };
    const worker = await workerAt(3, fn);
    const first = await client.submit('SUBMIT_JOB_LOW_BG', fn, 'u19', 'runs');
    expect((await worker.work()).handle).toBe(first);
    await refused('SUBMIT_JOB_LOW_BG');
    await client.submit('SUBMIT_JOB_BG', fn, '', 'x');
    await refused('SUBMIT_JOB_BG');
    // What joins another job is none more.
    expect(await client.submit('SUBMIT_JOB_LOW_BG', fn, 'u19', 'joins')).toBe(first);
    await client.submit('SUBMIT_JOB_HIGH_BG', fn, '', 'x');
    await refused('SUBMIT_JOB_HIGH_BG');
    // One number counts for all, none, 0 or less than that means no limit.
    const elsewhere = await at(3);
    expect(await elsewhere.text(`MAXQUEUE ${fn} 4\r`)).toBe('OK\r\n');
    await client.submit('SUBMIT_JOB_LOW_BG', fn, '', 'x');
    await refused('SUBMIT_JOB_HIGH_BG');
    for (const none of ['', ' 0', ' -1']) {
      expect(await admin.text(`maxqueue ${fn} 1`)).toBe('OK\r\n');
      await refused('SUBMIT_JOB_BG');
      expect(await admin.text(`maxqueue ${fn}${none}`)).toBe('OK\r\n');
      await client.submit('SUBMIT_JOB_BG', fn, '', 'x');
    }
    for (const wrong of ['maxqueue', `maxqueue ${fn} many`, `maxqueue ${fn} 1 2 3 4`]) {
      expect(await admin.text(wrong)).toMatch(/^ERR INVALID_ARGUMENTS .*\r\n$/);
    }
  });

  it('gearman point 19: maxqueue survives the death of the leader', async () => {
    const fn = newFunction();
    expect(await (await at(1)).text(`maxqueue ${fn} 1`)).toBe('OK\r\n');
    const leader = await cluster.leader();
    await leader.end('SIGKILL');
    try {
      const left = cluster.nodes.find((node) => node !== leader)!;
      const client = await RawGearman.open(left.gearman);
      opened.push(client);
      await client.submit('SUBMIT_JOB_BG', fn, '', 'x');
      client.send('SUBMIT_JOB_BG', fn, '', 'y');
      expect(await client.expect('ERROR')).toMatch(/^QUEUE_ERROR\0.*queue-jobs-max/);
    } finally {
      leader.start();
      await cluster.ready();
    }
  });

  it('gearman point 20: create function and drop function', async () => {
    const fn = newFunction();
    const [admin, other] = [await at(1), await at(2)];
    for (let i = 0; i < 2; i++) expect(await admin.text(`create function ${fn}`)).toBe('OK\r\n');
    await statusIs(2, fn, 0, 0, 0);
    expect(await other.text(`drop function ${fn}`)).toBe('OK\r\n');
    expect((await admin.text('status', 'list')).split('\n')).not.toContain(`${fn}\t0\t0\t0`);
    expect(await other.text(`drop function ${fn}`)).toBe('ERR function not found\r\n');
    const busy = 'ERR there are still connected workers or executing clients\r\n';
    const worker = await workerAt(3, fn);
    await worker.before();
    await statusIs(1, fn, 0, 0, 1);
    expect(await admin.text(`drop function ${fn}`)).toBe(busy);
    worker.end();
    await statusIs(1, fn, 0, 0, 0);
    const client = await at(2);
    const handle = await client.submit('SUBMIT_JOB_BG', fn, '', 'x');
    expect(await admin.text(`drop function ${fn}`)).toBe(busy);
    expect(await admin.text(`cancel job ${handle}`)).toBe('OK\r\n');
    expect(await admin.text(`DROP FUNCTION ${fn}\r`)).toBe('OK\r\n');
    expect(await admin.text('drop function')).toMatch(/^ERR INVALID_ARGUMENTS .*\r\n$/);
    expect(await admin.text(`create function ${'x'.repeat(256)}`)).toMatch(/^ERR INVALID_ARGUMENTS .*\r\n$/);
  });

  it('gearman point 20: cancel job and show jobs', async () => {
    const fn = newFunction();
    const client = await at(1);
    const admin = await at(3);
    const [queued, running] = [
      await client.submit('SUBMIT_JOB_HIGH', fn, '', 'runs'),
      await client.submit('SUBMIT_JOB', fn, `u20-${fn}`, 'waits'),
    ].reverse() as [string, string];
    const worker = await workerAt(2, fn);
    expect((await worker.work()).handle).toBe(running);
    await statusIs(3, fn, 2, 1, 1);
    const jobs = (await admin.text('show jobs', 'list')).split('\n');
    expect(jobs).toContain([running, 0, 0, 0].join('\t'));
    expect(jobs).toContain([queued, 0, 0, 1].join('\t'));
    expect((await admin.text('show unique jobs', 'list')).split('\n')).toContain(`u20-${fn}\t${queued}`);
    expect(await admin.text(`cancel job ${queued}`)).toBe('OK\r\n');
    expect(await client.expect('WORK_FAIL')).toBe(queued);
    expect(await admin.text(`cancel job ${running}`)).toBe('OK\r\n');
    expect(await client.expect('WORK_FAIL')).toBe(running);
    worker.send('WORK_COMPLETE', running, 'late');
    expect(await worker.expect('ERROR')).toMatch(/^JOB_NOT_FOUND\0/);
    expect(await admin.text(`cancel job ${queued}`)).toBe('ERR UNKNOWN_JOB\r\n');
    expect(await admin.text('cancel job H:other:1')).toBe('ERR UNKNOWN_JOB\r\n');
  });

  it('gearman point 21: what is no packet closes the connection, what is no request does not', async () => {
    const raw = await at(1);
    raw.bytes(packet(RESPONSE_MAGIC, TYPE.NOOP));
    expect(await raw.expect('ERROR')).toMatch(/^INVALID_MAGIC\0/);
    for (const name of [
      'NOOP',
      'JOB_CREATED',
      'NO_JOB',
      'JOB_ASSIGN',
      'ECHO_RES',
      'ERROR',
      'STATUS_RES',
      'OPTION_RES',
      'JOB_ASSIGN_UNIQ',
      'JOB_ASSIGN_ALL',
      'STATUS_RES_UNIQUE',
    ] as const) {
      expect(await raw.send(name).expect('ERROR')).toMatch(/^INVALID_COMMAND\0/);
    }
    const unused = packet(REQUEST_MAGIC, TYPE.ECHO_REQ);
    unused.writeUInt32BE(5, 4);
    expect(await raw.bytes(unused).expect('ERROR')).toMatch(/^INVALID_COMMAND\0/);
    expect(await raw.before()).toEqual([]);
    for (const [magic, type] of [
      [0x00524540, 1],
      [REQUEST_MAGIC, 0],
      [REQUEST_MAGIC, 43],
    ] as const) {
      const bad = await at(2);
      const header = Buffer.alloc(12);
      header.writeUInt32BE(magic, 0);
      header.writeUInt32BE(type, 4);
      await bad.bytes(header).closed();
    }
  });

  it('gearman point 22, up to the limit of a payload: hostile connections disturb nobody', async () => {
    const fn = newFunction();
    const client = await at(1);
    const worker = await workerAt(2, fn);
    const before = cluster.node('n1').residentBytes();
    const hostile: RawGearman[] = [];
    for (let i = 0; i < 300; i++) {
      const bad = await at(1);
      hostile.push(bad);
      if (i % 3 === 0) {
        // A length of 4 GiB, and a few bytes.
        const header = packet(REQUEST_MAGIC, TYPE.SUBMIT_JOB, ['claim']);
        header.writeUInt32BE(0xffff_ffff, 8);
        bad.bytes(header);
      } else if (i % 3 === 1) {
        bad.bytes('x'.repeat(i % 30 === 1 ? 2_000_000 : 2_000));
      } else {
        bad.bytes(Buffer.from(packet(REQUEST_MAGIC, TYPE.SUBMIT_JOB, [fn, '', 'half'])).subarray(0, 20));
        bad.socket.resetAndDestroy();
      }
    }
    // Asks for much and reads nothing of it.
    const silent = await at(1);
    silent.socket.pause();
    const echo = packet(REQUEST_MAGIC, TYPE.ECHO_REQ, [Buffer.alloc(200_000)]);
    for (let i = 0; i < 50; i++) silent.bytes(echo);

    const limit = 256 * 1024;
    const payload = Buffer.alloc(limit, 'p');
    const handle = await client.submit('SUBMIT_JOB', fn, '', payload);
    const assigned = await worker.grab();
    expect(argsOf(assigned, 3)[2]).toHaveLength(limit);
    worker.send('WORK_COMPLETE', handle, payload);
    expect(await client.expect('WORK_COMPLETE')).toHaveLength(limit + handle.length + 1);
    client.send('ECHO_REQ', Buffer.alloc(2 * limit));
    expect(await client.expect('ERROR')).toMatch(/^ARGUMENT_TOO_LARGE\0/);

    // A packet split at every byte.
    const split = packet(REQUEST_MAGIC, TYPE.SUBMIT_JOB, [fn, '', 'byte by byte']);
    for (const byte of split) {
      await new Promise<void>((resolve) => client.socket.write(Buffer.from([byte]), () => resolve()));
    }
    const last = await client.expect('JOB_CREATED');
    expect(await worker.work()).toMatchObject({ handle: last, payload: 'byte by byte' });
    worker.send('WORK_COMPLETE', last, payload);
    expect(await client.expect('WORK_COMPLETE')).toHaveLength(limit + last.length + 1);
    expect(cluster.node('n1').residentBytes() - before).toBeLessThan(300 * 1024 * 1024);
    for (const one of hostile) one.end();
  });

  it('gearman point 22: 1,000 connections are ordinary', async () => {
    const fn = newFunction();
    const workers: RawGearman[] = [];
    for (let i = 0; i < 1_000; i++) workers.push(await workerAt(((i % 3) + 1) as 1 | 2 | 3, fn));
    for (const worker of workers) worker.send('PRE_SLEEP');
    await statusIs(2, fn, 0, 0, 1_000);
    const client = await at(1);
    const handle = await client.submit('SUBMIT_JOB', fn, '', 'x');
    const woken = await Promise.race(
      workers.map((one) =>
        one.expect('NOOP').then(
          () => one,
          () => new Promise<RawGearman>(() => {}),
        ),
      ),
    );
    expect(argsOf(await woken.send('GRAB_JOB').next(), 3)[0]).toBe(handle);
    woken.send('WORK_COMPLETE', handle, 'r');
    expect(await client.expect('WORK_COMPLETE')).toBe(`${handle}\0r`);
    for (const worker of workers) worker.end();
    await statusIs(3, fn, 0, 0, 0);
  });
});
