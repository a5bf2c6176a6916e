import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client } from '../../src/client/index.js';
import { CliProcess, gearmesh } from '../support/cli.js';
import { freePorts, until } from '../support/real-cluster.js';

/**
 * Goal: the command line does what docs/cli.md says, as a shell in the checkout sees it: the one line of `dev --json`,
 * the shapes of `--json`, and exit codes that tell scripts which of three happened ("A client is always told which of
 * three happened: done, not done, unknown", docs/guarantees.md, promise 5).
 */
const HOST = /^127\.0\.0\.1:\d+$/;
const WAIT_MS = 30_000;

interface DevLine {
  readonly ready: boolean;
  readonly cluster: string;
  readonly leader: string;
  readonly nodes: readonly {
    readonly id: string;
    readonly pid: number;
    readonly grpc: string;
    readonly peer: string;
    readonly http: string;
    readonly gearman: string;
    readonly data_dir: string;
    readonly args: readonly string[];
  }[];
}

let directory: string;
let basePort: number;
let dev: CliProcess;
let line: DevLine;
let at: string[];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'gearmesh-cli-'));
  // A free port with room for the other nodes' behind it.
  do basePort = (await freePorts(1))[0]!;
  while (basePort > 65_000);
  dev = new CliProcess(
    [
      ...['dev', '--nodes', '3', '--base-port', String(basePort)],
      ...['--data-dir', directory, '--cluster-name', 'cli', '--json'],
    ],
    { npx: true },
  );
  line = JSON.parse(await dev.firstLine()) as DevLine;
  at = ['--endpoint', line.nodes.map((node) => node.grpc).join(',')];
});

afterAll(async () => {
  await dev.stop();
  rmSync(directory, { recursive: true, force: true });
});

describe('gearmesh dev --json', () => {
  it('prints one line with what a script needs, in the shape that stays', () => {
    expect(line).toMatchObject({ ready: true, cluster: 'cli' });
    expect(Object.keys(line)).toEqual(['ready', 'cluster', 'nodes', 'leader']);
    expect(line.nodes.map((node) => node.id)).toEqual(['n1', 'n2', 'n3']);
    expect(line.nodes.map((node) => node.id)).toContain(line.leader);
    for (const [i, node] of line.nodes.entries()) {
      const port = basePort + 10 * i;
      expect(Object.keys(node)).toEqual([
        ...['id', 'pid', 'grpc', 'peer', 'http', 'gearman', 'data_dir', 'args'],
      ]);
      expect(node).toMatchObject({
        grpc: `127.0.0.1:${port}`,
        peer: `127.0.0.1:${port + 1}`,
        http: `127.0.0.1:${port + 2}`,
        gearman: `127.0.0.1:${port + 3}`,
        data_dir: join(directory, node.id),
      });
      expect(() => process.kill(node.pid, 0)).not.toThrow();
      expect(node.args[0]).toBe(process.execPath);
      expect(node.args).toContain('server');
    }
  });
});

