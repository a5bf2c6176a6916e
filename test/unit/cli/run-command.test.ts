import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { CommandRun } from '../../../src/cli/run-command.js';
import { runCommand } from '../../../src/cli/run-command.js';

const node = (script: string, more: Partial<CommandRun> = {}) =>
  runCommand({
    command: process.execPath,
    args: ['-e', script],
    input: Buffer.from('Hello'),
    environment: process.env,
    signal: new AbortController().signal,
    killGraceMs: 10_000,
    outputMax: 1_000_000,
    ...more,
  });

test('input goes in, output comes out', async () => {
  const result = await node("process.stdin.on('data', (d) => process.stdout.write(String(d).toUpperCase()))");
  expect(result).toMatchObject({ code: 0, signal: null, outputTooLarge: false, errorTail: '' });
  expect(result.output.toString()).toBe('HELLO');
});

test('an exit code and the end of standard error are told', async () => {
  const result = await node("process.stderr.write('x'.repeat(5000) + ' bad luck\\n'); process.exitCode = 65");
  expect(result.code).toBe(65);
  expect(result.errorTail).toHaveLength(4_095);
  expect(result.errorTail.endsWith('x bad luck')).toBe(true);
});

test('a command that reads nothing is no failure', async () => {
  const result = await node('process.exit(0)', { input: Buffer.alloc(1_000_000) });
  expect(result.code).toBe(0);
});

test('it is ended by its signal', async () => {
  const stop = new AbortController();
  const running = node('setInterval(() => {}, 1000)', { signal: stop.signal });
  stop.abort();
  expect((await running).signal).toBe('SIGTERM');
});

test('it is killed after the grace when it does not listen', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'gearmesh-run-'));
  const ready = join(directory, 'ready');
  const stop = new AbortController();
  const script = `process.on('SIGTERM', () => {});
    setInterval(() => {}, 1000);
    require('node:fs').writeFileSync(${JSON.stringify(ready)}, '');`;
  const running = node(script, { signal: stop.signal, killGraceMs: 50 });
  await expect.poll(() => existsSync(ready), { timeout: 10_000 }).toBe(true);
  stop.abort();
  expect((await running).signal).toBe('SIGKILL');
  rmSync(directory, { recursive: true });
});

test('children of the command end with it', async () => {
  const stop = new AbortController();
  const started = Date.now();
  const running = runCommand({
    command: '/bin/sh',
    args: ['-c', 'sleep 30 | cat'],
    input: Buffer.alloc(0),
    environment: process.env,
    signal: stop.signal,
    killGraceMs: 10_000,
    outputMax: 10,
  });
  stop.abort();
  await running;
  expect(Date.now() - started).toBeLessThan(10_000);
});

test('endless output is ended', async () => {
  const result = await node("setInterval(() => process.stdout.write('y'.repeat(10000)), 0)", {
    outputMax: 50_000,
  });
  expect(result.outputTooLarge).toBe(true);
  expect(result.output.length).toBeLessThanOrEqual(50_000);
});

test('a command that does not exist rejects', async () => {
  await expect(node('', { command: '/nowhere/at-all' })).rejects.toMatchObject({ code: 'ENOENT' });
});
