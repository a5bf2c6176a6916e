import { describe, expect, it } from 'vitest';
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
  async function formed() {
    const random = new SeededRandom(1);
    const disk = new MemoryDisk();
    const options = {
      name: 'n1',
      clusterName: 'c',
      disk: disk.mount(),
      random,
      log: silent,
      timings: DEFAULT_TIMINGS,
      segmentBytes: 64 * 1024,
    } as unknown as NodeOptions;
    const directory = await openDataDirectory(options.disk, '/data', { nodeName: 'n1', random });
    const { diskId } = directory.identity;
    const members = [{ name: 'n1', diskId, raftId: raftIdFromDiskId(diskId), peer: 'n1:7731' }];
    const formation = { clusterId: 'id', clusterName: 'c', members, settings: {} };
    await directory.writeNote(FORMATION_NOTE, { adopted: false, formation });
    await directory.join({ id: 'id', name: 'c' });
    return { options, directory };
  }

  /** A life that wrote entries 2 to 5 of term 1, then a snapshot at index 3 of `term`, and died. */
  async function lifeWithSnapshot(term: number) {
    const { options, directory } = await formed();
    const first = await boot(options, directory);
    first.wal.append(
      { term: 1, vote: first.raftId, commit: 1 },
      [2, 3, 4, 5].map((index) => entry(index, 1)),
    );
    await first.wal.sync();
    first.core.skip(2);
    first.core.skip(3);
    const writer = await first.store.begin({ index: 3, term, membership: first.membership });
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
