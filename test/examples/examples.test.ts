import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { transformSync } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freeBasePort } from '../../src/cli/dev-ports.js';
import type { Client } from '../../src/client/index.js';
import type { Worker } from '../../src/worker/index.js';
import { startWorker } from '../support/jobs.js';
import { freePorts, RealCluster } from '../support/real-cluster.js';
import { ENTRY, ROOT } from '../support/root.js';
import { ShellLine, type ShellResult } from '../support/shell.js';
import { codeBlocks, commandExamples, shellCommands } from '../support/shell-examples.js';

/**
 * Goal: whoever copies an example gets what it promises. Every example of `--help` and docs/cli.md, every command and
 * program of README.md, and everything in examples/ runs here, against a cluster of real nodes. Addresses and ids are
 * replaced by those of that cluster; nothing else is, but for what `OTHERWISE` lists.
 */
const SHOWN_ID = '01JZ0000000000000000000000';
const SHOWN_ADDRESSES = ['127.0.0.1:7730', '127.0.0.1:7740', '127.0.0.1:7750'];
const ULID = /^[0-9A-HJKMNP-TV-Z]{26}$/;
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');

/** What cannot run here as it stands: what runs instead, and why. '' runs nothing. */
const OTHERWISE: readonly (readonly [line: RegExp, instead: (line: string) => string, why: string])[] = [
  [/^npm ci && npm test$/, () => '', 'minutes of other tests, which .ci/run runs word for word'],
  [
    /^npm ci && npm start$/,
    () => 'npm start -- --base-port PORT',
    'npm ci would replace what this test uses',
  ],
  [/10\.0\.0\.1/, (line) => `${line} --check`, 'these addresses are of other machines'],
  [
    /^gearmesh dev/,
    (line) => line.replace(/dev( --nodes \d)/, 'dev$1 --base-port PORT'),
    'ports may be taken',
  ],
  [/completion zsh/, () => 'gearmesh completion zsh', 'zsh may not be here'],
];

/** All are to end with exit code 0. */
interface Expected {
  readonly stdout?: RegExp;
  /** It runs until it is stopped: this is said first, on either stream. */
  readonly until?: RegExp;
  /** Done meanwhile. */
  readonly meanwhile?: () => Promise<void>;
  /** Done before. May return the id that the example names. */
  readonly before?: () => Promise<string | undefined>;
}

let cluster: RealCluster;
let client: Client;
let worker: Worker;
let directory: string;
let basePort: number;

const result = async (fn: string, payload: string): Promise<string> => {
  return (await client.run(fn, payload, { resultRetentionMs: 600_000 }).result).text();
};
const working = (fn: string, payload: string, gives: RegExp): Expected => ({
  until: /session opened/,
  meanwhile: async () => expect(await result(fn, payload)).toMatch(gives),
});
const endedJob = async (): Promise<string> => {
  return (await client.run('reverse', 'abc', { resultRetentionMs: 600_000 }).result).jobId;
};
const waitingJob = async (): Promise<string> => (await client.submit('nobody-does-this', 'abc')).jobId;
const cancelledJob = async (): Promise<string> => {
  const id = await waitingJob();
  await client.cancel(id);
  return id;
};
/** Node n3 comes back with an empty disk. */
const wipe = async (): Promise<undefined> => {
  const node = cluster.node('n3');
  await node.end('SIGKILL');
  rmSync(node.directory, { recursive: true });
  node.start();
  await node.logged(['this disk is empty and the cluster exists: waiting to be added']);
  return undefined;
};

const READY = /The cluster is ready[\s\S]*gearmesh status/;
const DEMO = { stdout: /!dlroW olleH[\s\S]* ms until the next job[\s\S]*1001 of 1001 jobs are done/ };

