/** The log on a disk in memory: what is found again after each way of ending (design, section 5; rules 1 and 2). */
import { describe, expect, it } from 'vitest';
import { LogOutline } from '../../../src/base/log-outline.js';
import { MemoryDisk } from '../../../src/storage/index.js';
import { decodeSegmentHeader, encodeBatchHeader } from '../../../src/storage/wal-format.js';
import { entries, entry, openLog, plain, SMALL, seeded, state } from './support.js';

const FIRST = '/wal/0000000000000001.wal';
const SECOND = '/wal/0000000000000002.wal';
const BLOCK = 4096;

/** A log whose batches of one entry lie at blocks 1, 2, 3 … of the first segment. */
async function written(count: number, disk = new MemoryDisk()) {
  const { wal } = await openLog(disk);
  for (let index = 1; index <= count; index++) {
    wal.append(index === 1 ? state(1) : null, [entry(index)]);
    await wal.sync();
  }
  return { disk, wal };
}

async function reopened(disk: MemoryDisk, seed = 2) {
  disk.stop();
  return openLog(disk, { seed });
}

describe('the log', () => {
  it('is empty when new', async () => {
    const { recovery, wal } = await openLog(new MemoryDisk());
    expect(recovery).toEqual({
      hardState: null,
      outline: new LogOutline(1),
      entries: [],
      mark: { index: 0, term: 0 },
      damage: null,
      tornBytes: 0,
    });
    expect(wal.segments).toBe(0);
  });

  it('gives back entries, kinds, empty data and the latest hard state', async () => {
    const disk = new MemoryDisk();
    const { wal } = await openLog(disk);
    const list = [
      entry(1, 1, ''),
      { ...entry(2), kind: 'membership' as const },
      entry(3, 2, Buffer.alloc(20_000, 9)),
    ];
    wal.append(state(1), list.slice(0, 2));
    wal.append(state(2, 1, 2 ** 53 - 1), list.slice(2));
    await wal.sync();
    wal.append(state(3, 2), []);
    await wal.sync();
    const { recovery } = await reopened(disk);
    expect(plain(recovery.entries)).toEqual(plain(list));
    expect(recovery.hardState).toEqual(state(3, 2));
    expect(recovery.tornBytes).toBe(0);
  });

  it('goes on behind what it found, over many lives', async () => {
    const disk = new MemoryDisk();
    for (let life = 0; life < 30; life++) {
      const { wal, recovery } = await openLog(disk, { seed: life + 1 });
      expect(recovery.damage).toBeNull();
      expect(recovery.entries.length).toBe(life);
      wal.append(state(life + 1), [entry(life + 1, life + 1)]);
      await wal.sync();
      if (life % 2 === 0) await wal.close();
      disk.stop();
    }
    const { recovery } = await openLog(disk);
    expect(recovery.entries.map(({ term }) => term)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
  });

  it('lets an entry replace the one at its index and all behind it', async () => {
    const disk = new MemoryDisk();
    const { wal } = await openLog(disk);
    wal.append(state(1), entries(1, 9));
    await wal.sync();
    wal.append(state(2), entries(4, 5, 2));
    await wal.sync();
    wal.append(null, entries(6, 6, 2));
    wal.append(state(3), entries(5, 7, 3));
    await wal.sync();
    const { recovery } = await reopened(disk);
    expect(recovery.entries.map(({ index, term }) => [index, term])).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
      [4, 2],
      [5, 3],
      [6, 3],
      [7, 3],
    ]);
  });

  it('refuses a gap and an entry at or before the mark', async () => {
    const { wal } = await written(3);
    expect(() => wal.append(null, [entry(5)])).toThrow('without a gap');
    await wal.release({ index: 2, term: 1 });
    expect(() => wal.append(null, [entry(2)])).toThrow('behind the mark');
  });

  it('rolls through segments, in batches larger than one and with entries larger than one', async () => {
    const disk = new MemoryDisk();
    const { wal } = await openLog(disk);
    const list = entries(1, 40, 1, 5_000);
    wal.append(state(1, 40), list);
    await wal.sync();
    wal.append(null, [entry(41, 1, Buffer.alloc(3 * SMALL, 3)), entry(42)]);
    await wal.sync();
    expect(wal.segments).toBeGreaterThan(4);
    const { recovery } = await reopened(disk);
    expect(recovery.damage).toBeNull();
    expect(plain(recovery.entries.slice(0, 40))).toEqual(plain(list));
    expect(recovery.entries.map(({ data }) => data.length).slice(40)).toEqual([3 * SMALL, 8]);
    expect(recovery.hardState).toEqual(state(1, 40));
  });

  it('never says that more is committed than is there, when only a part of a large batch was written', async () => {
    const disk = new MemoryDisk();
    const { wal } = await openLog(disk);
    let syncs = 0;
    disk.before = ({ kind, path }) => {
      if (kind === 'sync' && path.endsWith('.wal') && ++syncs === 2) throw new Error('killed');
    };
    wal.append(state(1, 40), entries(1, 40, 1, 5_000));
    await expect(wal.sync()).rejects.toThrow();
    disk.before = null;
    const { recovery } = await reopened(disk);
    expect(recovery.entries.length).toBeLessThan(40);
    expect(recovery.hardState!.commit).toBeLessThanOrEqual(recovery.entries.length);
  });

  it('does nothing when there is nothing to write', async () => {
    const { disk, wal } = await written(1);
    const kinds: string[] = [];
    disk.before = ({ kind, path }) => void (path === FIRST && kinds.push(kind));
    await wal.sync();
    expect(kinds).toEqual([]);
  });

  it('writes once and syncs once, whatever was gathered', async () => {
    const { disk, wal } = await written(1);
    const kinds: string[] = [];
    disk.before = ({ kind, path }) => void (path === FIRST && kinds.push(kind));
    wal.append(state(2), entries(2, 8));
    wal.append(state(2, 3), entries(9, 12));
    await wal.sync();
    expect(kinds).toEqual(['write', 'sync']);
  });
});

