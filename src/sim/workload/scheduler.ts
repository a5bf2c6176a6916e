import { type Calendar, parseCalendar } from '../../base/calendar.js';
import { ULID_BYTES, ulidTimeMs, ulidToBytes } from '../../base/ulid.js';
import type { ScheduleSpec } from '../../core/types.js';
import type { SeededRandom } from '../random.js';
import { EPOCH_WALL_MS } from '../world.js';
import { type Scene, unnoted } from './scene.js';
import { NAMESPACE, SCHEDULED, SpecSource } from './specs.js';

const MINUTE_MS = 60_000;
const KEPT_MS = 86_400_000;
const SCHEDULES_MAX = 6;
/** Characters of a ULID that hold its time. */
const TIME_LENGTH = 10;
/** A minute this close to the making or end of a schedule may or may not count. */
const CLOSE_MS = 5_000;
const READ = { consistency: 'linearizable', minRevision: 0 } as const;
const EVERY_MINUTE: Calendar = parseCalendar(
  { minute: '*', hour: '*', dayOfMonth: '*', month: '*', dayOfWeek: '*' },
  () => {},
)!;

interface Made {
  readonly id: string;
  /** Virtual ms since when it is known to be there, and until when it is known to be left alone. */
  since: number;
  until: number;
}

/** Makes schedules, deletes some of them, and deletes all at the end. */
export class Scheduler {
  readonly #scene: Scene;
  readonly #random: SeededRandom;
  readonly #specs: SpecSource;
  /** By what their ids and those of their jobs have in common. */
  readonly #made = new Map<string, Made>();
  /** All of them are deleted. */
  over = false;

  constructor(scene: Scene) {
    this.#scene = scene;
    this.#random = scene.random.fork();
    this.#specs = new SpecSource(scene, this.#random, 'schedule');
  }

  async run(): Promise<void> {
    const { world } = this.#scene;
    while (this.#scene.phase === 'open') {
      const open = [...this.#made.values()].filter(({ until }) => until === Infinity);
      if (open.length < SCHEDULES_MAX) await this.#create();
      else await this.#delete(open[0]!);
      await world.sleep(this.#random.between(500, 6_000));
    }
    // What is up by then fires for a minute that passed meanwhile.
    while (this.#scene.phase !== 'over' && !this.#scene.cluster.allReady()) await world.sleep(100);
    await world.sleep(2 * CLOSE_MS);
    for (const made of this.#made.values()) if (made.until === Infinity) await this.#delete(made);
    this.over = true;
  }

  /** The schedule that made a job, and the minute for which: `id/minute`. '' when no schedule did. */
  madeBy(job: string): string {
    const made = this.#made.get(job.slice(TIME_LENGTH));
    return made === undefined ? '' : `${made.id}/${minuteOf(job)}`;
  }

  /**
   * Schedules that did not fire for the last minute that passed in their time, of those whose time is known: not so where
   * the run ended before one was made or deleted. `jobs`: ids of all that there are.
   */
  judge(jobs: Iterable<string>): string[] {
    const fired = new Map<string, Set<number>>();
    for (const job of jobs) {
      const tail = job.slice(TIME_LENGTH);
      if (!this.#made.has(tail)) continue;
      const minutes = fired.get(tail) ?? new Set();
      fired.set(tail, minutes.add(minuteOf(job)));
    }
    const violations: string[] = [];
    for (const [tail, { id, since, until }] of this.#made) {
      if (since === Infinity || until === Infinity) continue;
      const last = Math.floor((EPOCH_WALL_MS + until - CLOSE_MS) / MINUTE_MS);
      if (last * MINUTE_MS < EPOCH_WALL_MS + since + CLOSE_MS) continue;
      if (!fired.get(tail)?.has(last)) violations.push(`schedule ${id} has no job for minute ${last}`);
    }
    return violations;
  }

  async #create(): Promise<void> {
    const scene = this.#scene;
    const { world } = scene;
    const id = this.#specs.id();
    const job = this.#specs.unknown({
      id,
      function: SCHEDULED,
      uniqueKey: '',
      retentionMs: KEPT_MS,
      runAtWall: 0,
      delayMs: 0,
      startDeadlineWall: 0,
    });
    const made: Made = { id, since: Infinity, until: Infinity };
    this.#made.set(id.slice(TIME_LENGTH), made);
    const spec: ScheduleSpec = { job, calendar: EVERY_MINUTE };
    while (scene.phase !== 'over') {
      const target = scene.pickUp(this.#random);
      if (target !== null) {
        const told = await scene.call(
          target,
          (node, call) => node.createSchedule(NAMESPACE, spec, call),
          ({ end, fate }) => {
            if (fate === 'done') made.since = end!;
          },
        );
        if (told.fate === 'done') return;
      }
      await world.sleep(this.#random.between(5, 200));
    }
  }

  async #delete(made: Made): Promise<void> {
    const scene = this.#scene;
    made.until = scene.world.now;
    while (scene.phase !== 'over') {
      const target = scene.pickUp(this.#random);
      if (target !== null) {
        const work = scene.call(
          target,
          (node, call) => node.deleteSchedule(NAMESPACE, made.id, call),
          unnoted,
        );
        const { fate, error } = await work;
        if (fate === 'done' || error === 'NOT_FOUND') break;
      }
      await scene.world.sleep(this.#random.between(5, 200));
    }
    const target = scene.pickUp(this.#random);
    if (target === null || scene.phase === 'over') return;
    await scene.call(
      target,
      (node, call) => node.getSchedule(NAMESPACE, made.id, { ...READ, ...call }),
      ({ fate }) => {
        if (fate === 'done')
          scene.violations.push(`schedule ${made.id} was deleted and is at ${target.name}`);
      },
    );
  }
}

/** Jobs of schedules carry the minute in the time of their id. */
function minuteOf(job: string): number {
  const bytes = new Uint8Array(ULID_BYTES);
  ulidToBytes(job, bytes);
  return Math.floor(ulidTimeMs(bytes) / MINUTE_MS);
}