const OF_COMMANDS: Readonly<Record<string, Expected>> = {
  'gearmesh dev --nodes 3': { until: READY },
  "gearmesh submit reverse 'Hello World!' --wait": { stdout: /^!dlroW olleH$/ },
  'gearmesh work reverse -- rev': working('reverse', 'abc', /^cba$/),
  'gearmesh server --data-dir .gearmesh/n1': { until: /leader known/ },
  'gearmesh server --id n1 --data-dir /var/lib/gearmesh --insecure \\\n    --listen-grpc 10.0.0.1:7730 --listen-peer 10.0.0.1:7731 --listen-http 10.0.0.1:7732 \\\n    --peers n1=10.0.0.1:7731,n2=10.0.0.2:7731,n3=10.0.0.3:7731':
    { stdout: /in order/ },
  'gearmesh server --data-dir .gearmesh/n1 --log-level debug --check': { stdout: /in order/ },
  'gearmesh dev --nodes 3 --data-dir .gearmesh/dev': { until: READY },
  'gearmesh dev --nodes 3 --base-port 17730 --json': { until: /^\{"ready":true,.*"leader":"n\d"\}\n$/ },
  'gearmesh dev --nodes 1 -- --log-level debug': { until: READY },
  'gearmesh demo': DEMO,
  "echo 'Hello World!' | gearmesh submit reverse": { stdout: ULID },
  'gearmesh submit reverse "later" --delay 1h --priority low': { stdout: ULID },
  'gearmesh submit reverse "once" --unique once --json': { stdout: /^\{"job_id":".*"disposition":"created"/ },
  'gearmesh work checksum --concurrency 4 -- sha256sum': working('checksum', 'abc', /^ba7816bf[0-9a-f]{56} /),
  'gearmesh work greet -- sh -c \'echo "Hello $(cat), attempt $GEARMESH_ATTEMPT"\'': working(
    'greet',
    'Ada',
    /^Hello Ada, attempt 1\n$/,
  ),
  'gearmesh status': { stdout: /leader n\d[\s\S]*reverse/ },
  'gearmesh status --eventual': { stdout: /leader n\d[\s\S]*reverse/ },
  'gearmesh status --json': { stdout: /^\{.*"leader":"n\d".*"queues":\[\{/ },
  'gearmesh jobs list --function reverse --state failed': { stdout: /^id +function/ },
  [`gearmesh jobs get ${SHOWN_ID}`]: { before: endedJob, stdout: /succeeded/ },
  'gearmesh jobs list': { stdout: /reverse +succeeded/ },
  'gearmesh jobs list --function reverse --state queued,running --limit 10': { stdout: /^id +function/ },
  'gearmesh jobs list --json': { stdout: /^\{"jobs":\[\{.*"more":false\}$/ },
  [`gearmesh jobs get ${SHOWN_ID} --result`]: { before: endedJob, stdout: /^cba$/ },
  [`gearmesh jobs cancel ${SHOWN_ID} --reason "no longer needed"`]: { before: waitingJob },
  [`gearmesh jobs retry ${SHOWN_ID}`]: { before: cancelledJob },
  [`gearmesh jobs delete ${SHOWN_ID}`]: { before: endedJob },
  'gearmesh queues list': { stdout: /reverse/ },
  'gearmesh queues pause reverse': {},
  'gearmesh queues list --all-namespaces --json': { stdout: /^\{"queues":\[\{.*"function":"reverse"/ },
  'gearmesh queues resume reverse': {},
  'gearmesh queues purge reverse': { stdout: /1/ },
  'gearmesh queues purge reverse --state failed': { stdout: /0/ },
  'gearmesh cluster status': { stdout: /leader n\d/ },
  'gearmesh cluster transfer n2': { stdout: /n2/ },
  'gearmesh cluster status --endpoint 127.0.0.1:7740 --eventual --json': { stdout: /^\{"cluster":"test"/ },
  'gearmesh cluster transfer': { stdout: /leader n[13]/ },
  'gearmesh cluster replace n3': { before: wipe, stdout: /n3 is back/ },
  'gearmesh bench --jobs 10000': { stdout: /10000 jobs accepted[\s\S]*p50/ },
  'gearmesh bench --jobs 1000 --in-flight 1 --json': { stdout: /^\{"jobs":1000,.*"latency_ms":\{"p50"/ },
  'source <(gearmesh completion bash)': {},
  'source <(gearmesh completion zsh)': { stdout: /bashcompinit/ },
  'gearmesh completion fish > ~/.config/fish/completions/gearmesh.fish': {},
  'gearmesh version': { stdout: /^gearmesh \d+\.\d+\.\d+ on Node\.js \d+/ },
  'gearmesh version --json': { stdout: /^\{"version":".*","node":".*"\}$/ },
};

const OF_README: Readonly<Record<string, Expected>> = {
  'npm ci && npm start': { until: READY },
  'npx gearmesh work reverse -- rev': working('reverse', 'abc', /^cba$/),
  "npx gearmesh submit reverse 'Hello World!' --wait": { stdout: /^!dlroW olleH$/ },
  'npx gearmesh status': { stdout: /leader n\d[\s\S]*reverse/ },
  'npx gearmesh jobs list': { stdout: /reverse +succeeded/ },
  [`export GEARMESH_ENDPOINT=${SHOWN_ADDRESSES.join(',')}`]: {},
  'npm run demo': DEMO,
  'npm ci && npm test': {},
};

/** With the addresses, the ports and the id of this cluster. */
function here(text: string, id = SHOWN_ID): string {
  let replaced = text
    .replaceAll(SHOWN_ID, id)
    .replaceAll(/--base-port (17730|PORT)/g, `--base-port ${basePort}`);
  for (const [i, address] of SHOWN_ADDRESSES.entries()) {
    replaced = replaced.replaceAll(address, cluster.nodes[i]!.grpc);
  }
  return replaced;
}

async function environment(): Promise<Record<string, string>> {
  const ports = await freePorts(3);
  return {
    PATH: `${join(directory, 'bin')}:${process.env.PATH}`,
    HOME: directory,
    GEARMESH_ENDPOINT: cluster.endpoints.join(','),
    // Where `gearmesh server` listens when its line does not say.
    GEARMESH_LISTEN_GRPC: `127.0.0.1:${ports[0]}`,
    GEARMESH_LISTEN_PEER: `127.0.0.1:${ports[1]}`,
    GEARMESH_LISTEN_HTTP: `127.0.0.1:${ports[2]}`,
  };
}

async function run(line: string, cwd: string, expected: Expected): Promise<void> {
  const other = OTHERWISE.find(([pattern]) => pattern.test(line));
  const instead = other === undefined ? line : other[1](line);
  if (instead === '') return;
  const id = await expected.before?.();
  const shell = new ShellLine(here(instead, id), { cwd, environment: await environment() });
  let done: ShellResult;
  if (expected.until === undefined) {
    done = await shell.ended;
  } else {
    try {
      await shell.said(expected.until);
      await expected.meanwhile?.();
    } finally {
      done = await shell.stop();
    }
  }
  // npm passes the signal on and then dies of it too, once what it started has ended in order.
  const byNpm = expected.until !== undefined && /^npm|^npx/.test(line) && done.signal === 'SIGINT';
  expect(byNpm ? 0 : done.code, `${done.stdout}\n${done.stderr}`).toBe(0);
  if (expected.stdout !== undefined) expect(done.stdout.trim()).toMatch(expected.stdout);
}

beforeAll(async () => {
  cluster = await RealCluster.start();
  client = cluster.client();
  worker = await startWorker(cluster, 'reverse');
  await result('reverse', 'the first');
  basePort = (await freeBasePort(3, 21_730))!;
  directory = mkdtempSync(join(tmpdir(), 'gearmesh-examples-'));
  mkdirSync(join(directory, 'bin'));
  mkdirSync(join(directory, '.config/fish/completions'), { recursive: true });
  const shim = join(directory, 'bin/gearmesh');
  writeFileSync(shim, `#!/bin/sh\nexec '${process.execPath}' '${ENTRY}' "$@"\n`);
  chmodSync(shim, 0o755);
});

afterAll(async () => {
  await worker.stop();
  await client.close();
  await cluster.remove();
  rmSync(directory, { recursive: true, force: true });
});

describe('the examples of the command line', () => {
  const lines = commandExamples();

  it('are those of docs/cli.md and --help, and each has its expectation', () => {
    const page = shellCommands(readFileSync(join(ROOT, 'docs/cli.md'), 'utf8'));
    expect(lines).toEqual(expect.arrayContaining(page));
    expect(new Set(Object.keys(OF_COMMANDS))).toEqual(new Set(lines));
  });

  it.each(lines)('%s', (line) => run(line, directory, OF_COMMANDS[line]!));
});

describe('README.md', () => {
  const lines = shellCommands(README);

  it('has an expectation for each command', () => {
    expect(new Set(Object.keys(OF_README))).toEqual(new Set(lines));
  });

  it.each(lines)('%s', (line) => run(line, ROOT, OF_README[line]!));

  it('names scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const named = [...README.matchAll(/npm (?:run )?([a-z:]+)/g)].map((match) => match[1]!);
    expect([...Object.keys(scripts), 'ci', 'install']).toEqual(expect.arrayContaining(named));
  });

  describe('the TypeScript', () => {
    let folder: string;
    beforeAll(() => {
      // Inside the package, so that it finds itself by its name.
      mkdirSync(join(ROOT, 'build'), { recursive: true });
      folder = mkdtempSync(join(ROOT, 'build/readme-'));
    });
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    it('has the types that it should, and runs', async () => {
      const blocks = codeBlocks(README, 'ts');
      expect(blocks.length).toBeGreaterThan(0);
      for (const [i, block] of blocks.entries()) writeFileSync(join(folder, `${i}.ts`), here(block));
      const settings = {
        extends: '../../tsconfig.json',
        compilerOptions: { rootDir: '../..' },
        include: ['*.ts'],
      };
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(settings));
      const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
      const checked = spawnSync(process.execPath, [tsc, '--noEmit', '-p', folder], { encoding: 'utf8' });
      expect(checked.stdout).toBe('');
      expect(checked.status).toBe(0);
      const printed: string[] = [];
      for (const [i, block] of blocks.entries()) {
        const program = join(folder, `${i}.mjs`);
        writeFileSync(program, transformSync(here(block), { loader: 'ts', format: 'esm' }).code);
        const done = await new ShellLine(`node ${program}`, { cwd: ROOT, environment: {} }).ended;
        expect(done.code, done.stderr).toBe(0);
        printed.push(done.stdout);
      }
      expect(printed.join('')).toMatch(
        /^Hello Ada! \(attempt 1, lease \d+\)\nHello Grace! \(attempt 1, lease \d+\)\n$/,
      );
    });
  });
});

describe('examples/', () => {
  const start = async (line: string): Promise<ShellLine> => {
    return new ShellLine(line, { cwd: ROOT, environment: await environment() });
  };

  it('worker, foreground and background', async () => {
    const serving = await start('node dist/examples/worker.js');
    await serving.said(/session opened/);
    const foreground = await (await start('node dist/examples/foreground.js')).ended;
    expect(foreground.code, foreground.stderr).toBe(0);
    expect(foreground.stdout).toMatch(/^accepted as [0-9A-Z]{26}/);
    expect(foreground.stdout).toMatch(/\d+ %, \d+ found/);
    expect(foreground.stdout).toMatch(/78498 primes below 1000000/);
    expect(foreground.stdout).toMatch(/failed as expected: .*BAD_INPUT/);
    const background = await (await start('node dist/examples/background.js')).ended;
    expect(background.code, background.stderr).toBe(0);
    expect(background.stdout).toMatch(/20 jobs accepted\nthe long one: created, then coalesced\n/);
    expect(background.stdout).toMatch(
      /in an hour: scheduled\nthe long one is cancelled\n20 jobs done; .* 2262 primes/,
    );
    const { code, stdout } = await serving.stop();
    expect(code).toBe(0);
    expect(stdout).toMatch(/session closed/);
  });

  it('shell', async () => {
    const serving = await start('gearmesh work words --concurrency 2 -- sh examples/shell/words.sh');
    await serving.said(/session opened/);
    expect(await result('words', 'The cat and the hat')).toBe('2 the\n1 and\n1 cat\n1 hat\n');
    await expect(client.run('words', ' ').result).rejects.toThrow('there are no words');
    expect((await serving.stop()).code).toBe(0);
  });

  const python = process.env.PYTHON ?? 'python3';
  const grpcio = spawnSync(python, ['-c', 'import grpc, grpc_tools']).status === 0;
  it.skipIf(!grpcio)(
    'Python (where grpcio and grpcio-tools are installed; PYTHON names the interpreter)',
    async () => {
      const done = await (await start(`${python} examples/python/reverse.py`)).ended;
      expect(done.code, done.stderr).toBe(0);
      expect(done.stdout).toMatch(/ACCEPTED[\s\S]*ENDED\n!dlroW olleH\nNOT_FOUND/);
    },
  );
});
