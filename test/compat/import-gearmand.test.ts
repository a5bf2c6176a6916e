import { spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Worker } from '../../src/worker/index.js';
import { CliProcess, gearmesh } from '../support/cli.js';
import { RawGearman } from '../support/gearman.js';
import { gearmanTools } from '../support/gearman-clients.js';
import { Gearmand, gearmandMissing } from '../support/gearmand.js';
import { RealCluster, until } from '../support/real-cluster.js';
import { REQUIRED } from '../support/required.js';

/** Goal: `gearmesh import gearmand` takes the jobs of a real gearmand as they are, loses none, and doubles none. */
const missing = gearmandMissing();
const JOBS = 10_000;
const SETTLE_MS = 30_000;
/** Submissions that wait for their JOB_CREATED. */
const AT_ONCE = 500;

let cluster: RealCluster;
let gearmand: Gearmand;

beforeAll(async () => {
  if (missing === '') cluster = await RealCluster.start();
});

beforeEach(async () => {
  if (missing === '') gearmand = await Gearmand.start();
});

afterEach(async () => {
  await gearmand?.stop();
});

afterAll(async () => {
  await cluster?.agreedHash();
  await cluster?.remove();
});

interface Job {
  readonly form:
    | 'SUBMIT_JOB_BG'
    | 'SUBMIT_JOB_HIGH_BG'
    | 'SUBMIT_JOB_LOW_BG'
    | 'SUBMIT_REDUCE_JOB_BACKGROUND';
  readonly fn: string;
  readonly unique: string;
  readonly payload: Buffer;
}

/** Jobs of three functions with payloads of every length from 0 to 999 and every byte, a third of them with unique ids. */
function someJobs(count: number): Job[] {
  const functions = [0, 1, 2].map((i) => `import-${i}-${randomUUID()}`);
  return Array.from({ length: count }, (_, i) => {
    const payload = Buffer.from(`${i}\0`.padEnd(i % 1_000, String.fromCharCode(i % 256)), 'latin1');
    const unique = i % 3 === 0 ? `u-${i}` : '';
    const forms = ['SUBMIT_JOB_BG', 'SUBMIT_JOB_HIGH_BG', 'SUBMIT_JOB_LOW_BG'] as const;
    const form = i % 50 === 7 ? 'SUBMIT_REDUCE_JOB_BACKGROUND' : forms[i % forms.length]!;
    return { form, fn: functions[i % 7 < 5 ? 0 : (i % 2) + 1]!, unique, payload };
  });
}

async function submitThere(jobs: readonly Job[]): Promise<void> {
  const raw = await RawGearman.open(gearmand.address);
  for (let from = 0; from < jobs.length; from += AT_ONCE) {
    const some = jobs.slice(from, from + AT_ONCE);
    for (const { form, fn, unique, payload } of some) {
      if (form === 'SUBMIT_REDUCE_JOB_BACKGROUND') raw.send(form, fn, unique, 'sum', '', payload);
      else raw.send(form, fn, unique, payload);
    }
    for (const _ of some) await raw.expect('JOB_CREATED');
  }
  raw.end();
}

const fingerprint = (fn: string, unique: string, reducer: string, payload: Uint8Array): string =>
  [fn, unique, reducer, createHash('sha256').update(payload).digest('hex')].join(' ');

const wanted = (jobs: readonly Job[]): string[] =>
  jobs
    .map((one) => fingerprint(one.fn, one.unique, one.form.includes('REDUCE') ? 'sum' : '', one.payload))
    .sort();

/** What is here of the functions of these jobs. */
async function found(jobs: readonly Job[]): Promise<string[]> {
  const client = cluster.client();
  const all: string[] = [];
  for (const fn of new Set(jobs.map((one) => one.fn))) {
    for await (const job of client.list({ function: fn, view: 'full', pageSize: 1_000 })) {
      all.push(fingerprint(fn, job.uniqueKey, job.metadata['gearman-reducer'] ?? '', job.payload));
    }
  }
  await client.close();
  return all.sort();
}

/** Jobs that the gearmand still has. */
async function left(): Promise<number> {
  const raw = await RawGearman.open(gearmand.address);
  const status = await raw.text('status', 'list');
  raw.end();
  return status.split('\n').reduce((sum, line) => sum + Number(line.split('\t')[1] ?? 0), 0);
}

const importing = (...more: string[]): string[] => [
  'import',
  'gearmand',
  '--from',
  gearmand.address,
  '--endpoint',
  cluster.endpoints.join(),
  ...more,
];

it.runIf(REQUIRED)('where the packages of Debian can be installed, gearmand is there', () => {
  expect(missing).toBe('');
});

