/** One suite for every disk, and what the one in memory adds. */
import { describe, expect, it } from 'vitest';
import { type Disk, MemoryDisk, realDisk } from '../../../src/storage/index.js';
import { inTemporaryDirectory, seeded } from './support.js';

const disks: Record<string, (use: (disk: Disk, path: string) => Promise<void>) => Promise<void>> = {
  'the real disk': (use) => inTemporaryDirectory((path) => use(realDisk(), path)),
  'the disk in memory': async (use) => {
    const disk = new MemoryDisk();
    await disk.makeDirectory('/base');
    await use(disk, '/base');
  },
};

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

for (const [name, withDisk] of Object.entries(disks)) {
  describe(name, () => {
    it('writes parts one after the other at a position, and reads back up to the end', () =>
      withDisk(async (disk, path) => {
        const file = await disk.open(`${path}/a`, { create: true });
        await file.write([Buffer.from('hello '), Buffer.alloc(0), Buffer.from('world')], 0);
        await file.write([Buffer.from('W')], 6);
        await file.sync();
        expect(text(await file.read(0, 100))).toBe('hello World');
        expect(text(await file.read(6, 3))).toBe('Wor');
        expect(text(await file.read(50, 3))).toBe('');
        expect(await file.size()).toBe(11);
        const target = Buffer.alloc(6, '-');
        expect(file.readNow(6, target)).toBe(5);
        expect(text(target)).toBe('World-');
        expect(file.readNow(11, target)).toBe(0);
        await file.close();
      }));

    it('writes more parts than one system call takes', () =>
      withDisk(async (disk, path) => {
        const file = await disk.open(`${path}/a`, { create: true });
        const parts = Array.from({ length: 3_000 }, (_, i) => Buffer.from([i & 0xff, i >> 8]));
        await file.write(parts, 10);
        expect(Buffer.concat(parts).equals(await file.read(10, 6_000))).toBe(true);
        await file.close();
      }));

    it('fills with zeroes what lies between, and truncates', () =>
      withDisk(async (disk, path) => {
        const file = await disk.open(`${path}/a`, { create: true });
        await file.write([Buffer.from('x')], 3);
        expect([...(await file.read(0, 9))]).toEqual([0, 0, 0, 120]);
        await file.truncate(2);
        expect(await file.size()).toBe(2);
        await file.truncate(5);
        expect([...(await file.read(0, 9))]).toEqual([0, 0, 0, 0, 0]);
        await file.close();
      }));

    it('opens what is there, and makes a file only when told', () =>
      withDisk(async (disk, path) => {
        await expect(disk.open(`${path}/a`, { create: false })).rejects.toMatchObject({ code: 'ENOENT' });
        expect(await disk.exists(`${path}/a`)).toBe(false);
        const file = await disk.open(`${path}/a`, { create: true });
        await file.write([Buffer.from('kept')], 0);
        await file.close();
        const again = await disk.open(`${path}/a`, { create: true });
        expect(text(await again.read(0, 9))).toBe('kept');
        await again.close();
        expect(await disk.exists(`${path}/a`)).toBe(true);
        await expect(again.read(0, 1)).rejects.toMatchObject({ code: 'EBADF' });
      }));

    it('makes, lists, renames and removes', () =>
      withDisk(async (disk, path) => {
        await disk.makeDirectory(`${path}/d/e`);
        await disk.makeDirectory(`${path}/d/e`);
        for (const one of ['b', 'a', 'c'])
          await (await disk.open(`${path}/d/${one}`, { create: true })).close();
        expect(await disk.list(`${path}/d`)).toEqual(['a', 'b', 'c', 'e']);
        await disk.rename(`${path}/d/a`, `${path}/d/c`);
        await disk.remove(`${path}/d/b`);
        await disk.syncDirectory(`${path}/d`);
        expect(await disk.list(`${path}/d`)).toEqual(['c', 'e']);
        await expect(disk.list(`${path}/none`)).rejects.toMatchObject({ code: 'ENOENT' });
        await expect(disk.remove(`${path}/none`)).rejects.toMatchObject({ code: 'ENOENT' });
      }));

    it('renames a folder with all that is in it', () =>
      withDisk(async (disk, path) => {
        await disk.makeDirectory(`${path}/d/e`);
        await disk.makeDirectory(`${path}/aside`);
        await (await disk.open(`${path}/d/e/f`, { create: true })).close();
        await disk.rename(`${path}/d`, `${path}/aside/d`);
        await disk.syncDirectory(`${path}/aside`);
        expect(await disk.list(path)).toEqual(['aside']);
        expect(await disk.list(`${path}/aside/d/e`)).toEqual(['f']);
        expect(await disk.exists(`${path}/d/e/f`)).toBe(false);
        await expect(disk.list(`${path}/d`)).rejects.toMatchObject({ code: 'ENOENT' });
      }));

    it('refuses to rename a folder onto one that is not empty', () =>
      withDisk(async (disk, path) => {
        for (const folder of ['a', 'b', 'c']) await disk.makeDirectory(`${path}/${folder}`);
        await (await disk.open(`${path}/b/f`, { create: true })).close();
        await expect(disk.rename(`${path}/a`, `${path}/b`)).rejects.toMatchObject({ code: 'ENOTEMPTY' });
        await disk.rename(`${path}/b`, `${path}/c`);
        expect(await disk.list(`${path}/c`)).toEqual(['f']);
      }));

    it('gives a lock to one holder, and again after its release', () =>
      withDisk(async (disk, path) => {
        const lock = await disk.lock(`${path}/lock`);
        await expect(disk.lock(`${path}/lock`)).rejects.toMatchObject({ code: 'LOCKED' });
        const other = await disk.lock(`${path}/other`);
        await lock.release();
        await (await disk.lock(`${path}/lock`)).release();
        await other.release();
      }));

    it('says how much room there is', () =>
      withDisk(async (disk, path) => {
        expect(await disk.freeBytes(path)).toBeGreaterThan(1024 * 1024);
      }));
  });
}

