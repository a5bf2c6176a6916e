import { crc32 } from 'node:zlib';
import type { Clock, Timer } from '../base/clock.js';
import { systemClock } from '../base/system-clock.js';
import { SeededRandom } from './random.js';

interface Event {
  readonly at: number;
  readonly order: number;
  readonly work: () => void;
  cancelled: boolean;
}

/** Start of the simulated wall clock: 2026-01-01 UTC, less 7 s, so that a minute begins while a run is in full swing. */
export const EPOCH_WALL_MS = 1_767_225_593_000;

/** After so many events the machine has its turn. */
const EVENTS_BREATH = 2_048;

/**
 * Virtual time for a whole cluster in one process: events in order of (time, order of asking). What an event's promises
 * do runs before the next event, so one seed gives one run, whatever the machine.
 */
export class World {
  readonly random: SeededRandom;
  readonly #heap: Event[] = [];
  readonly #lines: ((line: string) => void) | null;
  #now = 0;
  #order = 0;
  #hash = 0;
  #events = 0;
  #interrupts: { readonly at: number; readonly work: () => void }[] = [];
  /** Called after each event and all that follows from it. */
  looking: (() => void) | null = null;

  constructor(seed: number, lines: ((line: string) => void) | null = null) {
    this.random = new SeededRandom(seed);
    this.#lines = lines;
  }

  /** Virtual milliseconds since the start. */
  get now(): number {
    return this.#now;
  }

  /** Hash over everything noted so far: equal for equal runs. */
  get traceHash(): string {
    return this.#hash.toString(16).padStart(8, '0');
  }

  get events(): number {
    return this.#events;
  }

  note(what: string): void {
    const line = `${this.#now.toFixed(3)} ${what}`;
    this.#hash = crc32(line, this.#hash);
    this.#lines?.(line);
  }

  after(delayMs: number, work: () => void): Timer {
    const event: Event = {
      at: this.#now + Math.max(0, delayMs),
      order: this.#order++,
      work,
      cancelled: false,
    };
    this.#push(event);
    return {
      cancel: () => {
        event.cancelled = true;
      },
    };
  }

  /** Calls `work` between two events, so many of them from now, whatever the time is then. */
  afterEvents(count: number, work: () => void): void {
    this.#interrupts.push({ at: this.#events + Math.max(1, count), work });
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(ms, resolve);
    });
  }

  /** Runs events until `done` says so, or virtual time passes `untilMs`. Returns whether `done` was reached. */
  async run(untilMs: number, done: () => boolean): Promise<boolean> {
    await settle();
    while (!done()) {
      const event = this.#pop();
      if (event === null || event.at > untilMs) {
        if (event !== null) this.#push(event);
        this.#now = untilMs;
        return false;
      }
      if (event.cancelled) continue;
      this.#now = event.at;
      this.#events += 1;
      event.work();
      await (this.#events % EVENTS_BREATH === 0 ? breathe() : settle());
      this.looking?.();
      if (this.#interrupts.length > 0) await this.#interrupt();
    }
    return true;
  }

  async #interrupt(): Promise<void> {
    const due = this.#interrupts.filter(({ at }) => at <= this.#events);
    if (due.length === 0) return;
    this.#interrupts = this.#interrupts.filter(({ at }) => at > this.#events);
    for (const { work } of due) {
      work();
      await settle();
    }
  }

  /** A node's clocks: `wallOffsetMs` wrong by the wall, and dead once `kill` was called. */
  clock(wallOffsetMs: number): SimClock {
    return new SimClock(this, wallOffsetMs);
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (!before(event, heap[up]!)) break;
      heap[at] = heap[up]!;
      at = up;
    }
    heap[at] = event;
  }

  #pop(): Event | null {
    const heap = this.#heap;
    const top = heap[0];
    if (top === undefined) return null;
    const last = heap.pop()!;
    if (heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}

export class SimClock implements Clock {
  readonly #world: World;
  wallOffsetMs: number;
  #alive = true;
  #late: (() => void)[] | null = null;
  /** World time; null while it runs. */
  #pausedAt: number | null = null;

  constructor(world: World, wallOffsetMs: number) {
    this.#world = world;
    this.wallOffsetMs = wallOffsetMs;
  }

  kill(): void {
    this.#alive = false;
    this.#late = null;
    this.#pausedAt = null;
  }

  /** The process stands still: nothing of it runs, and time goes on. */
  pause(): void {
    this.#late ??= [];
    this.#pausedAt ??= this.#world.now;
  }

  get paused(): boolean {
    return this.#pausedAt !== null;
  }

  /** It stands still, or has not yet seen all that came while it did. */
  get behind(): boolean {
    return this.#late !== null;
  }

  /** For how long it stands still by now; 0 while it runs. */
  get pausedMs(): number {
    return this.#pausedAt === null ? 0 : this.#world.now - this.#pausedAt;
  }

  /** It goes on: with all that came meanwhile, in the order in which it came, before what comes from now on. */
  resume(): void {
    this.#pausedAt = null;
    this.#catchUp();
  }

  /** Runs what happens in this process: at once, or when it goes on; never once it is dead. */
  run(work: () => void): void {
    if (!this.#alive) return;
    if (this.#late === null) work();
    else this.#late.push(work);
  }

  #catchUp(): void {
    if (this.paused || this.#late === null) return;
    const next = this.#late.shift();
    if (next === undefined) {
      this.#late = null;
      return;
    }
    next();
    this.#world.after(0, () => this.#catchUp());
  }

  monotonicMs(): number {
    return this.#world.now;
  }

  wallMs(): number {
    return Math.floor(EPOCH_WALL_MS + this.#world.now + this.wallOffsetMs);
  }

  setTimer(delayMs: number, fn: () => void): Timer {
    let cancelled = false;
    const timer = this.#world.after(delayMs, () =>
      this.run(() => {
        if (!cancelled) fn();
      }),
    );
    return {
      cancel: () => {
        cancelled = true;
        timer.cancel();
      },
    };
  }

  defer(fn: () => void): void {
    this.setTimer(0, fn);
  }

  conclude(fn: () => void): void {
    this.setTimer(0, fn);
  }
}

function before(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** Lets every promise that can go on do so: a tick comes only when no promise is left that could. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    process.nextTick(resolve);
  });
}

/** Lets the machine have its turn: its own timers and messages wait as long as ticks follow ticks. */
function breathe(): Promise<void> {
  return new Promise((resolve) => {
    systemClock.defer(resolve);
  });
}
