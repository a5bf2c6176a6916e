import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Worker } from '../../src/worker/index.js';
import { RawGearman } from '../support/gearman.js';
import { type GearmanClient, gearmanClients, gearmanTools } from '../support/gearman-clients.js';
import { RealCluster, until } from '../support/real-cluster.js';
import { REQUIRED } from '../support/required.js';

/**
 * Goal: clients and workers that were written for gearmand, by others, work by changing host and port, at any node, with
 * each other and with gRPC; a background job that was accepted survives the leader.
 */
const RUN_MS = 30_000;
const TOOLS: GearmanClient = {
  name: 'gearman-tools',
  command: ['gearman'],
  environment: {},
  missing: gearmanTools(),
};
const CLIENTS = gearmanClients();
const php = CLIENTS.find(({ name }) => name.startsWith('PHP'))!;
const perl = CLIENTS.find(({ name }) => name.startsWith('Perl'))!;

let cluster: RealCluster;
let running: ChildProcess[] = [];

beforeAll(async () => {
  cluster = await RealCluster.start();
});

afterEach(async () => {
  for (const one of running) {
    if (one.exitCode !== null || one.signalCode !== null) continue;
    const gone = once(one, 'exit');
    one.kill('SIGKILL');
    await gone;
  }
  running = [];
});

afterAll(async () => {
  await cluster?.remove();
});

const at = (node: 1 | 2 | 3): string => cluster.node(`n${node}`).gearman;
const newFunction = (): string => `reverse-${randomUUID()}`;
const title = ({ name, missing }: GearmanClient): string =>
  missing === '' ? name : `${name} (skipped: ${missing})`;

interface Done {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
}