describe('release and reset', () => {
  it('deletes covered segments, keeps a bounded number of files, and returns to where it was', async () => {
    const disk = new MemoryDisk();
    const { wal } = await openLog(disk);
    wal.append(state(1), entries(1, 1));
    await wal.sync();
    for (let index = 2; index < 200; index++) {
      wal.append(null, entries(index, index, 1, 3_000));
      await wal.sync();
    }
    expect(disk.bytes).toBeGreaterThan(10 * SMALL);
    await wal.release({ index: 199, term: 1 });
    expect(wal.segments).toBe(1);
    expect(disk.bytes).toBeLessThanOrEqual(6 * SMALL);
    const { recovery } = await reopened(disk);
    expect(recovery.damage).toBeNull();
    expect(recovery.mark).toEqual({ index: 199, term: 1 });
    expect(recovery.entries.every(({ index }, at, all) => at === 0 || index === all[at - 1]!.index + 1)).toBe(
      true,
    );
  });

  it('fills no segment with zeroes once a snapshot has released some', async () => {
    const disk = new MemoryDisk();
    const { wal } = await openLog(disk);
    let index = 0;
    const untilSegments = async (count: number): Promise<void> => {
      while (wal.segments < count) {
        wal.append(index === 0 ? state(1) : null, entries(index + 1, index + 1, 1, 3_000));
        await wal.sync();
        index += 1;
      }
    };
    await untilSegments(5);
    await wal.release({ index, term: 1 });
    const filled: number[] = [];
    disk.before = ({ kind, path, bytes }) => {
      if (kind === 'write' && path.includes('spare-') && bytes > BLOCK) filled.push(bytes);
    };
    await untilSegments(5);
    expect(filled).toEqual([]);
    const { recovery } = await reopened(disk);
    expect(recovery.damage).toBeNull();
    expect(recovery.entries.at(-1)!.index).toBe(index);
  });

  it('keeps the segment that holds entries behind the mark', async () => {
    const disk = new MemoryDisk();
    const { wal } = await openLog(disk);
    wal.append(state(1), entries(1, 60, 1, 3_000));
    await wal.sync();
    await wal.release({ index: 30, term: 1 });
    const { recovery } = await reopened(disk);
    expect(recovery.entries[0]!.index).toBeLessThanOrEqual(31);
    expect(recovery.entries.at(-1)!.index).toBe(60);
  });

  it('begins anew behind the mark of a reset, and keeps the given state', async () => {
    const disk = new MemoryDisk();
    const { wal } = await openLog(disk);
    wal.append(state(1), entries(1, 60, 1, 3_000));
    await wal.sync();
    await wal.reset({ index: 500, term: 4 }, state(5, 500));
    expect(wal.segments).toBe(1);
    wal.append(null, entries(501, 503, 5));
    await wal.sync();
    const { recovery } = await reopened(disk);
    expect(recovery.damage).toBeNull();
    expect(recovery.mark).toEqual({ index: 500, term: 4 });
    expect(recovery.hardState).toEqual(state(5, 500));
    expect(recovery.entries.map(({ index }) => index)).toEqual([501, 502, 503]);
  });

  it('takes a reset as the first thing of a new log', async () => {
    const disk = new MemoryDisk();
    const { wal } = await openLog(disk);
    await wal.reset({ index: 9, term: 2 }, state(2, 9));
    const { recovery } = await reopened(disk);
    expect(recovery).toMatchObject({ mark: { index: 9, term: 2 }, hardState: state(2, 9), damage: null });
  });

  it('never lets records of a recycled segment come back', async () => {
    const disk = new MemoryDisk();
    const { wal } = await openLog(disk);
    // Batches of the same size throughout, so that old ones lie exactly where new ones would.
    for (let index = 1; index <= 50; index++) {
      wal.append(index === 1 ? state(1) : null, [entry(index)]);
      await wal.sync();
      if (index % 20 === 0) await wal.release({ index, term: 1 });
    }
    const { recovery, wal: again } = await reopened(disk);
    expect(recovery.damage).toBeNull();
    expect(recovery.entries.at(-1)!.index).toBe(50);
    expect(recovery.tornBytes).toBe(0);
    expect(again.segments).toBeGreaterThan(0);
    const stale = disk.paths().filter((path) => disk.contentOf(path).includes('entry 3'));
    expect(stale.length).toBeGreaterThan(0);
  });
});

