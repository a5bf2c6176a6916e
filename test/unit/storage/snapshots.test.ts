/** Snapshots as manifests that name unchanged pages again (design, rule 17), under damage and power loss. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SnapshotMark } from '../../../src/consensus/types.js';
import {
  type Disk,
  MemoryDisk,
  openSnapshots,
  realDisk,
  type SnapshotStore,
  StorageError,
} from '../../../src/storage/index.js';
import { inTemporaryDirectory, quiet, seeded } from './support.js';

const NONE = { voters: [], outgoing: [], learners: [], learnersNext: [], autoLeave: false };

function mark(index: number): SnapshotMark {
  return { index, term: 1, membership: { ...NONE, voters: [1, 2 ** 53 - 1] } };
}

type State = Record<string, { version: number; bytes: Buffer }>;

function open(disk: Disk, path = '/s'): Promise<SnapshotStore> {
  return openSnapshots(disk, path, { log: quiet });
}

function page(version: number, size: number): { version: number; bytes: Buffer } {
  return { version, bytes: Buffer.alloc(size, version) };
}

/** Writes what changed and reuses the rest; returns how many pages were written. */
async function snapshot(store: SnapshotStore, index: number, state: State): Promise<number> {
  const writer = await store.begin(mark(index));
  let written = 0;
  try {
    for (const [key, { version, bytes }] of Object.entries(state)) {
      if (writer.has(key, version)) {
        writer.reuse(key, version);
      } else {
        await writer.write({ key, version, bytes });
        written++;
      }
    }
    await writer.finish();
  } finally {
    await writer.abort();
  }
  return written;
}

async function content(store: SnapshotStore): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { key, version, bytes } of store.pages()) {
    found[key] = `${version}:${Buffer.from(bytes).toString('base64')}`;
  }
  return found;
}

function expected(state: State): Record<string, string> {
  return Object.fromEntries(
    Object.entries(state).map(([key, { version, bytes }]) => [key, `${version}:${bytes.toString('base64')}`]),
  );
}

