/** A workload on a disk that loses power, or whose process is killed, before each of its operations. */
import type { Random } from '../../src/base/random.js';
import { type Disk, MemoryDisk } from '../../src/storage/index.js';
import { type Bounds, crashVariants } from '../support/crash-variants.js';
import { seeded } from '../unit/storage/support.js';
import { compare, openAll, type Setting, Violation } from './examine.js';
import { drawSteps, Life, type Step } from './life.js';
import type { Expected } from './models.js';

export interface CrashFigures {
  workloads: number;
  /** Of the disks under the workloads themselves. */
  operations: number;
  /** Operations before which something had changed: there a crash was tried. */
  crashPoints: number;
  /** The same, in a start after a crash and in the life behind it. */
  crashPointsBehindCrashes: number;
  /** Disks that a crash left, each opened twice. */
  subsets: number;
  kills: number;
  /** Lives that went on behind a crash, and lost power once more. */
  wentOn: number;
}

export function noFigures(): CrashFigures {
  return {
    workloads: 0,
    operations: 0,
    crashPoints: 0,
    crashPointsBehindCrashes: 0,
    subsets: 0,
    kills: 0,
    wentOn: 0,
  };
}

export interface CrashOptions {
  readonly seed: number;
  /** Of the seed's own number of steps unless told. */
  readonly steps?: readonly Step[];
  /** Puts something between storage and the disk: how the torture shows that it can fail. */
  readonly wrap?: (disk: Disk) => Disk;
  readonly figures?: CrashFigures;
}

const BOUNDS: Bounds = { everySubsetOf: 4, byChance: 3, torn: 2 };
const BOUNDS_BEHIND_CRASHES: Bounds = { everySubsetOf: 1, byChance: 1, torn: 0 };
/** One of so many disks that a crash left is also crashed while it is opened, and goes on. */
const DEEP_ONE_OF = 40;
const NOTHING_KEPT = { names: [], files: [] };

export function settingOf(seed: number): Setting {
  const segmentBytes = seed % 3 === 0 ? 8 * 4096 : 4 * 4096;
  return { segmentBytes, random: seeded(seed + 2_000_003), draws: { count: 0 } };
}

class Crashes {
  readonly #random: Random;
  readonly #setting: Setting;
  readonly #wrap: (disk: Disk) => Disk;
  readonly #figures: CrashFigures;

  constructor({ seed, wrap = (disk) => disk, figures = noFigures() }: CrashOptions) {
    this.#random = seeded(seed + 1_000_003);
    this.#setting = settingOf(seed);
    this.#wrap = wrap;
    this.#figures = figures;
  }

  async run(seed: number, steps?: readonly Step[]): Promise<void> {
    const disk = new MemoryDisk();
    const random = seeded(seed);
    const life = new Life(() => this.#processOn(disk), random, this.#setting);
    let violation: Violation | null = null;
    const stopWatching = this.#watch(
      disk,
      () => life.expected,
      async (image, expected, place) => {
        this.#figures.crashPoints += 1;
        // Thrown into the storage it would count as the disk's error.
        await this.#crash(image, expected, place, true).catch((error) => (violation ??= error as Violation));
      },
    );
    await life.start();
    for (const step of steps ?? drawSteps(random, 6 + random.below(10))) {
      await life.take(step);
      if (violation !== null) throw violation;
    }
    await life.stop();
    this.#figures.operations += stopWatching();
    await this.#crash(disk.copy(), life.expected, 'at the end', true);
    if (violation !== null) throw violation;
    this.#figures.workloads += 1;
  }