describe('a torn tail', () => {
  it('rule: damage - a torn tail is cut off wherever the last batch ends, byte by byte', async () => {
    const { disk, wal } = await written(3);
    wal.append(state(2), [entry(4, 2, Buffer.alloc(5_000, 4)), entry(5, 2)]);
    await wal.sync();
    const at = 4 * BLOCK;
    const whole = Buffer.from(disk.contentOf(FIRST));
    const length = 128 + 2 * 24 + 5_000 + 7;
    for (let kept = 0; kept < length; kept += kept < 400 ? 1 : 97) {
      const torn = new MemoryDisk();
      await torn.makeDirectory('/wal');
      const file = await torn.open(FIRST, { create: true });
      await file.write([whole.subarray(0, at + kept), Buffer.alloc(whole.length - at - kept)], 0);
      const { recovery, wal: log } = await openLog(torn);
      expect(recovery.damage).toBeNull();
      expect(recovery.entries.map(({ index }) => index)).toEqual([1, 2, 3]);
      expect(recovery.hardState).toEqual(state(1));
      expect(recovery.tornBytes > 0).toBe(kept >= 16);
      log.append(state(3), [entry(4, 3)]);
      await log.sync();
      const { recovery: next } = await reopened(torn);
      expect(next.entries.map(({ term }) => term)).toEqual([1, 1, 1, 3]);
    }
  });

  it('is also what a file that ends early has', async () => {
    const { disk } = await written(3);
    const file = await disk.open(FIRST, { create: false });
    await file.truncate(3 * BLOCK + 100);
    const { recovery } = await reopened(disk);
    expect(recovery.damage).toBeNull();
    expect(recovery.entries.map(({ index }) => index)).toEqual([1, 2]);
  });
});

