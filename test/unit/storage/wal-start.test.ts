/** What a start hands over, and what it leaves on disk (goal: its memory is bounded, however long the log is). */
import { describe, expect, it } from 'vitest';
import type { LogEntry } from '../../../src/consensus/types.js';
import { type Disk, MemoryDisk, type Wal, type WalRecovery } from '../../../src/storage/index.js';
import { disks, entries, entry, openLog, plain, readAll, state } from './support.js';

const FIRST = '/wal/0000000000000001.wal';
const BLOCK = 4096;
const KEEP = 200_000;
const COUNT = 200;

/** A log of entries 1 to `COUNT` over many segments, one a batch, each of which knows of the commit `behind` it. */
async function filled(disk: Disk, path: string, behind = 1): Promise<{ wal: Wal; list: LogEntry[] }> {
  const { wal } = await openLog(disk, { path });
  const list = entries(1, COUNT, 1, 3_000);
  for (const one of list) {
    wal.append(state(1, Math.max(0, one.index - behind)), [one]);
    await wal.sync();
  }
  return { wal, list };
}

const held = ({ entries, outline }: WalRecovery): number => entries[0]?.index ?? outline.last + 1;

describe.each(disks)('a start on $name', ({ use }) => {
  it('hands over the newest of what is committed, and the rest can be read', async () => {
    await use(async (disk, path) => {
      const { wal, list } = await filled(disk, path);
      await wal.close();
      const { wal: again, recovery } = await openLog(disk, { path, seed: 2, keepBytes: KEEP });
      const { outline } = recovery;
      expect([outline.first, outline.last]).toEqual([1, COUNT]);
      expect(held(recovery)).toBeGreaterThan(COUNT - KEEP / BLOCK);
      expect(held(recovery)).toBeLessThan(COUNT - KEEP / BLOCK / 2);
      expect(plain(recovery.entries)).toEqual(plain(list.slice(held(recovery) - 1)));
      expect(plain(readAll(again, 1, COUNT))).toEqual(plain(list));
      again.append(null, [entry(COUNT + 1)]);
      await again.sync();
      expect(plain(readAll(again, COUNT, COUNT + 1))).toEqual(plain([list.at(-1)!, entry(COUNT + 1)]));
      await again.close();
    });
  });

  it('hands over all that may be replaced, whatever it takes, and nothing where all is committed', async () => {
    await use(async (disk, path) => {
      const { wal, list } = await filled(disk, path, 150);
      await wal.close();
      const { wal: again, recovery } = await openLog(disk, { path, seed: 2, keepBytes: 0 });
      expect(held(recovery)).toBe(COUNT - 150 + 1);
      expect(plain(recovery.entries)).toEqual(plain(list.slice(50)));
      again.append(state(2, COUNT), []);
      await again.sync();
      await again.close();
      const { wal: third, recovery: all } = await openLog(disk, { path, seed: 3, keepBytes: 0 });
      expect(all.entries).toEqual([]);
      expect(all.outline.last).toBe(COUNT);
      await third.close();
    });
  });

  it('knows the terms of what new leaders replaced, and where the membership changes', async () => {
    await use(async (disk, path) => {
      const { wal } = await openLog(disk, { path });
      const log = [...entries(1, 30, 1, 3_000), ...entries(31, 44, 2, 3_000), ...entries(45, 80, 4, 3_000)];
      log[19] = { ...log[19]!, kind: 'membership' };
      const rounds = [entries(1, 60, 1, 3_000), entries(31, 50, 2, 3_000), entries(48, 60, 3), log.slice(44)];
      rounds[0]![19] = log[19]!;
      rounds[1]![17] = { ...rounds[1]![17]!, kind: 'membership' };
      for (const [at, list] of rounds.entries()) {
        wal.append(state(at + 1, list[0]!.index - 1), list);
        await wal.sync();
      }
      wal.append(state(4, 80), []);
      await wal.close();
      const closed = await openLog(disk, { path, seed: 2, keepBytes: 80_000 });
      const { outline } = closed.recovery;
      expect(log.map(({ index }) => outline.termAt(index))).toEqual(log.map(({ term }) => term));
      expect([outline.changesMembership(1, 19), outline.changesMembership(20, 20)]).toEqual([false, true]);
      expect(outline.changesMembership(21, 80)).toBe(false);
      expect(held(closed.recovery)).toBe(45);
      expect(plain(closed.recovery.entries)).toEqual(plain(log.slice(44)));
      expect(plain(readAll(closed.wal, 1, 80))).toEqual(plain(log));
      await closed.wal.close();
    });
  });

  it('goes on behind a reset, and hands over nothing that a snapshot covers', async () => {
    await use(async (disk, path) => {
      const { wal } = await filled(disk, path);
      await wal.reset({ index: 500, term: 3 }, state(3, 500));
      wal.append(state(3, 500), entries(501, 540, 3, 3_000));
      await wal.sync();
      await wal.release({ index: 530, term: 3 }, 510);
      await wal.close();
      const { wal: again, recovery } = await openLog(disk, { path, seed: 2, keepBytes: 100 * KEEP });
      expect(recovery.outline.first).toBeGreaterThan(500);
      expect(recovery.outline.first).toBeLessThanOrEqual(510);
      expect(recovery.outline.termAt(530)).toBe(3);
      expect(recovery.outline.termAt(COUNT)).toBeNull();
      expect(held(recovery)).toBe(531);
      expect(plain(readAll(again, 510, 540))).toEqual(plain(entries(510, 540, 3, 3_000)));
      await again.close();
    });
  });
});

