import { type Calendar, parseCalendar } from '../base/calendar.js';
import { UlidSource } from '../base/ulid.js';
import type { Core } from '../core/interface.js';
import type { JobView, ScheduleSpec } from '../core/types.js';
import type { SimCluster } from './cluster.js';
import type { SeededRandom } from './random.js';
import { FUNCTIONS, jobSpec, NAMESPACE, within } from './workload.js';
import { EPOCH_WALL_MS } from './world.js';

const CALL_MS = 5_000;
const MINUTE_MS = 60_000;
/** Characters of a ULID that hold its time. */
const TIME_LENGTH = 10;
const EVERY_MINUTE: Calendar = parseCalendar(
  { minute: '*', hour: '*', dayOfMonth: '*', month: '*', dayOfWeek: '*' },
  () => {},
)!;

/** What those who make schedules saw. */
export class ScheduleHistory {
  /** Ids that somebody ever tried to make a schedule of. */
  readonly tried = new Set<string>();
  /** Ids of schedules whose making was acknowledged, and which nobody tried to delete. */
  readonly acknowledged = new Set<string>();
}

/** Makes schedules, and deletes some of them, until stopped. */
export class SimScheduler {
  readonly #cluster: SimCluster;
  readonly #history: ScheduleHistory;
  readonly #random: SeededRandom;
  readonly #ulids: UlidSource;
  stopped = false;

  constructor(cluster: SimCluster, history: ScheduleHistory) {
    this.#cluster = cluster;
    this.#history = history;
    this.#random = cluster.world.random.fork();
    this.#ulids = new UlidSource(this.#random);
  }

  async run(): Promise<void> {
    const { world } = this.#cluster;
    while (!this.stopped) {
      const id = this.#ulids.next(EPOCH_WALL_MS + Math.floor(world.now));
      const job = jobSpec(this.#random, id, this.#random.pick(FUNCTIONS), 0);
      this.#history.tried.add(id);
      await this.#create({ job, calendar: EVERY_MINUTE });
      const [first] = this.#history.acknowledged;
      if (first !== undefined && this.#random.chance(300)) await this.#delete(first);
      await world.sleep(this.#random.between(100, 1_500));
    }
  }

  async #create(spec: ScheduleSpec): Promise<void> {
    const { world, nodes } = this.#cluster;
    for (;;) {
      const target = this.#random.pick(nodes);
      try {
        await within(
          world,
          CALL_MS,
          target.attached((node) => node.createSchedule(NAMESPACE, spec, {})),
        );
        this.#history.acknowledged.add(spec.job.id);
        return;
      } catch (error) {
        world.note(`schedule not made yet ${(error as { code?: string }).code ?? ''}`);
        await world.sleep(this.#random.between(5, 200));
      }
    }
  }

  async #delete(id: string): Promise<void> {
    const { world, nodes } = this.#cluster;
    this.#history.acknowledged.delete(id);
    const target = this.#random.pick(nodes);
    await within(
      world,
      CALL_MS,
      target.attached((node) => node.deleteSchedule(NAMESPACE, id, {})),
    ).catch(() => {});
  }
}

/** True for a job that a schedule makes: its id is a minute and the rest of the schedule's. */
export function madeBySchedule(history: ScheduleHistory, job: JobView): boolean {
  const tail = job.id.slice(TIME_LENGTH);
  return [...history.tried].some((id) => id.slice(TIME_LENGTH) === tail);
}

/** At most one job for each schedule and minute; what was acknowledged is there, and has fired when a minute passed. */
export function judgeSchedules(
  name: string,
  core: Core,
  history: ScheduleHistory,
  jobs: readonly JobView[],
  violations: string[],
): void {
  const made = new Map<string, Set<string>>();
  for (const { id, createdWall } of jobs) {
    const tail = id.slice(TIME_LENGTH);
    const times = made.get(tail) ?? new Set();
    // Ids are unique in a core: two jobs of a minute would have to be of two times within it.
    const minute = String(Math.floor(createdWall / MINUTE_MS));
    if (times.has(minute)) violations.push(`${name} has two jobs of one schedule for the minute ${minute}`);
    made.set(tail, times.add(minute));
  }
  for (const id of history.acknowledged) {
    const schedule = core.findSchedule(NAMESPACE, id);
    if (schedule === null) {
      violations.push(`acknowledged schedule ${id} is unknown to ${name}`);
      continue;
    }
    const count = made.get(id.slice(TIME_LENGTH))?.size ?? 0;
    if (schedule.fired !== count) {
      violations.push(`schedule ${id} fired ${schedule.fired} times at ${name} and has ${count} jobs there`);
    }
    const due = Math.floor(core.wall / MINUTE_MS) > Math.floor(schedule.createdWall / MINUTE_MS);
    if (due && count === 0) violations.push(`schedule ${id} did not fire at ${name}`);
  }
}