describe('what the disk in memory can do besides', () => {
  const open = async (disk: MemoryDisk) => {
    await disk.makeDirectory('/d');
    return disk.open('/d/f', { create: true });
  };

  it('keeps at a crash what was synced, and of the rest some sectors and never others than written', async () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) {
      const disk = new MemoryDisk();
      const file = await open(disk);
      await file.write([Buffer.alloc(2048, 'a')], 0);
      await file.sync();
      await disk.syncDirectory('/d');
      await file.write([Buffer.alloc(1024, 'b')], 512);
      disk.crash({ random: seeded(seed) });
      const content = disk.contentOf('/d/f').toString();
      const sectors = [0, 512, 1024, 1536].map((at) => content.slice(at, at + 512));
      for (const sector of sectors) expect(['a'.repeat(512), 'b'.repeat(512)]).toContain(sector);
      seen.add(sectors.map((sector) => sector[0]).join(''));
      await expect(file.read(0, 1)).rejects.toMatchObject({ code: 'ESHUTDOWN' });
    }
    expect([...seen].sort()).toEqual(['aaaa', 'aaba', 'abaa', 'abba']);
  });

  it('tears inside a sector only when told', async () => {
    let torn = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const disk = new MemoryDisk();
      const file = await open(disk);
      await file.write([Buffer.alloc(512, 'a')], 0);
      await file.sync();
      await disk.syncDirectory('/d');
      await file.write([Buffer.alloc(512, 'b')], 0);
      disk.crash({ random: seeded(seed), tear: true });
      const content = disk.contentOf('/d/f').toString();
      expect(content).toMatch(/^b*a*$/);
      if (/^b+a+$/.test(content)) torn++;
    }
    expect(torn).toBeGreaterThan(0);
  });

  it('may lose names that no directory sync covered, and no others', async () => {
    const outcomes = new Set<string>();
    for (let seed = 1; seed <= 40; seed++) {
      const disk = new MemoryDisk();
      await open(disk);
      await disk.syncDirectory('/d');
      await disk.rename('/d/f', '/d/g');
      disk.crash({ random: seeded(seed) });
      outcomes.add(disk.paths().join());
    }
    expect([...outcomes].sort()).toEqual(['/d/f', '/d/g']);
  });

  it('moves a folder as a whole or not at all', async () => {
    const outcomes = new Set<string>();
    for (let seed = 1; seed <= 20; seed++) {
      const disk = new MemoryDisk();
      await disk.makeDirectory('/d');
      for (const name of ['f', 'g']) await (await disk.open(`/d/${name}`, { create: true })).close();
      await disk.syncDirectory('/d');
      await disk.rename('/d', '/e');
      disk.crash({ random: seeded(seed) });
      const [folder] = disk.paths().map((path) => path.slice(0, 2));
      expect(await disk.list(folder!)).toEqual(['f', 'g']);
      outcomes.add(disk.paths().join());
    }
    expect([...outcomes].sort()).toEqual(['/d/f,/d/g', '/e/f,/e/g']);
  });

  it('tells what no sync covers, and keeps of it what it is told to', async () => {
    const disk = new MemoryDisk();
    const file = await open(disk);
    await file.write([Buffer.from('aaaa')], 0);
    await file.sync();
    await disk.syncDirectory('/d');
    await file.write([Buffer.from('bbbb')], 0);
    await file.truncate(3);
    await disk.rename('/d/f', '/d/g');
    const { names, files } = disk.unsynced();
    expect(names).toEqual(['/d: -f +g']);
    expect(files.map(({ path, writes }) => [path, writes.length])).toEqual([['/d/g', 2]]);
    const left = (name: boolean, written: [number, number][], truncated: boolean): string => {
      const copy = disk.copy();
      copy.crashKeeping({ names: [name], files: [[written, truncated ? [[0, 0]] : []]] });
      const [path] = copy.paths();
      return `${path} ${copy.contentOf(path!)}`;
    };
    expect(left(false, [], false)).toBe('/d/f aaaa');
    expect(
      left(
        true,
        [
          [1, 2],
          [3, 4],
        ],
        false,
      ),
    ).toBe('/d/g abab');
    expect(left(false, [[0, 4]], true)).toBe('/d/f bbb');
    expect(disk.contentOf('/d/g').toString()).toBe('bbb');
  });

  it('never makes durable what a failed sync left, unless it is written again', async () => {
    const disk = new MemoryDisk();
    const file = await open(disk);
    await disk.syncDirectory('/d');
    await file.write([Buffer.from('aaaabbbb')], 0);
    disk.failSync(() => true);
    await expect(file.sync()).rejects.toMatchObject({ code: 'EIO' });
    disk.failSync(null);
    await file.write([Buffer.from('AA')], 1);
    await file.sync();
    expect(disk.contentOf('/d/f').toString()).toBe('aAAabbbb');
    expect(disk.hasUnsynced).toBe(true);
    const [lost, kept] = [disk.copy(), disk.copy()];
    lost.crashKeeping({ names: [], files: [] });
    expect(lost.contentOf('/d/f').toString()).toBe('\0AA');
    const { files } = kept.unsynced();
    kept.crashKeeping({ names: [], files: files.map(({ writes }) => writes.map(() => [[0, 8]] as const)) });
    expect(kept.contentOf('/d/f').toString()).toBe('aAAabbbb');
    await file.write([Buffer.from('aAAabbbb')], 0);
    await file.sync();
    expect(disk.hasUnsynced).toBe(false);
  });

  it('says how much of what was not synced a crash took', async () => {
    const lost = new Set<number>();
    for (let seed = 1; seed <= 20; seed++) {
      const disk = new MemoryDisk();
      await disk.makeDirectory('/d');
      const file = await disk.open('/d/f', { create: true });
      await disk.syncDirectory('/d');
      await file.write([Buffer.alloc(1024, 'a')], 0);
      await file.sync();
      await file.write([Buffer.alloc(1024, 'b')], 0);
      const bytes = disk.crash({ random: seeded(seed) });
      expect(disk.contentOf('/d/f').toString().replaceAll('b', '').length).toBe(bytes);
      lost.add(bytes);
    }
    expect([...lost].sort()).toEqual([0, 1024, 512]);
  });

  it('loses nothing when only the process stops, whose mount is dead from then on', async () => {
    const disk = new MemoryDisk();
    const mounted = disk.mount();
    await disk.makeDirectory('/d');
    const file = await mounted.open('/d/f', { create: true });
    await file.write([Buffer.from('x')], 0);
    await mounted.lock('/d/lock');
    disk.stop();
    expect(disk.contentOf('/d/f').toString()).toBe('x');
    await expect(file.sync()).rejects.toMatchObject({ code: 'ESHUTDOWN' });
    await expect(mounted.list('/d')).rejects.toMatchObject({ code: 'ESHUTDOWN' });
    await (await disk.lock('/d/lock')).release();
  });

  it('gives an operation that waits while the disk crashes no effect', async () => {
    const disk = new MemoryDisk();
    const file = await open(disk);
    let go = (): void => {};
    disk.before = () => new Promise((resolve) => (go = resolve));
    const writing = file.write([Buffer.from('x')], 0);
    disk.stop();
    go();
    await expect(writing).rejects.toMatchObject({ code: 'ESHUTDOWN' });
    expect(disk.contentOf('/d/f').length).toBe(0);
  });

  it('fails syncs, fills up, rots and counts', async () => {
    const disk = new MemoryDisk();
    const file = await open(disk);
    disk.failSync((path) => path === '/d/f');
    await expect(file.sync()).rejects.toMatchObject({ code: 'EIO' });
    disk.failSync(null);
    await file.sync();
    disk.fullAfter(10);
    await file.write([Buffer.from('12345678')], 0);
    expect(await disk.freeBytes('/d')).toBe(2);
    await expect(file.write([Buffer.from('90ab')], 8)).rejects.toMatchObject({ code: 'ENOSPC' });
    await file.write([Buffer.from('X')], 0);
    expect(disk.contentOf('/d/f').toString()).toBe('X23456789\0'.replace('\0', '0'));
    disk.flipBit('/d/f', 1, 0);
    expect(disk.contentOf('/d/f').toString()).toBe('X334567890');
    expect(disk.bytes).toBe(10);
    await disk.remove('/d/f');
    expect(await disk.freeBytes('/d')).toBe(10);
  });
});
