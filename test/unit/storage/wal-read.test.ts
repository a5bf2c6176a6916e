/** What was written to the log is read back from it while it is open (goal: memory holds only the newest part). */
import { describe, expect, it } from 'vitest';
import type { LogEntry } from '../../../src/consensus/types.js';
import { MemoryDisk, type Wal } from '../../../src/storage/index.js';
import { disks, entries, entry, openLog, plain, readAll, SMALL, state } from './support.js';

const FIRST = '/wal/0000000000000001.wal';
const BLOCK = 4096;

async function write(wal: Wal, list: readonly LogEntry[], batch = 1): Promise<void> {
  for (let at = 0; at < list.length; at += batch) {
    wal.append(list[at]!.index === 1 ? state(1) : null, list.slice(at, at + batch));
    await wal.sync();
  }
}

describe.each(disks)('the log on $name', ({ use }) => {
  it('is read over the borders of segments, with kinds and empty data, before and after a start', async () => {
    await use(async (disk, path) => {
      const { wal } = await openLog(disk, { path });
      const list = entries(1, 90, 1, 3_000);
      list[4] = { ...entry(5, 1, ''), kind: 'membership' };
      list[40] = entry(41, 1, Buffer.alloc(2 * SMALL, 41));
      await write(wal, list, 7);
      expect(wal.segments).toBeGreaterThan(4);
      for (const bytes of [1, 5_000, 1_000_000]) {
        expect(plain(readAll(wal, 1, 90, bytes))).toEqual(plain(list));
        expect(plain(readAll(wal, 33, 57, bytes))).toEqual(plain(list.slice(32, 57)));
      }
      await wal.close();
      const { wal: again } = await openLog(disk, { path, seed: 2 });
      expect(plain(readAll(again, 1, 90))).toEqual(plain(list));
      await write(again, entries(91, 99, 2));
      expect(plain(readAll(again, 85, 99))).toEqual(plain([...list.slice(84), ...entries(91, 99, 2)]));
      await again.close();
    });
  });

  it('gives the newest form of entries that a new leader replaced, wherever the old ones lie', async () => {
    await use(async (disk, path) => {
      const { wal } = await openLog(disk, { path });
      await write(wal, entries(1, 60, 1, 3_000), 5);
      // Back over segments, in the middle of a batch; then back again a little, twice, and twice in one batch.
      await write(wal, entries(13, 50, 2, 2_000), 4);
      await write(wal, entries(44, 45, 3));
      await write(wal, entries(45, 47, 4));
      wal.append(null, entries(48, 52, 4));
      wal.append(null, entries(50, 51, 5));
      wal.append(null, entries(49, 54, 6));
      await wal.sync();
      const log = [
        ...entries(1, 12, 1, 3_000),
        ...entries(13, 43, 2, 2_000),
        ...entries(44, 44, 3),
        ...entries(45, 47, 4),
        ...entries(48, 48, 4),
        ...entries(49, 54, 6),
      ];
      for (const bytes of [1, 7_000, 1_000_000]) {
        expect(plain(readAll(wal, 1, 54, bytes))).toEqual(plain(log));
        for (let from = 1; from <= 54; from += 3) {
          expect(plain(readAll(wal, from, 54, bytes))).toEqual(plain(log.slice(from - 1)));
        }
      }
      await wal.close();
      const { wal: again, recovery } = await openLog(disk, { path, seed: 2 });
      expect(plain(recovery.entries)).toEqual(plain(log));
      expect(plain(readAll(again, 1, 54))).toEqual(plain(log));
      await again.close();
    });
  });

  it('keeps what is to stay readable when segments are released, and reads on in those used again', async () => {
    await use(async (disk, path) => {
      const { wal } = await openLog(disk, { path });
      const list = entries(1, 400, 1, 3_000);
      for (let last = 40; last <= 400; last += 40) {
        await write(wal, list.slice(last - 40, last));
        const mark = last - 5;
        const keepFrom = mark - 30;
        await wal.release({ index: mark, term: 1 }, keepFrom);
        expect(plain(readAll(wal, keepFrom, last))).toEqual(plain(list.slice(keepFrom - 1, last)));
        expect(wal.segments).toBeLessThan(7);
      }
      await wal.close();
      const { wal: again, recovery } = await openLog(disk, { path, seed: 2 });
      expect(recovery.mark.index).toBe(395);
      expect(recovery.entries[0]!.index).toBeLessThanOrEqual(365);
      expect(plain(readAll(again, 365, 400))).toEqual(plain(list.slice(364)));
      await again.close();
    });
  });
});

