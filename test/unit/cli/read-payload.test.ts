import { PassThrough, Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { stdinBegun } from '../../../src/cli/read-payload.js';

/** Goal: standard input is waited for until it begins, and nothing of it is lost by that. */
async function all(stream: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}

const { signal } = new AbortController();

it('standard input that begins late is waited for, and read whole', async () => {
  const stdin = new PassThrough();
  let begun = false;
  const waiting = stdinBegun({ stdin, signal }).then(() => {
    begun = true;
  });
  for (let i = 0; i < 10; i++) await new Promise(setImmediate);
  expect(begun).toBe(false);
  stdin.write('a');
  await waiting;
  stdin.end('b');
  expect(await all(stdin)).toBe('ab');
});

it('one that has begun, is empty, is over, or fails is not', async () => {
  const there = Readable.from(['x']);
  await stdinBegun({ stdin: there, signal });
  expect(await all(there)).toBe('x');
  const empty = new PassThrough();
  empty.end();
  await new Promise(setImmediate);
  await stdinBegun({ stdin: empty, signal });
  expect(await all(empty)).toBe('');
  await stdinBegun({ stdin: empty, signal });
  const broken = new PassThrough();
  const waiting = stdinBegun({ stdin: broken, signal });
  broken.destroy(new Error('gone'));
  await waiting;
  await expect(all(broken)).rejects.toThrow('gone');
});

it('nor any longer than its signal', async () => {
  const stop = new AbortController();
  const waiting = stdinBegun({ stdin: new PassThrough(), signal: stop.signal });
  stop.abort();
  await waiting;
});