describe('damage', () => {
  it('rule: damage - a flipped bit below what was synced is damage; above, the batch is cut off', async () => {
    const random = seeded(42);
    for (let round = 0; round < 120; round++) {
      const { disk } = await written(6);
      const offset = random.below(7 * BLOCK);
      // Padding and the unused rest of the segment's header carry nothing.
      const within = offset % BLOCK;
      const used = offset < BLOCK ? 40 : 128 + 24 + 7;
      disk.flipBit(FIRST, offset, random.below(8));
      const { recovery } = await reopened(disk);
      const place = JSON.stringify({ round, offset });
      const batch = Math.floor(offset / BLOCK);
      if (within >= used) {
        expect(recovery.damage, place).toBeNull();
        expect(recovery.entries.length, place).toBe(6);
      } else if (batch === 0) {
        expect(recovery.damage, place).toMatchObject({ file: FIRST, offset: 0 });
      } else if (batch < 6) {
        expect(recovery.damage, place).toMatchObject({ file: FIRST, offset: batch * BLOCK });
        expect(recovery.entries.length, place).toBe(batch - 1);
      } else {
        expect(recovery.damage, place).toBeNull();
        expect(recovery.entries.length, place).toBe(5);
      }
    }
  });

  it('is found in the newest entries of a log that was closed, which nothing vouches for when it was not', async () => {
    for (const closed of [true, false]) {
      const { disk, wal } = await written(3);
      if (closed) await wal.close();
      // The entry's bytes, then each of the signs by which the beginning of a batch is known.
      for (const offset of [3 * BLOCK + 155, 3 * BLOCK, 3 * BLOCK + 8, 3 * BLOCK + 16, 3 * BLOCK + 24]) {
        const rotten = disk.copy();
        rotten.flipBit(FIRST, offset, 3);
        const { recovery } = await openLog(rotten, { seed: 2 });
        if (closed) expect(recovery.damage).toMatchObject({ file: FIRST, offset: 3 * BLOCK });
        else expect(recovery).toMatchObject({ damage: null, tornBytes: BLOCK });
        expect(recovery.entries.map(({ index }) => index)).toEqual([1, 2]);
      }
    }
  });

  it('is not sealed over by a log that failed', async () => {
    const { disk, wal } = await written(2);
    disk.failSync((path) => path === FIRST);
    wal.append(null, [entry(3)]);
    await expect(wal.sync()).rejects.toMatchObject({ code: 'FAILED' });
    disk.failSync(null);
    const before = disk.contentOf(FIRST);
    await wal.close();
    expect(disk.contentOf(FIRST).equals(before)).toBe(true);
  });

  it('is named where it is, also at the beginning of a segment that others follow', async () => {
    for (const offset of [20, BLOCK + 40]) {
      const disk = new MemoryDisk();
      const { wal } = await openLog(disk);
      wal.append(state(1), entries(1, 60, 1, 3_900));
      await wal.sync();
      await wal.close();
      expect(wal.segments).toBeGreaterThan(3);
      disk.flipBit(SECOND, offset);
      const { recovery } = await reopened(disk);
      expect(recovery.damage).toMatchObject({ file: SECOND, offset: offset < BLOCK ? 0 : BLOCK });
    }
  });

  it('is any unreadable record in a segment that a later one follows', async () => {
    const disk = new MemoryDisk();
    const { wal } = await openLog(disk);
    wal.append(state(1), entries(1, 15, 1, 3_900));
    await wal.sync();
    wal.append(null, entries(16, 16));
    await wal.sync();
    expect(wal.segments).toBe(2);
    disk.flipBit(FIRST, BLOCK + 6_000);
    const { recovery } = await reopened(disk);
    expect(recovery.damage).toMatchObject({ file: FIRST, offset: BLOCK });
    expect(recovery.damage!.message).toContain('must not vote');
    expect(recovery.entries).toEqual([]);
  });

  it('rule: damage - a missing segment is damage: in the middle, at the front, and at the end when the next one was made', async () => {
    for (const gone of [1, 2, 3, 4]) {
      const disk = new MemoryDisk();
      const { wal } = await openLog(disk);
      wal.append(state(1), entries(1, 60, 1, 3_900));
      await wal.sync();
      await wal.close();
      disk.stop();
      expect(wal.segments).toBeGreaterThanOrEqual(4);
      const path = `/wal/000000000000000${gone}.wal`;
      disk.lose(path);
      const { recovery } = await openLog(disk);
      expect(recovery.damage).toMatchObject({ file: path });
      expect(recovery.damage!.message).toContain('missing');
    }
  });

  it('rule: damage - a damaged log is closed to all but a reset', async () => {
    const { disk } = await written(5);
    disk.flipBit(FIRST, 2 * BLOCK + 3);
    const { wal, recovery } = await reopened(disk);
    expect(recovery.entries.map(({ index }) => index)).toEqual([1]);
    expect(() => wal.append(null, [entry(2)])).toThrow('reset');
    await wal.reset({ index: 70, term: 3 }, state(3, 70));
    wal.append(null, [entry(71, 3)]);
    await wal.sync();
    const { recovery: healed } = await reopened(disk);
    expect(healed.damage).toBeNull();
    expect(healed.entries.map(({ index }) => index)).toEqual([71]);
  });

  it('is not claimed by a payload that pretends to be a batch', async () => {
    for (const knowsNonce of [false, true]) {
      const { disk, wal } = await written(2);
      // A client that knows everything, or everything but the segment's random number.
      const header = decodeSegmentHeader(disk.contentOf(FIRST), 1)!;
      const batch = Buffer.alloc(BLOCK);
      encodeBatchHeader(batch, knowsNonce ? header : { ...header, nonce: Buffer.alloc(8, 1) }, {
        position: 4 * BLOCK,
        bodyBytes: 0,
        bodyCrc: 0,
        entries: 0,
        reset: false,
        hardState: null,
        mark: { index: 0, term: 0 },
        previousLast: 2,
        previousEnd: 0,
      });
      wal.append(null, [entry(3, 1, Buffer.concat([Buffer.alloc(BLOCK - 128 - 24), batch]))]);
      await wal.sync();
      disk.flipBit(FIRST, 3 * BLOCK + 200);
      const { recovery } = await reopened(disk);
      expect(recovery.damage === null).toBe(!knowsNonce);
      expect(recovery.entries.length).toBe(2);
    }
  });
});

