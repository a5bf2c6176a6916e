import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { buildSync } from 'esbuild';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { DevClusterOptions } from '../../../src/cli/dev-cluster.js';
import { DevCluster } from '../../../src/cli/dev-cluster.js';
import { freeBasePort } from '../../../src/cli/dev-ports.js';
import { ENGINE_FLAGS } from '../../../src/cli/engine-flags.js';

const FAKE = fileURLToPath(new URL('./fake-node.mjs', import.meta.url));
const SOURCE = fileURLToPath(new URL('../../../src/cli/dev-cluster.ts', import.meta.url));

let directory: string;
let lines: string[];
let heard: () => void;
const clusters: DevCluster[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gearmesh-dev-test-'));
  lines = [];
  heard = () => {};
});
afterEach(async () => {
  for (const cluster of clusters.splice(0)) {
    cluster.kill();
    await cluster.stop();
  }
  rmSync(directory, { recursive: true, force: true });
});

/** Below the ports that systems hand out by themselves: none of those is taken meanwhile by somebody else. */
async function freePort(): Promise<number> {
  const base = await freeBasePort(2, 10_000 + randomInt(20_000));
  if (base === null) throw new Error('no ports are free');
  return base;
}

const options = async (more: Partial<DevClusterOptions> = {}): Promise<DevClusterOptions> => ({
  nodes: 2,
  basePort: await freePort(),
  directory,
  clusterName: 'test',
  entry: FAKE,
  environment: { PATH: process.env.PATH, GEARMESH_ID: 'other', GEARMESH_LOG_LEVEL: 'debug' },
  serverFlags: [],
  restart: false,
  report: (line) => {
    lines.push(line);
    heard();
  },
  signal: new AbortController().signal,
  ...more,
});

async function start(more: Partial<DevClusterOptions> = {}): Promise<DevCluster> {
  const cluster = await DevCluster.start(await options(more));
  clusters.push(cluster);
  return cluster;
}

function line(pattern: RegExp): Promise<string> {
  return new Promise((done) => {
    heard = () => {
      const found = lines.find((l) => pattern.test(l));
      if (found !== undefined) done(found);
    };
    heard();
  });
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test('each node is a process of its own with its ports, its data and the words that start it again', async () => {
  const base = await freePort();
  const cluster = await start({ basePort: base, serverFlags: ['--log-level', 'warn'] });
  expect(cluster.nodes).toHaveLength(2);
  const [first, second] = cluster.nodes;
  expect(first).toMatchObject({
    id: 'n1',
    grpc: `127.0.0.1:${base}`,
    peer: `127.0.0.1:${base + 1}`,
    http: `127.0.0.1:${base + 2}`,
    gearman: `127.0.0.1:${base + 3}`,
    data_dir: join(directory, 'n1'),
  });
  expect(second!.grpc).toBe(`127.0.0.1:${base + 10}`);
  expect(first!.pid).not.toBe(second!.pid);
  expect(first!.args.slice(0, first!.args.indexOf('server'))).toEqual([
    process.execPath,
    ...ENGINE_FLAGS,
    ...process.execArgv,
    FAKE,
  ]);
  const words = first!.args.slice(first!.args.indexOf('server')).join(' ');
  expect(words).toBe(
    `server --id n1 --data-dir ${join(directory, 'n1')} --cluster-name test --listen-grpc 127.0.0.1:${base} ` +
      `--listen-peer 127.0.0.1:${base + 1} --listen-http 127.0.0.1:${base + 2} ` +
      `--listen-gearman 127.0.0.1:${base + 3} ` +
      `--peers n1=127.0.0.1:${base + 1},n2=127.0.0.1:${base + 11} --log-level warn`,
  );
  expect(readFileSync(join(directory, 'n1.log'), 'utf8')).toContain(words);
});

test('a node that is killed does not take the others down, and stays down', async () => {
  const cluster = await start();
  const [first, second] = cluster.nodes;
  process.kill(first!.pid, 'SIGKILL');
  expect(await line(/ended/)).toMatch(/^n1 \(pid \d+\) ended: SIGKILL/);
  expect(isRunning(second!.pid)).toBe(true);
});

test('with restart it is started again with the same words', async () => {
  const cluster = await start({ restart: true });
  const node = cluster.nodes[0]!;
  const before = node.pid;
  process.kill(before, 'SIGKILL');
  await line(/starting it again/);
  await expect.poll(() => node.pid !== before && isRunning(node.pid)).toBe(true);
});

test('stop ends all of them', async () => {
  const cluster = await start();
  await cluster.stop();
  expect(cluster.nodes.map((n) => isRunning(n.pid))).toEqual([false, false]);
  expect(lines.some((l) => l.includes('ended'))).toBe(false);
});

test('a node that does not come up ends the start, with the end of its log, and leaves nothing running', async () => {
  const failed = DevCluster.start(await options({ serverFlags: ['--fail'] }));
  await expect(failed).rejects.toMatchObject({
    exit: 'FAILED',
    message: expect.stringMatching(/^node n[12] ended while it started$/),
    hint: expect.stringContaining('cannot go on'),
  });
});

test('a port that is taken is named before anything starts', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const refused = DevCluster.start(await options({ basePort: port }));
  await expect(refused).rejects.toThrow(`port ${port} cannot be used`);
  server.close();
});

test('nodes end when the process that started them is killed', async () => {
  const script = join(directory, 'parent.mjs');
  const bundle = join(directory, 'dev-cluster.mjs');
  buildSync({
    entryPoints: [SOURCE],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'esm',
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
  const { report: _, signal: __, ...plain } = await options();
  writeFileSync(
    script,
    `import { DevCluster } from ${JSON.stringify(pathToFileURL(bundle).href)};
     const cluster = await DevCluster.start({ ...${JSON.stringify(plain)}, report() {}, signal: new AbortController().signal });
     console.log(JSON.stringify(cluster.nodes.map((n) => n.pid)));
     setInterval(() => {}, 1000);`,
  );
  const parent = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [output] = (await once(parent.stdout, 'data')) as [Buffer];
  const pids = JSON.parse(output.toString()) as number[];
  expect(pids.map(isRunning)).toEqual([true, true]);
  parent.kill('SIGKILL');
  await expect.poll(() => pids.map(isRunning), { timeout: 5_000 }).toEqual([false, false]);
});
