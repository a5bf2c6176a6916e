/** Opens a data directory with the shipped recovery and holds what is found against what may be found. */
import type { Random } from '../../src/base/random.js';
import type { Disk } from '../../src/storage/index.js';
import { openDataDirectory, openSnapshots, openWal } from '../../src/storage/index.js';
import { type Expected, type Models, type Opened, PARTS, type PartName } from './models.js';

export const DIRECTORY = '/data';
export const NODE = 'n1';

/** A promise that was broken. */
export class Violation extends Error {}

export interface Setting {
  readonly segmentBytes: number;
  /** Where the shipped code draws ids and nonces: one source for all processes of a run, so that none repeats. */
  readonly random: Random;
  readonly draws: { count: number };
}

/** In the order of a node's start. `said` takes what an operator is told, from then on. */
export async function openAll(
  disk: Disk,
  { segmentBytes, random }: Setting,
  said: string[] = [],
): Promise<Opened> {
  const log = (level: string, message: string): void => void said.push(`${level}: ${message}`);
  const directory = await openDataDirectory(disk, DIRECTORY, { nodeName: NODE, random });
  try {
    const store = await openSnapshots(disk, directory.snapshotsPath, { log });
    const { wal, recovery } = await openWal(disk, directory.walPath, { segmentBytes, random, log });
    return { directory, store, wal, recovery };
  } catch (error) {
    await directory.close();
    throw error;
  }
}

export async function closeAll({ directory, store, wal }: Opened): Promise<void> {
  await wal.close();
  await store.close();
  await directory.close();
}

/** The first model that what was found equals. */
async function settled<K extends PartName>(
  part: K,
  opened: Opened,
  allowed: Expected[K],
): Promise<Models[K]> {
  const found = await PARTS[part].read(opened);
  const differences: string[] = [];
  for (const model of allowed) {
    const difference = PARTS[part].differs(found, model);
    if (difference === null) return { ...found, ...known(part, model) };
    differences.push(difference);
  }
  throw new Violation(`${part}: ${differences.join('; nor allowed: ')}`);
}

/** Of a log, entries that were found once and may be gone the next time. */
function known<K extends PartName>(part: K, model: Models[K]): Partial<Models[K]> {
  return part === 'log' ? ({ entries: (model as Models['log']).entries } as object) : {};
}

/** Whether log and snapshot together are what a node can start from. */
function checkJoint({ store, recovery }: Opened): void {
  const at = store.newest?.mark ?? { index: 0, term: 0 };
  if (recovery.mark.index > at.index) {
    throw new Violation(
      `the log was released up to ${recovery.mark.index}, the snapshot ends at ${at.index}`,
    );
  }
  const atMark = recovery.entries.find(({ index }) => index === at.index);
  if (atMark !== undefined && atMark.term !== at.term) return;
  const first = recovery.entries.find(({ index }) => index > at.index);
  if (first !== undefined && first.index !== at.index + 1) {
    throw new Violation(`entries between the snapshot at ${at.index} and ${first.index} are missing`);
  }
}

/**
 * Compares what was found with `expected`; nothing may be damaged. Returns what is there for good from now on: a
 * start makes durable what it found.
 */
export async function compare(opened: Opened, expected: Expected): Promise<Expected> {
  const { recovery, store } = opened;
  const damage = recovery.damage ?? store.damage;
  if (damage !== null) throw new Violation(`damage without a cause: ${damage.message}`);
  if (recovery.tornBytes > 0 && expected.log.length === 1 && !expected.log[0]!.torn) {
    throw new Violation(`${recovery.tornBytes} bytes of the log were cut off while no write was under way`);
  }
  const now = {
    identity: [await settled('identity', opened, expected.identity)],
    notes: [await settled('notes', opened, expected.notes)],
    log: [await settled('log', opened, expected.log)],
    snapshot: [await settled('snapshot', opened, expected.snapshot)],
  } satisfies Expected;
  checkJoint(opened);
  return now;
}