describe('a disk that fails', () => {
  it('is final after a failed sync', async () => {
    const { disk, wal } = await written(2);
    disk.failSync((path) => path === FIRST);
    wal.append(null, [entry(3)]);
    await expect(wal.sync()).rejects.toMatchObject({
      code: 'FAILED',
      message: expect.stringContaining('EIO'),
    });
    disk.failSync(null);
    await expect(wal.sync()).rejects.toMatchObject({ code: 'FAILED' });
    await expect(wal.release({ index: 1, term: 1 })).rejects.toMatchObject({ code: 'FAILED' });
    expect(() => wal.append(null, [entry(4)])).toThrow('EIO');
  });

  it('is final when it is full, and says so; what was synced is there after the next start', async () => {
    const { disk, wal } = await written(2);
    await wal.sync();
    disk.fullAfter(0);
    const failing = (async () => {
      for (let index = 3; ; index++) {
        wal.append(null, [entry(index)]);
        await wal.sync();
      }
    })();
    await expect(failing).rejects.toMatchObject({ code: 'FULL', message: expect.stringContaining('full') });
    await expect(wal.sync()).rejects.toMatchObject({ code: 'FULL' });
    disk.fullAfter(Number.POSITIVE_INFINITY);
    const { recovery, wal: again } = await reopened(disk);
    expect(recovery.damage).toBeNull();
    expect(recovery.entries.length).toBeGreaterThanOrEqual(15);
    again.append(null, [entry(recovery.entries.length + 1)]);
    await again.sync();
  });

  it('makes the last batch durable again at the next start, because nobody knows whether it is', async () => {
    const { disk, wal } = await written(2);
    disk.failSync(() => true);
    wal.append(null, [entry(3)]);
    await expect(wal.sync()).rejects.toThrow();
    disk.failSync(null);
    const { recovery } = await reopened(disk);
    expect(recovery.entries.length).toBe(3);
    disk.crash({ random: { below: () => 1, bytes: (n) => new Uint8Array(n) } });
    const { recovery: after } = await openLog(disk, { seed: 3 });
    expect(after.entries.length).toBe(3);
  });

  it('rejects everything after close', async () => {
    const { disk, wal } = await written(2);
    await wal.close();
    await wal.close();
    await expect(wal.sync()).rejects.toMatchObject({ code: 'CLOSED' });
    expect(disk.paths()).toContain(FIRST);
    expect(disk.paths()).toContain(SECOND);
  });
});