describe('the snapshot store', () => {
  it('is empty when new', async () => {
    const store = await open(new MemoryDisk());
    expect(store.newest).toBeNull();
    expect(store.damage).toBeNull();
    expect(await content(store)).toEqual({});
  });

  it('gives back pages of any size, in order, after a restart too', async () => {
    const disk = new MemoryDisk();
    const state: State = { z: page(1, 0), a: page(2, 10), big: page(3, 700_000), b: page(4, 200_000) };
    state.b2 = page(5, 200_000);
    const store = await open(disk);
    await snapshot(store, 5, state);
    expect(store.newest).toEqual({ mark: mark(5), bytes: 1_100_010, pages: 5 });
    disk.crash({ random: seeded(1) });
    const again = await open(disk);
    expect(again.newest).toEqual({ mark: mark(5), bytes: 1_100_010, pages: 5 });
    const found = await content(again);
    expect(found).toEqual(expected(state));
    expect(Object.keys(found)).toEqual(Object.keys(state));
  });

  it('rule: snapshots - only what changed is written, and what nothing needs is deleted', async () => {
    const disk = new MemoryDisk();
    const store = await open(disk);
    const state: State = {};
    for (let i = 0; i < 100; i++) state[`p${i}`] = page(1, 10_000);
    expect(await snapshot(store, 1, state)).toBe(100);
    state.p3 = page(2, 10_000);
    expect(await snapshot(store, 2, state)).toBe(1);
    expect(disk.bytes).toBeLessThan(1_030_000);
    expect(await content(store)).toEqual(expected(state));
    for (const key of Object.keys(state)) if (key !== 'p7') delete state[key];
    await snapshot(store, 3, state);
    expect(disk.bytes).toBeLessThan(12_000);
    expect(await content(store)).toEqual(expected(state));
    expect(disk.paths().length).toBe(2);
  });

  it('rule: snapshots - files of which less than half is of use are rewritten', async () => {
    const disk = new MemoryDisk();
    const store = await open(disk);
    const state: State = {};
    for (let i = 0; i < 40; i++) state[`p${i}`] = page(1, 10_000);
    let live = 0;
    for (let round = 2; round < 60; round++) {
      state[`p${(round * 7) % 40}`] = page(round, 10_000);
      await snapshot(store, round, state);
      live = 400_000;
      expect(disk.bytes).toBeLessThan(live * 2.2 + 20_000);
    }
    expect(await content(store)).toEqual(expected(state));
  });

  it('counts nothing of an aborted or failed snapshot, and leaves nothing behind', async () => {
    const disk = new MemoryDisk();
    const store = await open(disk);
    await snapshot(store, 1, { a: page(1, 100) });
    const before = disk.paths();
    const writer = await store.begin(mark(2));
    await expect(store.begin(mark(2))).rejects.toThrow('one snapshot');
    await writer.write({ key: 'b', version: 1, bytes: Buffer.alloc(400_000) });
    await writer.abort();
    await writer.abort();
    expect(disk.paths()).toEqual(before);
    disk.fullAfter(100);
    await expect(snapshot(store, 3, { c: page(1, 400_000) })).rejects.toMatchObject({ code: 'FULL' });
    disk.fullAfter(Number.POSITIVE_INFINITY);
    expect(disk.paths()).toEqual(before);
    const unfinished = await store.begin(mark(4));
    await unfinished.write({ key: 'c', version: 1, bytes: Buffer.alloc(100) });
    disk.failSync(() => true);
    await expect(unfinished.finish()).rejects.toMatchObject({ code: 'FAILED' });
    disk.failSync(null);
    expect(disk.paths()).toEqual(before);
    expect(store.newest!.mark.index).toBe(1);
    await snapshot(store, 5, { a: page(1, 100) });
    expect(await content(store)).toEqual(expected({ a: page(1, 100) }));
  });

  it('leaves nothing behind wherever the disk runs full, and nothing damaged by a crash after it', async () => {
    const disk = new MemoryDisk();
    await snapshot(await open(disk), 1, { a: page(1, 100) });
    const before = disk.paths();
    let failed = 0;
    for (let budget = 0; failed === budget; budget++) {
      const store = await open(disk);
      // Every change of names and every write may be the one for which there is no room any more.
      let left = budget;
      disk.before = ({ kind }) => {
        if (['open', 'write', 'sync', 'rename', 'syncDirectory'].includes(kind) && left-- === 0) {
          throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
        }
      };
      const writing = snapshot(store, 2 + budget, { a: page(2 + budget, 400_000) });
      const error = await writing.then(
        () => null,
        (thrown: unknown) => thrown,
      );
      disk.before = null;
      if (error === null) break;
      failed += 1;
      expect(error).toMatchObject({ code: 'FULL' });
      expect(disk.paths()).toEqual(before);
      disk.crash({ random: seeded(budget) });
      const again = await open(disk);
      expect(again.damage).toBeNull();
      expect(await content(again)).toEqual(expected({ a: page(1, 100) }));
    }
    expect(failed).toBeGreaterThan(8);
  });

  it('keeps what a reader is reading while a newer snapshot is finished', async () => {
    const disk = new MemoryDisk();
    const store = await open(disk);
    const old: State = { a: page(1, 2_000_000), b: page(1, 2_000_000), c: page(1, 2_000_000) };
    await snapshot(store, 1, old);
    const reading = store.pages()[Symbol.asyncIterator]();
    const found = [(await reading.next()).value.key];
    await snapshot(store, 2, { a: page(2, 10) });
    expect(disk.bytes).toBeGreaterThan(6_000_000);
    for (let next = await reading.next(); !next.done; next = await reading.next()) found.push(next.value.key);
    expect(found).toEqual(['a', 'b', 'c']);
    expect(disk.bytes).toBeLessThan(1_000);
    expect(await content(store)).toEqual(expected({ a: page(2, 10) }));
  });

  it('works on the real disk', () =>
    inTemporaryDirectory(async (path) => {
      const store = await open(realDisk(), `${path}/snapshots`);
      const state: State = { a: page(1, 100_000), b: page(1, 300_000) };
      await snapshot(store, 1, state);
      state.a = page(2, 50);
      await snapshot(store, 2, state);
      expect(await content(store)).toEqual(expected(state));
      await store.close();
      const again = await open(realDisk(), `${path}/snapshots`);
      expect(await content(again)).toEqual(expected(state));
      await again.close();
      await expect(again.begin(mark(3))).rejects.toMatchObject({ code: 'CLOSED' });
    }));
});