  #processOn(disk: MemoryDisk): Disk {
    disk.stop();
    return this.#wrap(disk.mount());
  }

  /** Calls `at` before every operation that finds the disk or the promises changed. Returns how to end that. */
  #watch(
    disk: MemoryDisk,
    expected: () => Expected,
    at: (image: MemoryDisk, expected: Expected, place: string) => Promise<void>,
  ): () => number {
    let operations = 0;
    let seen: readonly unknown[] = [];
    disk.before = async ({ kind, path }) => {
      operations += 1;
      const now = [disk.changes, expected()];
      if (now.every((value, which) => value === seen[which])) return;
      seen = now;
      await at(disk.copy(), expected(), `before operation ${operations} (${kind} ${path})`);
    };
    return () => {
      disk.before = null;
      return operations;
    };
  }

  async #crash(image: MemoryDisk, expected: Expected, place: string, outer: boolean): Promise<void> {
    const bounds = outer ? BOUNDS : BOUNDS_BEHIND_CRASHES;
    for (const { name, survivors } of crashVariants(image.unsynced(), this.#random, bounds)) {
      const disk = image.copy();
      disk.crashKeeping(survivors);
      this.#figures.subsets += 1;
      const deep = outer && this.#random.below(DEEP_ONE_OF) === 0;
      await this.#examine(disk, expected, `${place}, power lost, ${name}`, deep);
    }
    if (!outer) return;
    this.#figures.kills += 1;
    await this.#examine(image.copy(), expected, `${place}, killed`, this.#random.below(6) === 0);
  }

  async #examine(disk: MemoryDisk, expected: Expected, place: string, deep: boolean): Promise<void> {
    try {
      const open = (): Promise<Expected> => this.#open(disk, expected);
      const first = deep
        ? await this.#underCrashes(disk, () => expected, 'in the start, ', open)
        : await open();
      if (this.#random.below(2) === 0) disk.crashKeeping(NOTHING_KEPT);
      const second = await this.#open(disk, first).catch((error) => {
        throw new Violation(`the second start: ${(error as Error).message}`);
      });
      if (deep) await this.#goOn(disk, second);
    } catch (error) {
      throw new Violation(`${place}: ${(error as Error).message}`, { cause: error });
    }
  }

  /** Opened, compared, and dead again. */
  async #open(disk: MemoryDisk, expected: Expected): Promise<Expected> {
    const opened = await openAll(this.#processOn(disk), this.#setting);
    const found = await compare(opened, expected);
    disk.stop();
    return found;
  }

  /** Crashes of second order: before each operation of `work`, with few of the subsets. */
  async #underCrashes<T>(
    disk: MemoryDisk,
    expected: () => Expected,
    what: string,
    work: () => Promise<T>,
  ): Promise<T> {
    let violation: unknown = null;
    const stopWatching = this.#watch(disk, expected, async (image, allowed, place) => {
      this.#figures.crashPointsBehindCrashes += 1;
      await this.#crash(image, allowed, `${what}${place}`, false).catch((error) => (violation ??= error));
    });
    const done = await work();
    stopWatching();
    if (violation !== null) throw violation;
    return done;
  }

  /** What a life that goes on is promised must survive the loss of everything that no sync covered. */
  async #goOn(disk: MemoryDisk, expected: Expected): Promise<void> {
    this.#figures.wentOn += 1;
    const life = new Life(() => this.#processOn(disk), this.#random, this.#setting, expected);
    const steps: Step[] = ['append', 'append', ...drawSteps(this.#random, 2), 'append'];
    await life.start();
    try {
      await this.#underCrashes(
        disk,
        () => life.expected,
        'gone on, ',
        () => life.run(steps),
      );
      disk.crashKeeping(NOTHING_KEPT);
      await this.#open(disk, life.expected);
    } catch (error) {
      throw new Violation(`gone on with ${steps.join(', ')} and power lost: ${(error as Error).message}`);
    }
  }
}

/** Throws a Violation that names the seed and how to repeat it. */
export async function tortureByCrashes(options: CrashOptions): Promise<void> {
  try {
    await new Crashes(options).run(options.seed, options.steps);
  } catch (error) {
    const again = `TORTURE_SEED=${options.seed} npm run test:torture -- test/torture/crashes.test.ts`;
    throw new Violation(`seed ${options.seed}, ${(error as Error).message}\nrepeat: ${again}`, {
      cause: error,
    });
  }
}