describe('gearmesh submit and work', () => {
  it('runs a shell command for a job and prints its result', async () => {
    const worker = new CliProcess(['work', 'reverse', ...at, '--', 'rev'], { npx: true });
    await worker.said('session opened');
    const submit = ['submit', 'reverse', 'Hello World!', '--wait', ...at];
    const waited = await new CliProcess(submit, { npx: true }).ended;
    expect(waited).toMatchObject({ code: 0, stdout: '!dlroW olleH' });
    const piped = await gearmesh(['submit', 'reverse', '--wait', '--json', ...at], 'abc');
    expect(piped.code).toBe(0);
    expect(JSON.parse(piped.stdout)).toMatchObject({ state: 'succeeded', attempt: 1, result: 'cba' });
    const file = join(directory, 'payload.txt');
    writeFileSync(file, 'from a file');
    const fromFile = await gearmesh(['submit', 'reverse', '--file', file, '--wait', ...at]);
    expect(fromFile).toMatchObject({ code: 0, stdout: 'elif a morf' });
    expect((await worker.stop()).stderr).toContain('succeeded');
  });

  it('streams a payload and a result of any size, and prints them again', async () => {
    const worker = new CliProcess(['work', 'copy', ...at, '--', 'cat']);
    await worker.said('session opened');
    const payload = Array.from({ length: 300_000 }, (_, i) => `line ${i}\n`).join('');
    const file = join(directory, 'large.txt');
    writeFileSync(file, payload);
    const waited = await gearmesh(['submit', 'copy', '--file', file, '--wait', ...at]);
    expect([waited.code, waited.stdout === payload, waited.stderr]).toEqual([0, true, '']);
    const id = (await gearmesh(['submit', 'copy', ...at], payload)).stdout.trim();
    const done = await gearmesh(['jobs', 'get', id, '--json', ...at]);
    expect(JSON.parse(done.stdout)).toMatchObject({
      payload_size: payload.length,
      payload_sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    await until(WAIT_MS, async () => {
      const { stdout } = await gearmesh(['jobs', 'get', id, '--json', ...at]);
      return JSON.parse(stdout).state === 'succeeded';
    });
    for (const part of ['--payload', '--result']) {
      const printed = await gearmesh(['jobs', 'get', id, part, ...at]);
      expect([printed.code, printed.stdout === payload]).toEqual([0, true]);
    }
    await worker.stop();
  });

  it('fails with 1 when the command does, and tells its standard error', async () => {
    const worker = new CliProcess([
      'work',
      'broken',
      ...at,
      '--',
      'sh',
      '-c',
      'echo no such file >&2; exit 65',
    ]);
    await worker.said('session opened');
    const failed = await gearmesh(['submit', 'broken', 'x', '--wait', ...at]);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain('no such file');
    await worker.stop();
  });

  it('gives the command the number of the attempt and the lease token', async () => {
    const script =
      'echo "$GEARMESH_FUNCTION $GEARMESH_ATTEMPT $GEARMESH_LEASE_TOKEN"; [ "$GEARMESH_ATTEMPT" = 2 ]';
    const worker = new CliProcess(['work', 'twice', ...at, '--', 'sh', '-c', script]);
    await worker.said('session opened');
    const done = await gearmesh(['submit', 'twice', 'x', '--wait', ...at]);
    expect(done.stdout).toMatch(/^twice 2 \d+\n$/);
    await worker.stop();
  });

  it('prints the id of a background job, and finds the same job by it', async () => {
    const first = await gearmesh(['submit', 'later', 'x', '--delay', '1h', '--priority', 'low', ...at]);
    expect(first.code).toBe(0);
    const id = first.stdout.trim();
    expect(id).toMatch(/^[0-9A-HJKMNP-TV-Z]{26}$/);
    const again = await gearmesh([
      ...['submit', 'later', 'x', '--delay', '1h', '--priority', 'low', '--id', id, '--json'],
      ...at,
    ]);
    expect(JSON.parse(again.stdout)).toMatchObject({
      job_id: id,
      disposition: 'same-id',
      state: 'scheduled',
    });
    const unique = ['submit', 'later', 'y', '--unique', 'k', '--json', ...at];
    expect(JSON.parse((await gearmesh(unique)).stdout).disposition).toBe('created');
    expect(JSON.parse((await gearmesh(unique)).stdout).disposition).toBe('coalesced');
  });
});

describe('gearmesh jobs, queues and cluster', () => {
  it('shows and changes jobs', async () => {
    const id = (await gearmesh(['submit', 'looked-at', 'payload', ...at])).stdout.trim();
    const list = await gearmesh(['jobs', 'list', '--function', 'looked-at', '--json', ...at]);
    expect(JSON.parse(list.stdout)).toMatchObject({ jobs: [{ id, state: 'queued' }], more: false });
    const got = JSON.parse((await gearmesh(['jobs', 'get', id, '--json', ...at])).stdout);
    expect(got).toMatchObject({ id, function: 'looked-at', payload: 'payload', state: 'queued', attempt: 0 });
    const text = await gearmesh(['jobs', 'get', id, ...at]);
    expect(text.stdout).toContain('looked-at');
    expect((await gearmesh(['jobs', 'cancel', id, '--reason', 'a test', ...at])).code).toBe(0);
    expect(JSON.parse((await gearmesh(['jobs', 'get', id, '--json', ...at])).stdout).state).toBe('cancelled');
    expect((await gearmesh(['jobs', 'retry', id, ...at])).code).toBe(0);
    expect(JSON.parse((await gearmesh(['jobs', 'get', id, '--json', ...at])).stdout).state).toBe('queued');
  });

  it('shows, holds and empties queues', async () => {
    await gearmesh(['submit', 'queued', 'x', ...at]);
    expect((await gearmesh(['queues', 'pause', 'queued', ...at])).code).toBe(0);
    const find = async (): Promise<unknown> => {
      const { stdout } = await gearmesh(['queues', 'list', '--json', ...at]);
      const { queues } = JSON.parse(stdout) as { queues: { function: string }[] };
      return queues.find((one) => one.function === 'queued');
    };
    expect(await find()).toMatchObject({ paused: true, waiting: { normal: 1 } });
    const purged = await gearmesh(['queues', 'purge', 'queued', '--json', ...at]);
    expect(JSON.parse(purged.stdout)).toMatchObject({ function: 'queued', jobs: 1 });
    expect((await gearmesh(['queues', 'resume', 'queued', ...at])).code).toBe(0);
    await until(WAIT_MS, async () => JSON.stringify(await find()).includes('"normal":0'));
    expect(await find()).toMatchObject({ paused: false });
    expect((await gearmesh(['queues', 'list', ...at])).stdout).toContain('queued');
  });

  it('shows schedules and ends them', async () => {
    const client = new Client({ endpoints: line.nodes.map((node) => node.grpc) });
    const calendar = { minute: 30, hour: 6, dayOfWeek: 0 };
    const { scheduleId: id } = await client.schedules.create(calendar, 'report', 'the report', {
      uniqueKey: 'weekly',
    });
    await client.close();
    const shown = await gearmesh(['schedules', 'list', ...at]);
    expect(shown.stdout).toMatch(new RegExp(`^${id} +report +30 6 \\* \\* 0 +20.*T06:30:00.000Z `, 'm'));
    const { schedules, more } = JSON.parse((await gearmesh(['schedules', 'list', '--json', ...at])).stdout);
    expect(more).toBe(false);
    expect(schedules).toMatchObject([{ id, unique_key: 'weekly', fired: 0, last_at: null }]);
    const one = await gearmesh(['schedules', 'get', id, '--json', ...at]);
    expect(JSON.parse(one.stdout)).toEqual({ ...schedules[0], payload: 'the report' });
    expect((await gearmesh(['schedules', 'get', id, ...at])).stdout).toMatch(/^payload +the report$/m);
    expect((await gearmesh(['schedules', 'delete', id, ...at])).stdout).toBe(`${id}\n`);
    const gone = await gearmesh(['schedules', 'get', id, ...at]);
    expect(gone).toMatchObject({ code: 3, stdout: '' });
    expect((await gearmesh(['schedules', 'delete', id, ...at])).code).toBe(3);
  });

  it('shows the cluster and hands leadership over', async () => {
    const shown = JSON.parse((await gearmesh(['cluster', 'status', '--json', ...at])).stdout);
    expect(shown).toMatchObject({ cluster: 'cli', hash_disagreement: null });
    expect(shown.term).toBeGreaterThan(0);
    expect(shown.nodes.map((node: { id: string }) => node.id).sort()).toEqual(['n1', 'n2', 'n3']);
    for (const node of shown.nodes) {
      expect(node).toMatchObject({ reachable: true });
      expect(['leader', 'follower']).toContain(node.role);
      expect(node.applied_index).toBeGreaterThan(0);
      expect(node.commit_index).toBeGreaterThan(0);
      expect(node.grpc).toMatch(HOST);
    }
    const hashed = shown.nodes.filter((node: { state_hash: string }) => node.state_hash !== '');
    expect(hashed.length).toBeGreaterThan(0);
    const wanted = ['n1', 'n2', 'n3'].find((id) => id !== shown.leader)!;
    const moved = await gearmesh(['cluster', 'transfer', wanted, '--json', ...at]);
    expect(JSON.parse(moved.stdout)).toMatchObject({ leader: wanted });
    const status = await gearmesh(['status', ...at]);
    expect(status).toMatchObject({ code: 0 });
    expect(status.stdout).toContain(wanted);
  });
});

describe('exit codes', () => {
  const cases: readonly (readonly [string, number, readonly string[]])[] = [
    ['2: no such command', 2, ['no-such-command']],
    ['2: no such flag', 2, ['submit', 'x', '--no-such-flag']],
    ['2: a flag out of range', 2, ['dev', '--nodes', '0']],
    ['2: a wrong setting of a server', 2, ['server', '--heartbeat-ms', 'soon']],
    ['4: nobody listens there', 4, ['status', '--endpoint', '127.0.0.1:1', '--timeout', '2s']],
    ['0: help', 0, ['submit', '--help']],
    ['0: version', 0, ['version']],
  ];
  for (const [what, code, args] of cases) {
    it(what, async () => {
      const done = await gearmesh(args);
      expect(done.code, done.stderr).toBe(code);
      if (code !== 0) expect(done.stderr).not.toBe('');
    });
  }

  it('3: no such job', async () => {
    const done = await gearmesh(['jobs', 'get', '01JZ0000000000000000000000', ...at]);
    expect(done.code).toBe(3);
    expect(done.stdout).toBe('');
  });

  it('5: it took longer than its timeout', async () => {
    const done = await gearmesh(['submit', 'nobody-does-this', 'x', '--wait', '--timeout', '1s', ...at]);
    expect(done.code).toBe(5);
    expect(done.stderr).toContain('has not ended in time');
    const { stdout } = await gearmesh(['jobs', 'list', '--function', 'nobody-does-this', '--json', ...at]);
    expect(JSON.parse(stdout)).toMatchObject({ jobs: [{ state: 'queued' }] });
  });

  it('7: a job in a state that does not allow it', async () => {
    const id = (await gearmesh(['submit', 'waits', 'x', ...at])).stdout.trim();
    expect((await gearmesh(['jobs', 'delete', id, ...at])).code).toBe(7);
  });

  it('8: a payload over the limit', async () => {
    const done = await gearmesh(['submit', 'large', '-', ...at], 'x'.repeat(64 * 1024 * 1024 + 1));
    expect(done.code).toBe(8);
  });
});
