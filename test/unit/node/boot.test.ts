import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/system-clock.js';
import { raftIdFromDiskId } from '../../../src/consensus/index.js';
import { boot, FORMATION_NOTE } from '../../../src/node/boot.js';
import { DEFAULT_TIMINGS, type NodeOptions } from '../../../src/node/options.js';
import { DamagedDiskError } from '../../../src/node/restoring.js';
import { SeededRandom } from '../../../src/sim/random.js';
import { MemoryDisk, openDataDirectory } from '../../../src/storage/index.js';
import { silent } from './parts.js';

const entry = (index: number, term: number) =>
  ({ index, term, kind: 'command', data: Buffer.alloc(0) }) as const;

describe('recovery', () => {
  async function formed(logMemoryBytes?: number) {
    const random = new SeededRandom(1);
    const disk = new MemoryDisk();
    const options = {
      clock: systemClock,
      jobsMemoryBytes: 2 ** 28,
      name: 'n1',
      clusterName: 'c',
      disk: disk.mount(),
      random,
      log: silent,
      timings: DEFAULT_TIMINGS,
      segmentBytes: 64 * 1024,
      logMemoryBytes,
    } as unknown as NodeOptions;
    const directory = await openDataDirectory(options.disk, '/data', { nodeName: 'n1', random });
    const { diskId } = directory.identity;
    const members = [{ name: 'n1', diskId, raftId: raftIdFromDiskId(diskId), peer: 'n1:7731' }];
    const formation = { clusterId: 'id', clusterName: 'c', members, settings: {} };
    await directory.writeNote(FORMATION_NOTE, { adopted: false, formation });
    await directory.join({ id: 'id', name: 'c' });
    return { options, directory };
  }

  interface Life {
    readonly index?: number;
    readonly commit?: number;
    readonly logMemoryBytes?: number;
    /** The log is gone up to here. */
    readonly reset?: number;
  }

  /** A life that wrote entries 2 to 5 of term 1, then a snapshot at `index` of `term`, and died. */
  async function lifeWithSnapshot(term: number, { index = 3, commit = 1, logMemoryBytes, reset }: Life = {}) {
    const { options, directory } = await formed(logMemoryBytes);
    const first = await boot(options, directory);
    if (reset !== undefined) await first.wal.reset({ index: reset, term: 1 }, { term: 1, vote: 0, commit });
    first.wal.append(
      { term: 1, vote: first.raftId, commit },
      [2, 3, 4, 5].map((at) => entry(at + (reset ?? 1) - 1, 1)),
    );
    await first.wal.sync();
    for (let at = 2; at <= index; at++) first.core.skip(at);
    const writer = await first.store.begin({ index, term, membership: first.membership });
    const cursor = first.core.beginSnapshot();
    for (let page = cursor.next(() => false); page !== null; page = cursor.next(() => false)) {
      await writer.write({ key: page.key, version: page.version, bytes: page.bytes! });
    }
    await writer.finish();
    await first.wal.close();
    await first.store.close();
    return boot(options, directory);
  }

  it('goes on with the log behind its snapshot', async () => {
    const { consensus, core } = await lifeWithSnapshot(1);
    expect(core.appliedIndex).toBe(3);
    expect(consensus.status()).toMatchObject({ term: 1, lastIndex: 5, commit: 3 });
  });

  describe('of which committed entries are on disk alone', () => {
    const alone = { commit: 5, logMemoryBytes: 0 };

    it('applies those behind the snapshot as it reads them, and knows of none before it', async () => {
      const { consensus } = await lifeWithSnapshot(1, alone);
      expect(consensus.status()).toMatchObject({ commit: 5, firstIndex: 4, heldFrom: 6, lastIndex: 5 });
      expect(consensus.take()!.committed.map(({ index }) => index)).toEqual([4, 5]);
    });

    it('hands over those that are not known as committed, and the others not', async () => {
      const { consensus } = await lifeWithSnapshot(1, { ...alone, commit: 4 });
      expect(consensus.status()).toMatchObject({ commit: 4, firstIndex: 4, heldFrom: 5, lastIndex: 5 });
    });

    it('drops them where they disagree with the snapshot, or end before it', async () => {
      for (const life of [alone, { ...alone, index: 9 }]) {
        const { index = 3 } = life as Life;
        const { consensus, wal } = await lifeWithSnapshot(2, life);
        const behind = { firstIndex: index + 1, heldFrom: index + 1, lastIndex: index };
        expect(consensus.status()).toMatchObject({ term: 2, vote: 0, commit: index, ...behind });
        wal.append(null, [entry(index + 1, 2)]);
        await wal.sync();
        expect(() => wal.read(index, index, 1)).toThrow('on disk');
        expect(wal.read(index + 1, index + 1, 1).length).toBe(1);
      }
    });

    it('names what is missing between them and the snapshot', async () => {
      const failed = lifeWithSnapshot(1, { ...alone, commit: 13, reset: 9 });
      await expect(failed).rejects.toThrow(
        'the log begins at index 10, the snapshot ends at 3: entries between them are missing',
      );
      await expect(failed).rejects.toBeInstanceOf(DamagedDiskError);
    });
  });

  it.each([
    ['page nodes is missing', 'nodes'],
    ['it is of index 3, its pages of 1', null],
  ])('names a snapshot whose pages are sound and make no state: %s', async (reason, without) => {
    const { options, directory } = await formed();
    const first = await boot(options, directory);
    const writer = await first.store.begin({ index: 3, term: 1, membership: first.membership });
    const cursor = first.core.beginSnapshot();
    for (let page = cursor.next(() => false); page !== null; page = cursor.next(() => false)) {
      if (page.key === without) continue;
      await writer.write({ key: page.key, version: page.version, bytes: page.bytes! });
    }
    await writer.finish();
    await first.wal.close();
    await first.store.close();
    const failed = await boot(options, directory).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(DamagedDiskError);
    expect((failed as Error).message).toBe(`the newest snapshot makes no state: ${reason}`);
  });

  it('drops a log that disagrees with the snapshot that arrived before the end', async () => {
    const { consensus, core, appliedTerm } = await lifeWithSnapshot(2);
    expect(core.appliedIndex).toBe(3);
    expect(appliedTerm).toBe(2);
    expect(consensus.status()).toMatchObject({ term: 2, vote: 0, lastIndex: 3, commit: 3 });
  });

  it('lets a node that was just added know whom to answer', async () => {
    const { options, directory } = await formed();
    const members = [{ name: 'n2', diskId: 'ab'.repeat(16), raftId: 77, peer: 'n2:7731' }];
    const formation = { clusterId: 'id', clusterName: 'c', members, settings: {} };
    await directory.writeNote(FORMATION_NOTE, { adopted: true, formation });
    const booted = await boot(options, directory);
    expect(booted.members).toEqual(members);
    expect(booted.consensus.status().membership.voters).toEqual([]);
  });
});
