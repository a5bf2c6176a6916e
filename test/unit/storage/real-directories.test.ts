/** Which directories the real disk syncs when it makes one; the calls are real, and only counted. */
import * as fs from 'node:fs/promises';
import { expect, it, vi } from 'vitest';
import { realDisk } from '../../../src/storage/index.js';
import { inTemporaryDirectory } from './support.js';

const opened: string[] = [];
/** Refused with its code: as what a user may not open is, or a file system that takes no sync. */
const refused = new Map<string, string>();

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  return {
    ...real,
    open: async (...args: Parameters<typeof real.open>) => {
      const path = String(args[0]);
      opened.push(path);
      const code = refused.get(path);
      if (code !== undefined) throw Object.assign(new Error(code), { code });
      return real.open(...args);
    },
  };
});

async function syncedBy(work: () => Promise<void>): Promise<string[]> {
  opened.length = 0;
  await work();
  return [...opened];
}

it('makes every new level durable, from the top', () =>
  inTemporaryDirectory(async (path) => {
    const synced = await syncedBy(() => realDisk().makeDirectory(`${path}/a/b/c`));
    expect(synced.slice(-3)).toEqual([path, `${path}/a`, `${path}/a/b`]);
    expect((await fs.stat(`${path}/a/b/c`)).mode & 0o777).toBe(0o700);
  }));

it('makes the name of one that is there durable as well: whoever made it may have been killed before', () =>
  inTemporaryDirectory(async (path) => {
    await fs.mkdir(`${path}/a`);
    expect(await syncedBy(() => realDisk().makeDirectory(`${path}/a`))).toEqual([path]);
  }));

it('says so where a file is in the way', () =>
  inTemporaryDirectory(async (path) => {
    await fs.writeFile(`${path}/a`, '');
    await expect(realDisk().makeDirectory(`${path}/a`)).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(realDisk().makeDirectory(`${path}/a/b`)).rejects.toMatchObject({ code: 'ENOTDIR' });
  }));

it('takes a directory for granted whose parent is not its own to sync, and no other', () =>
  inTemporaryDirectory(async (path) => {
    await fs.mkdir(`${path}/a`);
    for (const code of ['EACCES', 'EPERM', 'EROFS', 'EINVAL']) {
      refused.set(path, code);
      await realDisk().makeDirectory(`${path}/a`);
      await expect(realDisk().makeDirectory(`${path}/${code}`)).rejects.toMatchObject({ code });
    }
    refused.set(path, 'EIO');
    await expect(realDisk().makeDirectory(`${path}/a`)).rejects.toMatchObject({ code: 'EIO' });
    refused.clear();
  }));
