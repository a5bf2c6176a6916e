/** The first starts of a node in a new cluster, through the shipped `boot`, interrupted before each operation, and again. */
import type { Random } from '../../src/base/random.js';
import { systemClock } from '../../src/base/system-clock.js';
import { raftIdFromDiskId } from '../../src/consensus/index.js';
import { boot, FORMATION_NOTE } from '../../src/node/boot.js';
import { DEFAULT_TIMINGS, type NodeOptions } from '../../src/node/options.js';
import { type MemoryDisk, openDataDirectory } from '../../src/storage/index.js';
import { type Bounds, crashVariants } from '../support/crash-variants.js';
import { silent } from '../unit/node/parts.js';
import { seeded } from '../unit/storage/support.js';
import { DIRECTORY, NODE, Violation } from './examine.js';

const BOUNDS: Bounds = { everySubsetOf: 1, byChance: 1, torn: 0 };
/** One of so many disks that a crash left is crashed again in its next start. */
const AGAIN_ONE_OF = 16;
const NOTHING_KEPT = { names: [], files: [] };

export interface BootFigures {
  crashPoints: number;
  disks: number;
}

export class Boots {
  readonly #random = seeded(5);
  readonly #figures: BootFigures;

  constructor(figures: BootFigures) {
    this.#figures = figures;
  }

  /** A start crashed before each of its operations; with `depth` above 1, so are the starts behind it. */
  async under(disk: MemoryDisk, depth: number, place: string): Promise<void> {
    let changes = -1;
    let operations = 0;
    let violation: unknown = null;
    disk.before = async ({ kind, path }) => {
      operations += 1;
      if (disk.changes === changes) return;
      changes = disk.changes;
      const here = `${place}before operation ${operations} (${kind} ${path})`;
      await this.#crash(disk.copy(), depth, here).catch((error) => (violation ??= error));
    };
    await this.#start(disk, place);
    disk.before = null;
    if (violation !== null) throw violation;
  }

  async #crash(image: MemoryDisk, depth: number, place: string): Promise<void> {
    this.#figures.crashPoints += 1;
    for (const { name, survivors } of crashVariants(image.unsynced(), this.#random, BOUNDS)) {
      const disk = image.copy();
      disk.crashKeeping(survivors);
      await this.#next(disk, depth, `${place}, power lost, ${name}; `);
    }
    await this.#next(image.copy(), depth, `${place}, killed; `);
  }

  async #next(disk: MemoryDisk, depth: number, place: string): Promise<void> {
    this.#figures.disks += 1;
    if (depth > 1 && this.#random.below(AGAIN_ONE_OF) === 0) await this.under(disk, depth - 1, place);
    else await this.#start(disk, place);
    disk.crashKeeping(NOTHING_KEPT);
    const last = await this.#start(disk, place);
    if (last < 2) throw new Violation(`${place}the entry that was acknowledged is gone`);
  }

  async #start(disk: MemoryDisk, place: string): Promise<number> {
    try {
      return await startNode(disk, this.#random);
    } catch (error) {
      throw new Violation(`${place}${(error as Error).name}: ${(error as Error).message}`, { cause: error });
    }
  }
}

/** Forms a cluster of one where that is still to be done, starts, and writes an entry. Returns the last index found. */
export async function startNode(disk: MemoryDisk, random: Random): Promise<number> {
  disk.stop();
  const options = {
    name: NODE,
    clusterName: 'blue',
    disk: disk.mount(),
    random,
    log: silent,
    timings: DEFAULT_TIMINGS,
    segmentBytes: 4 * 4096,
    clock: systemClock,
    jobsMemoryBytes: 2 ** 28,
  } as unknown as NodeOptions;
  const directory = await openDataDirectory(options.disk, DIRECTORY, { nodeName: NODE, random });
  const { diskId, cluster } = directory.identity;
  if (cluster === null) {
    const members = [{ name: NODE, diskId, raftId: raftIdFromDiskId(diskId), peer: 'n1:7731' }];
    const formation = { clusterId: diskId, clusterName: 'blue', members, settings: {}, attempt: 0 };
    await directory.writeNote(FORMATION_NOTE, { adopted: false, formation });
    await directory.join({ id: diskId, name: 'blue' });
  }
  const { wal, consensus, raftId, members } = await boot(options, directory);
  if (members[0]?.diskId !== diskId) throw new Violation('the state does not know this disk');
  const { term, lastIndex } = consensus.status();
  if (term < 1) throw new Violation(`the term is ${term}`);
  const index = lastIndex + 1;
  const data = Buffer.from(`entry ${index}`);
  wal.append({ term, vote: raftId, commit: 1 }, [{ index, term, kind: 'command', data }]);
  await wal.sync();
  return lastIndex;
}