function start(client: GearmanClient, ...args: string[]): ChildProcess {
  const [program, ...first] = client.command;
  const child = spawn(program!, [...first, ...args], {
    env: { ...process.env, ...client.environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin!.on('error', () => {});
  running.push(child);
  return child;
}

async function run(client: GearmanClient, args: readonly string[], input = ''): Promise<Done> {
  const child = start(client, ...args);
  let stdout = '';
  let stderr = '';
  child.stdout!.on('data', (bytes: Buffer) => {
    stdout += bytes.toString();
  });
  child.stderr!.on('data', (bytes: Buffer) => {
    stderr += bytes.toString();
  });
  child.stdin!.end(input);
  const timer = setTimeout(() => child.kill('SIGKILL'), RUN_MS);
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  return { stdout, stderr, code };
}

/** `gearman` at a node. */
function tool(node: 1 | 2 | 3, args: readonly string[], input = ''): Promise<Done> {
  const [host, port] = at(node).split(':') as [string, string];
  return run(TOOLS, ['-h', host, '-p', port, ...args], input);
}

function admin(node: 1 | 2 | 3, ...args: string[]): Promise<Done> {
  const [host, port] = at(node).split(':') as [string, string];
  return run({ ...TOOLS, command: ['gearadmin'] }, ['-h', host, '-p', port, ...args]);
}

/** Resolves once `status` shows the numbers: total, running, workers. */
async function statusIs(node: 1 | 2 | 3, fn: string, ...numbers: number[]): Promise<void> {
  const raw = await RawGearman.open(at(node));
  const wanted = [fn, ...numbers].join('\t');
  let last = '';
  try {
    await until(RUN_MS, async () => {
      last = await raw.text('status', 'list');
      return last.split('\n').includes(wanted);
    });
  } catch {
    throw new Error(`status never showed ${wanted}, but\n${last}`);
  } finally {
    raw.end();
  }
}

/** Starts a worker that reverses its payload, and waits until the cluster knows it. */
async function worker(client: GearmanClient, servers: string, fn: string): Promise<ChildProcess> {
  const child = start(client, 'work', servers, fn);
  let said = '';
  child.stderr!.on('data', (bytes: Buffer) => {
    said += bytes.toString();
  });
  child.once('exit', (code) => {
    if (code !== null && code !== 0) process.stderr.write(`${client.name} ended with ${code}: ${said}\n`);
  });
  await until(RUN_MS, async () => {
    const raw = await RawGearman.open(at(1));
    const status = await raw.text('status', 'list');
    raw.end();
    return new RegExp(`^${fn}\\t\\d+\\t\\d+\\t[1-9]`, 'm').test(status);
  });
  return child;
}

it.runIf(REQUIRED)('where the packages of Debian can be installed, all that must be there is there', () => {
  const must = [TOOLS, php, perl].filter(({ missing }) => missing !== '');
  expect(must.map(title)).toEqual([]);
  const npm = CLIENTS.filter(({ name, missing }) => name.startsWith('npm') && missing === '');
  expect(npm.length, CLIENTS.map(title).join('\n')).toBeGreaterThanOrEqual(2);
});

describe.each(CLIENTS.map((client) => [title(client), client] as const))('%s', (_, client) => {
  const there = client.missing === '';

  it.runIf(there)('works jobs of another node, and its failures reach the client', async () => {
    const fn = newFunction();
    await worker(client, at(2), fn);
    const raw = await RawGearman.open(at(1));
    for (const text of ['Hello World!', 'again', 'and again']) {
      const handle = await raw.submit('SUBMIT_JOB', fn, '', text);
      let came = await raw.next();
      while (came.name === 'WORK_STATUS' || came.name === 'WORK_DATA' || came.name === 'WORK_WARNING') {
        came = await raw.next();
      }
      expect(came.name).toBe('WORK_COMPLETE');
      expect(came.body.toString()).toBe(`${handle}\0${[...text].reverse().join('')}`);
    }
    const handle = await raw.submit('SUBMIT_JOB', fn, '', 'fail');
    let came = await raw.next();
    while (came.name === 'WORK_STATUS') came = await raw.next();
    expect([came.name, came.body.toString()]).toEqual(['WORK_FAIL', handle]);
    raw.end();
  });

  it.runIf(there).each([1, 2, 3] as const)('submits at node %i', async (node) => {
    const fn = newFunction();
    const raw = await RawGearman.open(at(1));
    raw.send('CAN_DO', fn);
    const calling = run(client, ['call', at(node), fn, 'Hello World!']);
    const first = await raw.work();
    expect(first).toMatchObject({ fn, payload: 'Hello World!' });
    raw.send('WORK_STATUS', first.handle, '1', '2').send('WORK_COMPLETE', first.handle, '!dlroW olleH');
    expect(await calling).toMatchObject({ stdout: '!dlroW olleH', code: 0 });

    const failing = run(client, ['call', at(node), fn, 'fail']);
    const second = await raw.work();
    raw.send('WORK_FAIL', second.handle);
    expect((await failing).stdout).toBe('FAILED');

    const background = await run(client, ['background', at(node), fn, 'later']);
    const third = await raw.work();
    expect(third.payload).toBe('later');
    // Some clients put the server's name before the handle.
    expect(background.stdout).toContain(third.handle);
    raw.send('WORK_COMPLETE', third.handle, '');
    await statusIs(node, fn, 0, 0, 1);
    raw.end();
  });
});

describe(title(TOOLS), () => {
  const there = TOOLS.missing === '';

  it.runIf(there)('gearman works and calls, from any node to any node', async () => {
    const fn = newFunction();
    const [host, port] = at(2).split(':') as [string, string];
    start(TOOLS, '-h', host, '-p', port, '-w', '-f', fn, '--', 'rev');
    await statusIs(1, fn, 0, 0, 1);
    for (const node of [1, 2, 3] as const) {
      expect((await tool(node, ['-f', fn], 'Hello World!')).stdout.trim()).toBe('!dlroW olleH');
      expect((await tool(node, ['-f', fn, 'abc', 'def'])).stdout.replaceAll('\n', '')).toBe('cbafed');
      expect(await tool(node, ['-H', '-b', '-f', fn], 'x')).toMatchObject({ code: 0 });
    }
  });

  it.runIf(there)('gearadmin administers', async () => {
    const fn = newFunction();
    expect((await tool(1, ['-b', '-f', fn, 'x'])).code).toBe(0);
    expect((await admin(2, '--status')).stdout).toContain(`${fn}\t1\t0\t0\n`);
    expect((await admin(3, '--priority-status')).stdout).toContain(`${fn}\t0\t1\t0\t0\n`);
    expect((await admin(1, '--workers')).stdout).toMatch(/^\d+ 127\.0\.0\.1 - :$/m);
    expect((await admin(1, '--server-version')).stdout.trim()).not.toBe('');
    expect((await admin(1, '--getpid')).stdout.trim()).toBe(String(cluster.node('n1').pid));
    const [handle] = (await admin(3, '--show-jobs')).stdout
      .split('\n')
      .filter((line) => line.endsWith('\t0\t0\t1'))
      .map((line) => line.split('\t')[0]!);
    expect((await admin(2, `--cancel-job=${handle}`)).code).toBe(0);
    expect((await admin(3, '--show-jobs')).stdout).not.toContain(handle);
  });
});

describe(`${title(php)}, in detail`, () => {
  const there = php.missing === '';

  it.runIf(there)('progress, data and warnings reach a client at another node', async () => {
    const fn = newFunction();
    await worker(php, at(3), fn);
    const { stdout, stderr } = await run(php, ['call', at(1), fn, 'Hello World!']);
    expect(stdout).toBe('!dlroW olleH');
    expect(stderr).toContain('status 3/12');
    expect(stderr).toContain('data data');
    expect((await run(php, ['plain', at(2), fn, 'Hello World!'])).stdout).toContain('!dlroW olleH');
  });
});

describe('together', () => {
  const mixed = php.missing === '' && perl.missing === '';

  it.runIf(mixed)(
    'gRPC submits, PHP works it, Perl waits for it by its unique id at a third node',
    async () => {
      const fn = newFunction();
      const client = cluster.client({ only: 'n1' });
      const unique = `together-${fn}`;
      const job = await client.submit(fn, 'Hello World!', { uniqueKey: unique });
      const waiting = run(perl, ['call', at(3), fn, 'another payload', unique]);
      const raw = await RawGearman.open(at(3));
      await until(RUN_MS, async () => {
        const said = await raw.send('GET_STATUS_UNIQUE', unique).expect('STATUS_RES_UNIQUE');
        return said.endsWith('\x001');
      });
      raw.end();
      await worker(php, at(2), fn);
      expect((await waiting).stdout).toBe('!dlroW olleH');
      expect(Buffer.from((await client.get(job.jobId, { view: 'full' })).result).toString()).toBe(
        '!dlroW olleH',
      );
      await client.close();
    },
  );

  it.runIf(TOOLS.missing === '')('gearman submits, a gRPC worker works it', async () => {
    const fn = newFunction();
    const ours = new Worker({ endpoints: [cluster.node('n3').grpc] });
    ours.handle(fn, (job) => [...job.text()].reverse().join(''));
    await ours.start();
    expect((await tool(1, ['-f', fn], 'Hello World!')).stdout.trim()).toBe('!dlroW olleH');
    await ours.stop();
  });
});

describe('failover', () => {
  const both = TOOLS.missing === '' && php.missing === '';

  it.runIf(both)(
    'background jobs that gearman submitted are worked elsewhere after the leader is killed',
    async () => {
      const fn = newFunction();
      const leader = await cluster.leader();
      for (let i = 0; i < 5; i++) expect((await tool(1, ['-b', '-f', fn, `job ${i}`])).code).toBe(0);
      const all = cluster.nodes.map((node) => node.gearman);
      await leader.end('SIGKILL');
      const left = cluster.nodes.filter((node) => node !== leader);
      const raw = await RawGearman.open(left.at(-1)!.gearman);
      raw.send('CAN_DO', fn);
      const worked: string[] = [];
      for (let i = 0; i < 5; i++) {
        const { handle, payload } = await raw.work();
        worked.push(payload);
        raw.send('WORK_COMPLETE', handle, '');
      }
      expect(worked).toEqual(Array.from({ length: 5 }, (_, i) => `job ${i}`));
      await raw.before();
      raw.end();
      leader.start();
      await cluster.ready();

      // A worker that knows all nodes goes on when one of them goes.
      const next = newFunction();
      await worker(php, all.join(), next);
      const again = await cluster.leader();
      await again.end('SIGKILL');
      const alive = cluster.nodes.find((node) => node !== again)!;
      const answered = await run(php, ['call', alive.gearman, next, 'Hello World!']);
      expect(answered.stdout).toBe('!dlroW olleH');
      again.start();
      await cluster.ready();
    },
  );
});
