/** A disk that refuses one call, or everything from one call on, at each call of a workload. */
import { MemoryDisk, StorageError } from '../../src/storage/index.js';
import { type Counted, type Fault, FaultyDisk, type How } from '../support/faulty-disk.js';
import { seeded } from '../unit/storage/support.js';
import { settingOf } from './crashes.js';
import { Violation } from './examine.js';
import { Life, type Step } from './life.js';
import type { Expected } from './models.js';

/** What became of a fault: the step was rejected, the operator was told, or it made no difference at all. */
type Verdict = 'FULL' | 'FAILED' | 'said' | 'no difference';

/** Faults by call, code and verdict, e.g. `sync EIO: FAILED`. */
export type FaultFigures = Map<string, number>;

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
  'release',
  'install',
  'append',
  'note',
  'reopen',
  'append',
  'snapshot',
  'release',
  'append',
];
const NOTHING_KEPT = { names: [], files: [] };
const CODES = { FULL: 'ENOSPC', FAILED: 'EIO' };

/** What an operator is told must say what was being done and why it failed. */
function checkMessage(error: unknown, fault: Fault): 'FULL' | 'FAILED' {
  if (!(error instanceof StorageError)) throw new Violation(`not a StorageError: ${String(error)}`);
  if (error.code !== 'FULL' && error.code !== 'FAILED')
    throw new Violation(`${error.code}: ${error.message}`);
  if (CODES[error.code] !== fault.code) throw new Violation(`${fault.code} was called ${error.code}`);
  if (!/^\S+ing .*failed/.test(error.message) || !error.message.includes(fault.code)) {
    throw new Violation(`not a clear message: ${error.message}`);
  }
  return error.code;
}

class Faulted {
  readonly #seed: number;
  readonly #fault: Fault | null;
  readonly memory = new MemoryDisk();
  readonly disk: FaultyDisk;
  readonly life: Life;
  #rejected: 'FULL' | 'FAILED' | null = null;
  readonly #said: string[] = [];

  constructor(seed: number, fault: Fault | null) {
    this.#seed = seed;
    this.#fault = fault;
    this.disk = new FaultyDisk(this.memory, fault);
    this.life = new Life(() => this.#process(), seeded(seed), settingOf(seed));
  }

  #process() {
    this.memory.stop();
    return this.disk.mount();
  }

  /** Ends as a node does: with the first rejection, but for a snapshot that found the disk full. */
  async run(): Promise<Verdict> {
    await this.#attempt('start', () => this.life.start());
    for (const step of STEPS) {
      if (this.#rejected !== null && !this.#goesOn) break;
      await this.#attempt(step, () => this.life.take(step));
    }
    if (this.#goesOn) await this.#attempt('stop', () => this.life.stop());
    if (this.#rejected !== null) return this.#rejected;
    return this.#said.some((line) => /^(warn|error): .*(EIO|ENOSPC)/.test(line)) ? 'said' : 'no difference';
  }

  #goesOn = true;

  async #attempt(step: Step | 'start' | 'stop', work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (this.#fault === null || error instanceof Violation) throw error;
      this.#rejected = checkMessage(error, this.#fault);
      // As `src/node/full-disk.ts` has it: the snapshot at hand is given up and the log goes on.
      this.#goesOn = this.#goesOn && this.#rejected === 'FULL' && step === 'snapshot';
      if (!this.#goesOn && step !== 'start' && (step === 'append' || step === 'install'))
        await this.#checkFinal(step);
    } finally {
      this.#said.push(...this.life.said);
    }
  }

  /** After a write or sync that failed the log takes nothing more: nobody knows what is on the disk. */
  async #checkFinal(step: string): Promise<void> {
    if (step !== 'append') return;
    const { wal } = this.life.opened;
    const again = (async () => {
      wal.append({ term: 1_000, vote: 0, commit: 0 }, []);
      await wal.sync();
    })();
    const refused = await again.then(
      () => false,
      () => true,
    );
    if (!refused) throw new Violation('the log went on after a failed append');
  }

  /** The next start finds all that was acknowledged, and the node goes on. */
  async check(): Promise<void> {
    const { expected } = this.life;
    const afterwards: [string, (disk: MemoryDisk) => void][] = [
      ['the process is started again', (disk) => disk.stop()],
      ['power is lost with all that no sync covers', (disk) => disk.crashKeeping(NOTHING_KEPT)],
      [
        'power is lost with a part of it',
        (disk) => void disk.crash({ random: seeded(this.#seed + 5), tear: true }),
      ],
    ];
    for (const [what, happens] of afterwards) {
      const disk = this.memory.copy();
      happens(disk);
      await this.#startOnFullDisk(disk, expected);
      const life = new Life(
        () => {
          disk.stop();
          return disk.mount();
        },
        seeded(this.#seed + 7),
        { ...settingOf(this.#seed + 11), segmentBytes: settingOf(this.#seed).segmentBytes },
        expected,
      );
      try {
        await life.start();
        await life.run(['append', 'snapshot', 'release', 'append', 'append']);
        disk.crashKeeping(NOTHING_KEPT);
        await life.start();
      } catch (error) {
        throw new Violation(`${what}: ${(error as Error).message}`, { cause: error });
      }
    }
  }

  /** A disk that is full is still full at the next start, which needs no room where there was a log. */
  async #startOnFullDisk(disk: MemoryDisk, expected: Expected): Promise<void> {
    if (this.#fault?.how !== 'full') return;
    const born = expected.log[0]!.hardState !== null;
    const life = new Life(() => disk.mount(), seeded(3), settingOf(this.#seed + 13), expected);
    await life.start().catch((error) => {
      if (born || checkMessage(error, this.#fault!) !== 'FULL') throw error;
    });
    disk.stop();
    disk.fullAfter(Number.POSITIVE_INFINITY);
  }
}

/** The calls of the workload when nothing fails. */
export async function callsOf(seed: number): Promise<readonly Counted[]> {
  const run = new Faulted(seed, null);
  await run.run();
  return run.disk.calls;
}

export async function tortureByFault(seed: number, fault: Fault, figures: FaultFigures): Promise<void> {
  const run = new Faulted(seed, fault);
  const said = (): string => {
    const { kind, path } = run.disk.struck ?? { kind: 'no call', path: '' };
    return `seed ${seed}, ${fault.code} (${fault.how}) at call ${fault.at} (${kind} ${path})`;
  };
  try {
    const verdict = await run.run();
    if (run.disk.struck === null) throw new Violation('the fault was never met');
    const call =
      fault.how === 'full' ? 'any call, full from there on' : `${run.disk.struck.kind} ${fault.code}`;
    const name = `${call}: ${verdict}`;
    figures.set(name, (figures.get(name) ?? 0) + 1);
    await run.check();
  } catch (error) {
    const again = `TORTURE_SEED=${seed} npm run test:torture -- test/torture/faults.test.ts`;
    throw new Violation(`${said()}: ${(error as Error).message}\nrepeat: ${again}`, { cause: error });
  }
}

export const FAULTS: readonly (readonly [Fault['code'], How])[] = [
  ['EIO', 'before'],
  ['EIO', 'after'],
  ['EIO', 'half'],
  ['EIO', 'lasting'],
  ['ENOSPC', 'before'],
  ['ENOSPC', 'half'],
  ['ENOSPC', 'lasting'],
  ['ENOSPC', 'full'],
];