describe('a read of the log', () => {
  it('takes no more than it is told, but one entry at least', async () => {
    const { wal } = await openLog(new MemoryDisk());
    await write(wal, entries(1, 50, 1, 1_000), 10);
    expect(wal.read(1, 50, 0).length).toBe(1);
    expect(wal.read(7, 50, 5_200).length).toBe(5);
    expect(wal.read(7, 8, 1_000_000).length).toBe(2);
  });

  it('reads little before what is wanted, however long the log is', async () => {
    const disk = new MemoryDisk();
    const { wal } = await openLog(disk, { segmentBytes: 256 * BLOCK });
    await write(wal, entries(1, 1_000), 1);
    // What lies far before is not looked at, so damage there is of no concern.
    for (const index of [1, 100, 200]) disk.flipBit(FIRST, index * BLOCK + 200, 1);
    expect(plain(wal.read(250, 250, 1))).toEqual(plain(entries(250, 250)));
    expect(plain(readAll(wal, 700, 1_000))).toEqual(plain(entries(700, 1_000)));
  });

  it('never gives what is not synced, nor what a reset made void', async () => {
    const { wal } = await openLog(new MemoryDisk());
    await write(wal, entries(1, 9));
    wal.append(null, entries(10, 12));
    expect(wal.read(9, 12, 1_000).map(({ index }) => index)).toEqual([9]);
    expect(() => wal.read(10, 12, 1_000)).toThrow('on disk');
    await wal.sync();
    expect(wal.read(10, 12, 1_000).length).toBe(3);
    await wal.reset({ index: 20, term: 3 }, state(3, 20));
    expect(() => wal.read(12, 12, 1_000)).toThrow('on disk');
    await write(wal, entries(21, 22, 3));
    expect(plain(readAll(wal, 21, 22))).toEqual(plain(entries(21, 22, 3)));
  });

  it('says where the log is damaged, in the header of a batch as in its body', async () => {
    for (const offset of [3 * BLOCK + 20, 3 * BLOCK + 150]) {
      const disk = new MemoryDisk();
      const { wal } = await openLog(disk);
      await write(wal, entries(1, 9));
      disk.flipBit(FIRST, offset);
      expect(plain(readAll(wal, 1, 2, 1))).toEqual(plain(entries(1, 2)));
      expect(() => wal.read(3, 3, 1)).toThrow(`${FIRST}, byte ${3 * BLOCK}`);
      expect(() => wal.read(4, 9, 1)).toThrow(expect.objectContaining({ code: 'DAMAGED' }));
    }
  });

  it('says that the disk fails, and that the log is closed', async () => {
    const disk = new MemoryDisk();
    const { wal } = await openLog(disk);
    await write(wal, entries(1, 9));
    disk.stop();
    expect(() => wal.read(3, 3, 1)).toThrow(expect.objectContaining({ code: 'FAILED' }));
    const { wal: again } = await openLog(disk, { seed: 2 });
    await again.close();
    expect(() => again.read(3, 3, 1)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  });

  it('never takes long for one batch: very much is written in several', async () => {
    const disk = new MemoryDisk();
    const { wal } = await openLog(disk, { segmentBytes: 64 * 1024 * 1024 });
    const written: number[] = [];
    const list = entries(1, 20, 1, 1024 * 1024);
    wal.append(state(1, 20), list);
    disk.before = ({ kind, path, bytes }) => void (kind === 'write' && path === FIRST && written.push(bytes));
    await wal.sync();
    expect(written.length).toBe(3);
    expect(Math.max(...written)).toBeLessThan(8.1 * 1024 * 1024);
    expect(readAll(wal, 1, 20).map(({ data }) => data[0])).toEqual(list.map(({ data }) => data[0]));
    disk.stop();
    expect((await openLog(disk, { seed: 2, segmentBytes: 64 * 1024 * 1024 })).recovery.entries.length).toBe(
      20,
    );
  });
});