describe(`gearmesh import gearmand${missing === '' ? '' : ` (skipped: ${missing})`}`, () => {
  it.runIf(missing === '')('takes 10,000 jobs as they are, in the order of their priorities', async () => {
    const jobs = someJobs(JOBS);
    await submitThere(jobs);
    const dry = await gearmesh(importing('--dry-run', '--json'));
    expect(
      JSON.parse(dry.stdout).functions.reduce((sum: number, one: { total: number }) => sum + one.total, 0),
    ).toBe(JOBS);
    expect(await left()).toBe(JOBS);

    const done = await gearmesh(importing('--json'));
    expect(done.code, done.stderr).toBe(0);
    expect(JSON.parse(done.stdout)).toMatchObject({ imported: JOBS, repeated: 0, foreground: 0, refused: 0 });
    expect(await left()).toBe(0);
    expect(await found(jobs)).toEqual(wanted(jobs));

    // gearmand gives high before normal before low, each in its order: so they stand here.
    const fn = jobs[0]!.fn;
    const rank = { SUBMIT_JOB_HIGH_BG: 0, SUBMIT_JOB_LOW_BG: 2 } as Record<string, number>;
    const order = jobs
      .filter((one) => one.fn === fn)
      .sort((a, b) => (rank[a.form] ?? 1) - (rank[b.form] ?? 1));
    const worker = (await RawGearman.open(cluster.node('n2').gearman)).send('CAN_DO', fn);
    for (const { payload } of order.slice(0, 50)) {
      const { handle, payload: came } = await worker.work();
      expect(came.split('\0')[0]).toBe(payload.toString('latin1').split('\0')[0]);
      worker.send('WORK_COMPLETE', handle, '');
    }
    worker.end();
  });

  it.runIf(missing === '')(
    'killed in the middle, then stopped, and started again: nothing is lost or doubled',
    async () => {
      const jobs = someJobs(JOBS);
      await submitThere(jobs);
      const client = cluster.client();
      const come = (count: number): Promise<void> =>
        until(SETTLE_MS, async () => {
          const queue = await client.queues.get(jobs[0]!.fn, { consistency: 'eventual' }).catch(() => null);
          return (queue?.totals.submitted ?? 0) > count;
        });
      const first = new CliProcess(importing());
      await come(500);
      first.child.kill('SIGKILL');
      await first.ended;
      const second = new CliProcess(importing());
      await come(2_500);
      const stopped = await second.stop();
      expect(stopped.code, stopped.stderr).toBe(130);
      expect(stopped.stderr).toContain('run it again to go on');
      await client.close();
      expect(await left()).toBeGreaterThan(0);
      const again = await gearmesh(importing('--json'));
      expect(again.code, again.stderr).toBe(0);
      expect(await left()).toBe(0);
      expect(await found(jobs)).toEqual(wanted(jobs));
    },
  );

  it.runIf(missing === '' && gearmanTools() === '')(
    'a client that waits there gets what a worker here gives',
    async () => {
      const fn = `import-${randomUUID()}`;
      const [host, port] = gearmand.address.split(':') as [string, string];
      const waiting = spawn('gearman', ['-h', host, '-p', port, '-f', fn, 'Hello World!'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let answer = '';
      waiting.stdout.on('data', (bytes: Buffer) => {
        answer += bytes.toString();
      });
      const ended = once(waiting, 'close');
      await until(SETTLE_MS, async () => (await left()) === 1);
      const worker = new Worker({ endpoints: [cluster.node('n3').grpc] });
      worker.handle(fn, (job) => [...job.text()].reverse().join(''));
      await worker.start();
      const done = await gearmesh(importing('--json'));
      expect(JSON.parse(done.stdout)).toMatchObject({ imported: 1, foreground: 1 });
      await ended;
      expect(answer.trim()).toBe('!dlroW olleH');
      await worker.stop();
    },
  );

  it.runIf(missing === '')('what cannot be taken stays there, and is told', async () => {
    const fn = `import-${randomUUID()}`;
    const raw = await RawGearman.open(gearmand.address);
    const bad = await raw.submit('SUBMIT_JOB_BG', fn, Buffer.from([0xff, 0xfe]) as never, 'bad');
    await raw.submit('SUBMIT_JOB_BG', fn, '', 'good');
    const done = await gearmesh(importing('--function', fn, '--json'));
    expect(done.code).toBe(1);
    expect(done.stderr).toContain(`${bad} stays there: its unique id is not UTF-8`);
    expect(JSON.parse(done.stdout)).toMatchObject({ imported: 1, refused: 1 });
    expect(await left()).toBe(1);
    raw.end();
  });

  it.runIf(missing === '')('--follow goes on with what comes, until it is stopped', async () => {
    const fn = `import-${randomUUID()}`;
    const raw = await RawGearman.open(gearmand.address);
    await raw.submit('SUBMIT_JOB_BG', fn, '', 'first');
    const following = new CliProcess(importing('--follow', '--json'));
    const client = cluster.client();
    const here = async (): Promise<number> =>
      (await client.queues.get(fn).catch(() => null))?.totals.submitted ?? 0;
    await until(SETTLE_MS, async () => (await here()) === 1);
    for (let i = 0; i < 20; i++) await raw.submit('SUBMIT_JOB_HIGH_BG', fn, '', `later ${i}`);
    await until(SETTLE_MS, async () => (await here()) === 21);
    const done = await following.stop();
    expect(done.code).toBe(0);
    expect(JSON.parse(done.stdout)).toMatchObject({ imported: 21 });
    expect(await left()).toBe(0);
    await client.close();
    raw.end();
  });

  it.runIf(missing === '')('a gearmand that dies ends it, with what was done until then', async () => {
    const fn = `import-${randomUUID()}`;
    const raw = await RawGearman.open(gearmand.address);
    await raw.submit('SUBMIT_JOB_BG', fn, '', 'x');
    raw.end();
    const following = new CliProcess(importing('--follow', '--json'));
    await following.said('1 imported');
    await gearmand.stop();
    const done = await following.ended;
    expect(done.code).toBe(1);
    expect(JSON.parse(done.stdout)).toMatchObject({ imported: 1 });
    expect(done.stderr).toContain('run it again to go on');
  });

  it.runIf(missing === '')('without a gearmand, or at a node of Gearmesh, it says so', async () => {
    await gearmand.stop();
    const none = await gearmesh(importing());
    expect(none.code).toBe(4);
    expect(none.stderr).toContain(`no gearmand answers at ${gearmand.address}`);
    const own = await gearmesh(['import', 'gearmand', '--from', cluster.node('n1').gearman]);
    expect(own.code).toBe(2);
    expect(own.stderr).toContain('is a node of Gearmesh');
    expect((await gearmesh(['import', 'gearmand', '--from', 'nowhere'])).code).toBe(2);
  });
});
