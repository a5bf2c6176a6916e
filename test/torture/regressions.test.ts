/** What the torture found, each in its shortest form: a seed means something else once the workloads change. */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { MemoryDisk, openDataDirectory, openSnapshots, realDisk } from '../../src/storage/index.js';
import type { DiskOperation } from '../../src/storage/memory-disk.js';
import { entries, inTemporaryDirectory, openLog, quiet, seeded, state } from '../unit/storage/support.js';
import { startNode } from './boots.js';

const NOTHING_KEPT = { names: [], files: [] };
const MARK = {
  term: 1,
  membership: { voters: [1], outgoing: [], learners: [], learnersNext: [], autoLeave: false },
};

/** Runs `work` until the process is killed before the first operation that matches; the machine goes on. */
async function killedBefore(
  disk: MemoryDisk,
  matches: (operation: DiskOperation) => boolean,
  work: () => Promise<unknown>,
): Promise<void> {
  let killed = false;
  disk.before = (operation) => {
    if (killed || !matches(operation)) return;
    killed = true;
    disk.stop();
  };
  await work().catch(() => {});
  disk.before = null;
  expect(killed).toBe(true);
}

describe('a process killed between a rename and the sync of its directory, then a start, then power loss', () => {
  it('does not take a log segment away with what was acknowledged in it', async () => {
    const disk = new MemoryDisk();
    const { wal } = await openLog(disk, { segmentBytes: 4 * 4096 });
    wal.append(state(1), entries(1, 1));
    await wal.sync();
    // The first segment is begun, and the second one is being made ready.
    const made = (): boolean => disk.paths().includes('/wal/0000000000000002.wal');
    await killedBefore(
      disk,
      ({ kind }) => kind === 'syncDirectory' && made(),
      async () => {
        for (let index = 2; index < 9; index++) {
          wal.append(null, entries(index, index));
          await wal.sync();
        }
      },
    );
    const second = await openLog(disk, { segmentBytes: 4 * 4096, seed: 2 });
    let last = second.recovery.entries.at(-1)!.index;
    for (let synced = false; !synced; last++) {
      second.wal.append(state(last + 1), entries(last + 1, last + 1));
      await second.wal.sync();
      synced = second.wal.segments === 2;
      if (synced) disk.crashKeeping(NOTHING_KEPT);
    }
    const { recovery } = await openLog(disk, { segmentBytes: 4 * 4096, seed: 3 });
    expect(recovery.damage).toBeNull();
    expect(recovery.entries.at(-1)!.index).toBe(last);
    expect(recovery.hardState).toEqual(state(last));
  });

  it('leaves the snapshot before it or the new one, never none', async () => {
    const disk = new MemoryDisk();
    const write = async (index: number): Promise<void> => {
      const store = await openSnapshots(disk.mount(), '/s', { log: quiet });
      const writer = await store.begin({ ...MARK, index });
      await writer.write({ key: 'a', version: index, bytes: Buffer.alloc(100, index) });
      await writer.finish();
    };
    await write(1);
    const renamed = (): boolean => disk.paths().includes('/s/manifest-0000000000000002');
    await killedBefore(
      disk,
      ({ kind }) => kind === 'syncDirectory' && renamed(),
      () => write(2),
    );
    // Of the next start's deletions all survive, of the name that was there before it nothing does.
    const before = disk.unsynced().names.length;
    let lost = false;
    disk.before = ({ kind }) => {
      if (kind !== 'syncDirectory' || !disk.unsynced().names.some((name) => name.includes('-manifest')))
        return;
      if (disk.unsynced().names.length === before || lost) return;
      lost = true;
      disk.crashKeeping({ names: disk.unsynced().names.map((_, at) => at >= before), files: [] });
    };
    await openSnapshots(disk.mount(), '/s', { log: quiet }).catch(() => {});
    disk.before = null;
    if (!lost) disk.crashKeeping(NOTHING_KEPT);
    const store = await openSnapshots(disk.mount(), '/s', { log: quiet });
    expect(store.damage).toBeNull();
    expect(store.newest?.mark.index).toBeGreaterThan(0);
  });

  it('does not forget a note that the start has read', async () => {
    const disk = new MemoryDisk();
    const open = (seed: number) =>
      openDataDirectory(disk.mount(), '/data', { nodeName: 'n1', random: seeded(seed) });
    const directory = await open(1);
    await killedBefore(
      disk,
      ({ kind, path }) => kind === 'syncDirectory' && path === '/data/notes',
      () => directory.writeNote('formation', { promised: true }),
    );
    expect(await (await open(2)).readNote('formation')).toEqual({ promised: true });
    disk.crashKeeping(NOTHING_KEPT);
    expect(await (await open(3)).readNote('formation')).toEqual({ promised: true });
  });
});

