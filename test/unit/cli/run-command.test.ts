import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { CommandRun } from '../../../src/cli/run-command.js';
import { runCommand } from '../../../src/cli/run-command.js';

async function* chunks(...parts: Uint8Array[]): AsyncGenerator<Uint8Array, void, undefined> {
  yield* parts;
}

/** Runs to the end, with all the output. */
async function run(o: CommandRun) {
  const command = runCommand(o);
  const output: Uint8Array[] = [];
  for await (const chunk of command.output) output.push(chunk);
  return { ...(await command.result), output: Buffer.concat(output) };
}

const options = (script: string, more: Partial<CommandRun> = {}): CommandRun => ({
  command: process.execPath,
  args: ['-e', script],
  input: chunks(Buffer.from('Hello')),
  environment: process.env,
  signal: new AbortController().signal,
  killGraceMs: 10_000,
  ...more,
});
const node = (script: string, more: Partial<CommandRun> = {}) => run(options(script, more));

test('input goes in, output comes out', async () => {
  const result = await node("process.stdin.on('data', (d) => process.stdout.write(String(d).toUpperCase()))");
  expect(result).toMatchObject({ code: 0, signal: null, errorTail: '' });
  expect(result.output.toString()).toBe('HELLO');
});

test('an exit code and the end of standard error are told', async () => {
  const result = await node("process.stderr.write('x'.repeat(5000) + ' bad luck\\n'); process.exitCode = 65");
  expect(result.code).toBe(65);
  expect(result.errorTail).toHaveLength(4_095);
  expect(result.errorTail.endsWith('x bad luck')).toBe(true);
});

test('a command that reads nothing is no failure', async () => {
  const result = await node('process.exit(0)', {
    input: chunks(Buffer.alloc(1_000_000), Buffer.alloc(1_000_000)),
  });
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
  const running = run({
    command: '/bin/sh',
    args: ['-c', 'sleep 30 | cat'],
    input: chunks(),
    environment: process.env,
    signal: stop.signal,
    killGraceMs: 10_000,
  });
  stop.abort();
  await running;
  expect(Date.now() - started).toBeLessThan(10_000);
});

test('input and output are held nowhere: each goes at the pace of the other', async () => {
  let given = 0;
  async function* endless(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      given += 100_000;
      yield Buffer.alloc(100_000, 'y');
    }
  }
  const command = runCommand(options('process.stdin.pipe(process.stdout)', { input: endless() }));
  const output = command.output[Symbol.asyncIterator]();
  let taken = 0;
  while (taken < 5_000_000) taken += (await output.next()).value.length;
  // Pipes and streams hold a little, a command of node's a little more.
  expect(given - taken).toBeLessThan(2_000_000);
  command.end();
  await output.return?.();
  expect((await command.result).signal).toBe('SIGTERM');
});

test('a command whose input breaks is ended, and has not succeeded', async () => {
  async function* broken(): AsyncGenerator<Uint8Array, void, undefined> {
    yield Buffer.from('half');
    throw new Error('the payload is gone');
  }
  const running = node("process.stdin.resume(); process.on('SIGTERM', () => process.exit(0))", {
    input: broken(),
  });
  await expect(running).rejects.toThrow('the payload is gone');
});

test('a command that does not exist rejects', async () => {
  await expect(node('', { command: '/nowhere/at-all' })).rejects.toMatchObject({ code: 'ENOENT' });
});
