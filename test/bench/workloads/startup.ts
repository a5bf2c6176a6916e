import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, sep } from 'node:path';
import { createInterface } from 'node:readline';
import { freeBasePort } from '../../../src/cli/dev-ports.js';
import { ROOT } from '../../support/root.js';
import type { Context } from '../context.js';
import { spin } from '../gauge.js';

const NODES = 3;
const BASE_PORT = 20_000;
/** What is made here and comes by no checkout. */
const NOT_COPIED = new Set(['.git', 'node_modules', 'dist', 'build']);

/** `npm ci`, and `npm start` until its nodes are ready, in a copy of this checkout, with npm's cache as it is. */
export async function startup({ report }: Context): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'gearmesh-startup-'));
  const spinBefore = spin();
  try {
    cpSync(ROOT, directory, {
      recursive: true,
      filter: (source) => !NOT_COPIED.has(relative(ROOT, source).split(sep)[0]!),
    });
    const install = await installed(directory);
    const start = await started(directory);
    report.add(
      'W11',
      `npm ci in ${install.toFixed(1)} s; npm start, three nodes ready in ${start.toFixed(2)} s`,
      { install, start },
      { calm: { spinBefore, spinAfter: spin() } },
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** npm in a group of its own, with nothing of the npm that may have started us. */
function npm(directory: string, words: readonly string[]): ChildProcess {
  const own = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name));
  return spawn('npm', words, {
    cwd: directory,
    detached: true,
    env: Object.fromEntries(own),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function installed(directory: string): Promise<number> {
  const began = performance.now();
  const child = npm(directory, ['ci']);
  let said = '';
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.on('data', (bytes: Buffer) => {
      said += bytes.toString();
    });
  }
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`npm ci ended with ${code}:\n${said.slice(-3_000)}`);
  return (performance.now() - began) / 1_000;
}

async function started(directory: string): Promise<number> {
  const port = await freeBasePort(NODES, BASE_PORT);
  if (port === null) throw new Error('no ports are free');
  const began = performance.now();
  const child = npm(directory, ['start', '--', '--base-port', String(port), '--json']);
  const gone = once(child, 'exit');
  let said = '';
  child.stderr!.on('data', (bytes: Buffer) => {
    said += bytes.toString();
  });
  try {
    for await (const line of createInterface({ input: child.stdout! })) {
      if (line.startsWith('{"ready":true')) return (performance.now() - began) / 1_000;
      said += `${line}\n`;
    }
    throw new Error(`npm start ended before its nodes were ready:\n${said.slice(-3_000)}`);
  } finally {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, 'SIGTERM');
    await gone;
  }
}