describe('a damaged snapshot', () => {
  const state: State = { a: page(1, 5_000), b: page(1, 5_000) };
  const PACK = '/s/pack-0000000000000001';
  const MANIFEST = '/s/manifest-0000000000000001';

  async function damaged(
    harm: (disk: MemoryDisk) => void,
  ): Promise<{ disk: MemoryDisk; store: SnapshotStore }> {
    const disk = new MemoryDisk();
    await snapshot(await open(disk), 1, state);
    disk.stop();
    harm(disk);
    return { disk, store: await open(disk) };
  }

  it('is reported when it is the manifest, whichever bit', async () => {
    const { disk: whole } = await damaged(() => {});
    for (let offset = 0; offset < whole.contentOf(MANIFEST).length; offset++) {
      const { store } = await damaged((disk) => disk.flipBit(MANIFEST, offset, offset % 8));
      expect(store.damage).toMatchObject({ file: MANIFEST });
      expect(store.newest).toBeNull();
    }
  });

  it('is reported when a pack is missing or short', async () => {
    const { store } = await damaged((disk) => disk.lose(PACK));
    expect(store.damage).toMatchObject({ file: PACK, message: expect.stringContaining('replace') });
    expect(store.newest).toBeNull();
  });

  it('is noticed when a page is read, and ends with the next snapshot, which must write that page', async () => {
    const { store } = await damaged((disk) => disk.flipBit(PACK, 7_000));
    expect(store.damage).toBeNull();
    await expect(content(store)).rejects.toMatchObject({ code: 'DAMAGED' });
    expect(store.damage).toMatchObject({ file: PACK, offset: 5_000 });
    expect(await snapshot(store, 2, state)).toBe(1);
    expect(store.damage).toBeNull();
    expect(await content(store)).toEqual(expected(state));
  });

  it('does not stop a snapshot from elsewhere from taking its place', async () => {
    const { disk, store } = await damaged((harmed) => harmed.flipBit(MANIFEST, 50));
    await snapshot(store, 9, { other: page(1, 10) });
    expect(store.damage).toBeNull();
    disk.stop();
    const again = await open(disk);
    expect(again.damage).toBeNull();
    expect(await content(again)).toEqual(expected({ other: page(1, 10) }));
    expect(disk.paths().length).toBe(2);
  });
});

describe('snapshots under power loss', () => {
  it('are there whole once finished, and before that the one before is', async () => {
    const change = fc.record({
      key: fc.integer({ min: 0, max: 8 }),
      size: fc.constantFrom(0, 40, 3_000, 300_000),
      gone: fc.boolean(),
    });
    const life = fc.record({
      snapshots: fc.array(fc.array(change, { maxLength: 5 }), { minLength: 1, maxLength: 6 }),
      crashAt: fc.integer({ min: 0, max: 80 }),
      tear: fc.boolean(),
    });
    let crashes = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(life, { minLength: 1, maxLength: 4 }), fc.nat(), async (lives, seed) => {
        const disk = new MemoryDisk();
        const random = seeded(seed + 1);
        let version = 0;
        let index = 0;
        let state: State = {};
        let allowed: [number, State][] = [[0, {}]];
        const check = async (store: SnapshotStore): Promise<void> => {
          expect(store.damage).toBeNull();
          const found = allowed.find(([at]) => at === (store.newest?.mark.index ?? 0));
          expect(found).toBeDefined();
          expect(await content(store)).toEqual(expected(found![1]));
          allowed = [found!];
          state = { ...found![1] };
        };
        for (const { snapshots, crashAt, tear } of lives) {
          let operations = 0;
          let crashed = false;
          disk.before = () => {
            if (operations++ === crashAt) {
              crashed = true;
              disk.crash({ random, tear });
            }
          };
          try {
            const store = await open(disk.mount());
            await check(store);
            for (const changes of snapshots) {
              for (const { key, size, gone } of changes) {
                if (gone) delete state[`k${key}`];
                else state[`k${key}`] = { version: ++version, bytes: Buffer.alloc(size, version) };
              }
              index++;
              allowed.push([index, { ...state }]);
              await snapshot(store, index, state);
              allowed = [[index, { ...state }]];
            }
          } catch (error) {
            if (!crashed || !(error instanceof StorageError)) throw error;
            crashes++;
          }
          disk.before = null;
          disk.stop();
        }
        disk.crash({ random, tear: true });
        await check(await open(disk));
      }),
      { numRuns: 80 },
    );
    expect(crashes).toBeGreaterThan(30);
  });
});