describe('a first start', () => {
  it('that is interrupted twice is not taken for a disk that lost its log', async () => {
    const disk = new MemoryDisk();
    const random = seeded(1);
    const begun = (): boolean => disk.paths().some((path) => path.includes('/manifest-'));
    // The cluster's first snapshot is there, the log's first batch is not.
    await killedBefore(
      disk,
      ({ kind, path }) => kind === 'write' && path.endsWith('.wal') && begun(),
      () => startNode(disk, random),
    );
    const NOTE = '/data/notes/formation';
    let lost = false;
    disk.before = ({ kind, path }) => {
      if (lost || kind !== 'syncDirectory' || path !== '/data/notes' || disk.paths().includes(NOTE)) return;
      lost = true;
      const { names } = disk.unsynced();
      disk.crashKeeping({ names: names.map(() => true), files: [] });
    };
    await startNode(disk, random).catch(() => {});
    disk.before = null;
    expect(lost).toBe(true);
    expect(await startNode(disk, random)).toBeGreaterThan(0);
  });

  it('that finds its note damaged sets the disk aside, and does not end the same way at every start', async () => {
    const disk = new MemoryDisk();
    const random = seeded(1);
    await killedBefore(
      disk,
      ({ path }) => path.startsWith('/data/snapshots'),
      () => startNode(disk, random),
    );
    disk.flipBit('/data/notes/formation', 40);
    await expect(startNode(disk, random)).rejects.toMatchObject({
      name: 'DamagedDiskError',
      message: expect.stringContaining('cluster replace'),
    });
  });

  it('that finds its note missing has ended all work on the disk when it says so', async () => {
    const disk = new MemoryDisk();
    const random = seeded(1);
    await killedBefore(
      disk,
      ({ path }) => path.startsWith('/data/snapshots'),
      () => startNode(disk, random),
    );
    disk.lose('/data/notes/formation');
    let changes = 0;
    const failing = startNode(disk, random).catch((error) => {
      changes = disk.changes;
      throw error;
    });
    await expect(failing).rejects.toMatchObject({ name: 'DamagedDiskError' });
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(disk.changes).toBe(changes);
  });
});

describe('a damaged directory', () => {
  it('is set aside also where an interrupted attempt had moved a part, on the real disk', () =>
    inTemporaryDirectory(async (path) => {
      const directory = await openDataDirectory(realDisk(), path, { nodeName: 'n1', random: seeded(1) });
      const { diskId } = directory.identity;
      const aside = `${path}/damaged-${diskId.slice(0, 12)}`;
      // What was moved, and what the start behind the interruption made anew.
      for (const folder of [`${aside}/notes`, `${aside}/wal`, directory.walPath, `${path}/notes`]) {
        await mkdir(folder, { recursive: true });
        await writeFile(`${folder}/file`, folder);
      }
      expect(await directory.setAside()).toBe(aside);
      expect(directory.identity.diskId).not.toBe(diskId);
      expect((await readdir(aside)).sort()).toEqual(['notes', 'notes-2', 'wal', 'wal-2']);
      await directory.close();
    }));
});
