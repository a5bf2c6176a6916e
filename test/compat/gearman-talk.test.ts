import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { whyNotFree } from '../../src/cli/dev-ports.js';
import { RawGearman } from '../support/gearman.js';
import { gearmanClients } from '../support/gearman-clients.js';
import { RealCluster, until } from '../support/real-cluster.js';
import { ROOT } from '../support/root.js';

/**
 * Goal: the PHP programs of the talk that the project starts from run as they stand: `addServer()` without arguments is
 * 127.0.0.1:4730, so the first node listens there.
 */
const FOLDER = join(ROOT, 'test/compat/gearman/talk');
const PORT = 4730;
const RUN_MS = 30_000;
const php = gearmanClients().find(({ name }) => name.startsWith('PHP'))!;
const taken = (await whyNotFree(PORT)) ?? '';
const missing = php.missing !== '' ? php.missing : taken === '' ? '' : `port ${PORT}: ${taken}`;

let cluster: RealCluster;
let running: ChildProcess[] = [];

beforeAll(async () => {
  if (missing === '') cluster = await RealCluster.start({ gearmanPort: PORT });
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

function start(file: string, ...args: string[]): ChildProcess {
  const child = spawn('php', [join(FOLDER, file), ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  running.push(child);
  return child;
}

async function run(file: string, ...args: string[]): Promise<string> {
  const child = start(file, ...args);
  let said = '';
  child.stdout!.on('data', (bytes: Buffer) => {
    said += bytes.toString();
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), RUN_MS);
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  expect(code, said).toBe(0);
  return said;
}

/** Resolves once `status` at the node has a line that begins so. */
async function status(address: string, begins: RegExp): Promise<void> {
  const raw = await RawGearman.open(address);
  await until(RUN_MS, async () =>
    (await raw.text('status', 'list')).split('\n').some((line) => begins.test(line)),
  );
  raw.end();
}

describe(`the talk's PHP${missing === '' ? '' : ` (skipped: ${missing})`}`, () => {
  it.runIf(missing === '')('worker and client: !dlroW olleH', async () => {
    start('worker.php');
    expect(await run('client.php')).toBe('!dlroW olleH');
    expect(await run('client.php')).toBe('!dlroW olleH');
  });

  it.runIf(missing === '')('a background job waits for a worker that starts later', async () => {
    const handle = await run('background.php');
    expect(handle).toMatch(/^H:test:\d+$/);
    const asking = await RawGearman.open(cluster.node('n3').gearman);
    expect(await asking.send('GET_STATUS', handle).expect('STATUS_RES')).toMatch(`${handle}\x001\x000`);
    start('worker.php');
    await status(cluster.node('n3').gearman, /^reverse\t0\t0\t1$/);
    asking.end();
  });

  it.runIf(missing === '')('tasks run beside one another, tell their progress, and complete', async () => {
    start('progress-worker.php');
    start('progress-worker.php');
    const lines = (await run('tasks.php')).trim().split('\n');
    expect(lines.filter((line) => /^CREATED H:test:\d+$/.test(line))).toHaveLength(3);
    const ends = lines.filter((line) => line.startsWith('COMPLETE')).sort();
    expect(ends).toEqual(['COMPLETE 1 !dlroW olleH', 'COMPLETE 2 Hello World!', 'COMPLETE 3 cba']);
    for (const [unique, size] of [
      ['1', 12],
      ['2', 12],
      ['3', 3],
    ] as const) {
      const told = lines.filter((line) => line.startsWith(`STATUS ${unique} `));
      // The last one at least; those before it may have been over before the client was watching.
      expect(told.at(-1)).toBe(`STATUS ${unique} ${size}/${size}`);
      const end = lines.findIndex((line) => line.startsWith(`COMPLETE ${unique} `));
      expect(lines.lastIndexOf(told.at(-1)!)).toBeLessThan(end);
    }
    expect(lines.filter((line) => line.startsWith('FAILED'))).toEqual([]);
  });

  it.runIf(missing === '')(
    'while ($worker->work()); with three servers goes on when its node is killed',
    async () => {
      const fn = `reverse-${randomUUID()}`;
      const servers = cluster.nodes.map((node) => node.gearman).join();
      const child = start('three-servers.php', servers, fn);
      let said = '';
      child.stdout!.on('data', (bytes: Buffer) => {
        said += bytes.toString();
      });
      const [, second, third] = cluster.nodes;
      await status(third!.gearman, new RegExp(`^${fn}\\t0\\t0\\t[123]$`));
      const client = await RawGearman.open(third!.gearman);
      for (const victim of [second!, cluster.nodes[0]!]) {
        await victim.end('SIGKILL');
        const handle = await client.submit('SUBMIT_JOB', fn, '', 'Hello World!');
        expect(await client.expect('WORK_COMPLETE')).toBe(`${handle}\0!dlroW olleH`);
        expect(child.exitCode, said).toBeNull();
        victim.start();
        await cluster.ready();
      }
      client.end();
    },
  );
});