describe('a start', () => {
  it('takes no commit index from a torn tail', async () => {
    const disk = new MemoryDisk();
    const { list } = await filled(disk, '/wal', 40);
    const lastBatch = (path: string): number => disk.contentOf(path).lastIndexOf('GMBT');
    const newest = disk.paths().findLast((path) => path.endsWith('.wal') && lastBatch(path) > 0)!;
    disk.stop();
    disk.flipBit(newest, lastBatch(newest) + 200);
    const { wal, recovery } = await openLog(disk, { seed: 2, keepBytes: 0 });
    expect(recovery.damage).toBeNull();
    expect(recovery.tornBytes).toBe(BLOCK);
    expect(recovery.hardState!.commit).toBe(COUNT - 41);
    expect(held(recovery)).toBe(COUNT - 40);
    expect(recovery.outline.last).toBe(COUNT - 1);
    expect(plain(readAll(wal, 1, COUNT - 1))).toEqual(plain(list.slice(0, -1)));
  });

  it('finds damage in the part that is not handed over', async () => {
    const disk = new MemoryDisk();
    const { wal } = await filled(disk, '/wal');
    await wal.close();
    disk.flipBit(FIRST, 3 * BLOCK + 300);
    const { recovery } = await openLog(disk, { seed: 2, keepBytes: KEEP });
    expect(recovery.damage).toMatchObject({ file: FIRST, offset: 3 * BLOCK });
    expect(recovery.outline.last).toBe(2);
  });

  it('says so when that part is damaged later, as it is read back', async () => {
    const disk = new MemoryDisk();
    const { wal, list } = await filled(disk, '/wal');
    await wal.close();
    const { wal: again, recovery } = await openLog(disk, { seed: 2, keepBytes: KEEP });
    expect(recovery.damage).toBeNull();
    disk.flipBit(FIRST, 3 * BLOCK + 300);
    expect(plain(readAll(again, 1, 2))).toEqual(plain(list.slice(0, 2)));
    expect(() => again.read(1, COUNT, 100_000)).toThrow(`${FIRST}, byte ${3 * BLOCK}`);
    expect(() => again.read(3, 3, 1)).toThrow(expect.objectContaining({ code: 'DAMAGED' }));
  });

  it('holds on to little more than it hands over', async () => {
    const disk = new MemoryDisk();
    const segmentBytes = 4 * 1024 * 1024;
    const keepBytes = 1024 * 1024;
    const { wal } = await openLog(disk, { segmentBytes });
    // Much smaller than the blocks that they take, so that what is read with them is most of it.
    for (let index = 1; index <= 3_000; index++) {
      wal.append(state(1, index - 1), [entry(index, 1, Buffer.alloc(index % 50 === 0 ? 9_000 : 10))]);
      await wal.sync();
    }
    await wal.close();
    const { recovery } = await openLog(disk, { seed: 2, segmentBytes, keepBytes });
    const buffers = new Set(recovery.entries.map(({ data }) => data.buffer));
    const bytes = [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0);
    expect(bytes).toBeGreaterThan(keepBytes / 2);
    expect(bytes).toBeLessThan(2 * keepBytes);
  });
});
