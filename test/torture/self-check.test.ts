/** The torture can fail: with a disk that breaks its promises, storage that `crashes.test.ts` finds right is found wrong. */
import { describe, expect, it } from 'vitest';
import type { Disk, DiskFile } from '../../src/storage/index.js';
import { tortureByCrashes } from './crashes.js';
import { Violation } from './examine.js';
import { callsOf, type FaultFigures, tortureByFault } from './faults.js';
import type { Step } from './life.js';

const STEPS: readonly Step[] = [
  'join',
  'note',
  'append',
  'append',
  'snapshot',
  'release',
  'append',
  'both',
  'append',
];
const SEEDS = 6;

/** A disk on which the sync of matching files does nothing. */
function withoutSync(disk: Disk, matches: RegExp): Disk {
  const careless = (file: DiskFile): DiskFile => ({ ...file, sync: async () => {} });
  return {
    ...disk,
    open: async (path, options) => {
      const file = await disk.open(path, options);
      return matches.test(path) ? careless(file) : file;
    },
  };
}

function withoutDirectorySync(disk: Disk, matches: RegExp): Disk {
  return {
    ...disk,
    syncDirectory: async (path) => (matches.test(path) ? undefined : disk.syncDirectory(path)),
  };
}

/** A disk that says of a batch that it could not be read, once it was written: as if recovery cut off too much. */
function forgetful(disk: Disk, matches: RegExp): Disk {
  return {
    ...disk,
    open: async (path, options) => {
      const file = await disk.open(path, options);
      if (!matches.test(path)) return file;
      return {
        ...file,
        read: async (position, length) => {
          const bytes = Buffer.from(await file.read(position, length));
          return bytes.map((byte, at) => (position + at >= 3 * 4096 ? 0 : byte));
        },
      };
    },
  };
}

async function firstViolation(wrap: (disk: Disk) => Disk): Promise<string> {
  for (let seed = 1; seed <= SEEDS; seed++) {
    try {
      await tortureByCrashes({ seed, steps: STEPS, wrap });
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      return error.message;
    }
  }
  return 'nothing was found';
}

const PLANTED: readonly (readonly [string, (disk: Disk) => Disk, RegExp])[] = [
  ['a sync of the log that does nothing', (disk) => withoutSync(disk, /\.wal$/), /log/],
  ['a sync of segments made ahead that does nothing', (disk) => withoutSync(disk, /spare-/), /damage|log: /],
  ['a sync of packs that does nothing', (disk) => withoutSync(disk, /pack-/), /damage|page|read/],
  ['a sync of manifests that does nothing', (disk) => withoutSync(disk, /manifest-/), /manifest|snapshot/],
  ['a sync of the identity that does nothing', (disk) => withoutSync(disk, /identity/), /identity/],
  ['a sync of notes that does nothing', (disk) => withoutSync(disk, /\/notes\//), /note/],
  ["a lost sync of the log's directory", (disk) => withoutDirectorySync(disk, /wal$/), /log/],
  ["a lost sync of the snapshots' directory", (disk) => withoutDirectorySync(disk, /snapshots$/), /snapshot/],
  ["a lost sync of the notes' directory", (disk) => withoutDirectorySync(disk, /notes$/), /notes: /],
  ['a lost sync of the data directory', (disk) => withoutDirectorySync(disk, /data$/), /identity/],
  ['a log that is cut off too early', (disk) => forgetful(disk, /\.wal$/), /log|damage/],
];

describe('the torture', () => {
  it.each(PLANTED)('finds %s', async (_, wrap, expected) => {
    const message = await firstViolation(wrap);
    expect(message).toMatch(expected);
    expect(message).toMatch(/^seed \d+, .*\nrepeat: TORTURE_SEED=\d+ npm run test:torture/s);
  });

  it('finds the error of a sync that is passed over', async () => {
    const calls = await callsOf(1);
    const figures: FaultFigures = new Map();
    const found: string[] = [];
    for (const [number, { kind, path }] of calls.entries()) {
      if (kind !== 'sync' || !path.endsWith('.wal')) continue;
      const fault = { at: number + 1, code: 'EIO', how: 'passed over' } as const;
      await tortureByFault(1, fault, figures).catch((error) => void found.push((error as Error).message));
    }
    // What a later snapshot covers is not missed.
    expect(found.length).toBeGreaterThan(2);
    for (const message of found) expect(message).toMatch(/EIO \(passed over\).*log/);
  });
});
