/** The lock between processes: held as long as its process lives, stopped or not, and no longer. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { build } from 'esbuild';
import { expect, it } from 'vitest';
import { realDisk } from '../../../src/storage/index.js';
import { inTemporaryDirectory } from './support.js';

async function holder(directory: string, lock: string): Promise<ChildProcess> {
  const outfile = `${directory}/holder.mjs`;
  const entry = new URL('../../../src/storage/real-lock.ts', import.meta.url).pathname;
  await build({ entryPoints: [entry], outfile, bundle: true, platform: 'node', format: 'esm' });
  const program = `
    import { lockPath } from ${JSON.stringify(outfile)};
    await lockPath(${JSON.stringify(lock)});
    process.stdout.write('held');
    process.stdin.resume();
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [said] = await once(child.stdout!, 'data');
  expect(String(said)).toBe('held');
  return child;
}

it('is held by another process until that one dies, even while it is stopped', () =>
  inTemporaryDirectory(async (path) => {
    const deep = `${path}/${'d'.repeat(60)}/${'e'.repeat(60)}`;
    await mkdir(deep, { recursive: true });
    const lock = `${deep}/lock`;
    const child = await holder(path, lock);
    try {
      await expect(realDisk().lock(lock)).rejects.toMatchObject({
        code: 'LOCKED',
        message: expect.stringContaining('in use by another process'),
      });
      child.kill('SIGSTOP');
      await expect(realDisk().lock(lock)).rejects.toMatchObject({ code: 'LOCKED' });
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    const taken = await realDisk().lock(lock);
    await taken.release();
  }));
