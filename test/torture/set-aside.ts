/** Setting a damaged directory aside, interrupted before each of its operations, and interrupted again. */
import { MemoryDisk, openDataDirectory } from '../../src/storage/index.js';
import { BLOCK } from '../../src/storage/wal-format.js';
import { type Bounds, crashVariants } from '../support/crash-variants.js';
import { seeded } from '../unit/storage/support.js';
import { settingOf } from './crashes.js';
import { closeAll, compare, DIRECTORY, NODE, openAll, type Setting, Violation } from './examine.js';
import { Life } from './life.js';
import { NOTHING } from './models.js';

const BOUNDS: Bounds = { everySubsetOf: 2, byChance: 1, torn: 1 };

export interface SetAsideFigures {
  crashPoints: number;
  subsets: number;
}

/** A directory with everything in it and a damaged log, and what its files hold. */
async function born(seed: number, setting: Setting): Promise<{ disk: MemoryDisk; contents: Buffer[] }> {
  const disk = new MemoryDisk();
  const life = new Life(() => disk.mount(), seeded(seed), setting);
  await life.start();
  await life.run([
    'join',
    'note',
    'note',
    'note',
    'append',
    'append',
    'append',
    'snapshot',
    'release',
    'append',
  ]);
  await life.stop();
  // In the header of a batch that others follow.
  disk.flipBit(disk.paths().find((path) => path.endsWith('.wal'))!, BLOCK + 40);
  const kept = disk
    .paths()
    .filter((path) => /\/(wal|snapshots|notes)\//.test(path) && !path.includes('spare-'));
  return { disk, contents: kept.map((path) => disk.contentOf(path)) };
}

class SetAside {
  readonly #setting: Setting;
  readonly #random;
  readonly #contents: readonly Buffer[];
  readonly #oldId: string;
  readonly #figures: SetAsideFigures;

  constructor(setting: Setting, contents: readonly Buffer[], oldId: string, figures: SetAsideFigures) {
    this.#setting = setting;
    this.#random = seeded(9);
    this.#contents = contents;
    this.#oldId = oldId;
    this.#figures = figures;
  }

  /** A start of a node that finds its log damaged, crashed while it sets that aside; `again`: so are the starts behind. */
  async under(disk: MemoryDisk, again: boolean, place: string): Promise<void> {
    let changes = -1;
    let operations = 0;
    let violation: unknown = null;
    await this.#start(disk, () => {
      disk.before = async ({ kind, path }) => {
        operations += 1;
        if (disk.changes === changes) return;
        changes = disk.changes;
        const here = `${place}before operation ${operations} of setting aside (${kind} ${path})`;
        await this.#crash(disk.copy(), again, here).catch((error) => (violation ??= error));
      };
    });
    disk.before = null;
    if (violation !== null) throw violation;
  }

  async #crash(image: MemoryDisk, again: boolean, place: string): Promise<void> {
    this.#figures.crashPoints += 1;
    for (const { name, survivors } of crashVariants(image.unsynced(), this.#random, BOUNDS)) {
      const disk = image.copy();
      disk.crashKeeping(survivors);
      await this.#finish(disk, again, `${place}, power lost, ${name}; `);
    }
    await this.#finish(image.copy(), again, `${place}, killed; `);
  }

  async #finish(disk: MemoryDisk, again: boolean, place: string): Promise<void> {
    this.#figures.subsets += 1;
    try {
      if (again) await this.under(disk, false, place);
      else await this.#start(disk);
      disk.crashKeeping({ names: [], files: [] });
      await this.#check(disk);
    } catch (error) {
      if (error instanceof Violation) throw error;
      throw new Violation(`${place}${(error as Error).message}`, { cause: error });
    }
  }

  /** As a node does: log and snapshots are opened, found wanting, closed, and everything is moved away. */
  async #start(disk: MemoryDisk, ready: () => void = () => {}): Promise<void> {
    disk.stop();
    const opened = await openAll(disk.mount(), this.#setting);
    if (opened.directory.identity.diskId === this.#oldId) {
      await opened.wal.close();
      await opened.store.close();
      ready();
      const aside = await opened.directory.setAside();
      if (!aside.includes(this.#oldId.slice(0, 12))) throw new Violation(`set aside in ${aside}`);
      await opened.directory.close();
    } else {
      await closeAll(opened);
    }
  }

  async #check(disk: MemoryDisk): Promise<void> {
    disk.stop();
    const opened = await openAll(disk.mount(), this.#setting);
    if (opened.directory.identity.diskId === this.#oldId) throw new Violation('the old identity is back');
    await compare(opened, NOTHING);
    await closeAll(opened);
    const aside = disk.paths().filter((path) => path.startsWith(`${DIRECTORY}/damaged-`));
    const contents = aside.map((path) => disk.contentOf(path));
    const lost = this.#contents.filter((content) => !contents.some((one) => one.equals(content)));
    if (lost.length > 0)
      throw new Violation(`${lost.length} files are not among those set aside: ${aside.join()}`);
  }
}

export async function tortureSetAside(seed: number, figures: SetAsideFigures): Promise<void> {
  const setting = settingOf(seed);
  const { disk, contents } = await born(seed, setting);
  const directory = await openDataDirectory(disk, DIRECTORY, { nodeName: NODE, random: setting.random });
  const { diskId } = directory.identity;
  await directory.close();
  await new SetAside(setting, contents, diskId, figures).under(disk, true, '');
}
