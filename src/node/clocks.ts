import type { Clock } from '../base/clock.js';
import type { Core } from '../core/interface.js';

/** Readings kept of each peer; the one with the smallest round trip counts. */
const KEPT = 5;
/** An older reading is not used: the peer has not answered since. Long enough to choose who follows a dead leader. */
const FRESH_MS = 5_000;
/** The wall clock is read in whole milliseconds. */
const GRAIN_MS = 1;
/** Own wall clock against own monotonic one: a step of more than this is looked at before it is used in a stamp. */
const STEP_MS = 50;
/** A reading counts when its error is at most this part of the limit; a successor's clock is within twice that part. */
const ERROR_SHARE = 4;
/** So long a leader that never knew its clock to be right waits for a majority's before it stamps its own time. */
const FIRST_READINGS_MS = 1_000;

/** A wall clock less the monotonic clock of this node: constant while both run alike, whoever reads it and when. */
type Base = number;

interface Reading {
  readonly base: Base;
  /** At most so far from the truth, milliseconds. */
  readonly error: number;
  readonly atMs: number;
}

/** How the clocks of the voters that can be read stand to each other. */
export interface ClockJudgement {
  /** Own wall clock less the median, milliseconds. */
  readonly ownMs: number;
  /** More than the limit away from the median. */
  readonly isOff: boolean;
  /** Other voters that could lead, nearest to the median first. */
  readonly successors: readonly string[];
  /** Other voters whose clock is more than the limit away from the median. */
  readonly off: readonly string[];
}

export interface ClocksParts {
  readonly clock: Clock;
  /** The time of the log, wall milliseconds: some leader's clock said it. */
  readonly core: Pick<Core, 'wall'>;
  /** Furthest that a leader's wall clock may be from the median of the voters' clocks, milliseconds. */
  readonly limitMs: number;
  /** Names of the voters besides this node; null where this node has no vote. */
  readonly otherVoters: () => readonly string[] | null;
}

/**
 * The wall clocks of the others as this node knows them, from questions answered: the answer's clock was read between
 * sending and receiving, so half of the round trip is the largest error. What they are for: delays, deadlines and
 * retention follow the leader's wall clock, so one that is seconds away from the majority's must not lead, and must not
 * stamp its time into the log until it has handed over.
 */
export class Clocks {
  readonly #parts: ClocksParts;
  readonly #readings = new Map<string, Reading[]>();
  /** Own base at the last judgement. */
  #judged: Base;
  /** Own base when it was last as it should be; null: never known. */
  #trusted: Base | null = null;
  /** What stamps are made of instead of the own wall clock; null: that one. */
  #instead: Base | null = null;
  /** Monotonic ms since when a stamp waits for the first readings, and when that was asked last. */
  #waitsSinceMs = Number.NEGATIVE_INFINITY;
  #askedMs = Number.NEGATIVE_INFINITY;

  constructor(parts: ClocksParts) {
    this.#parts = parts;
    this.#judged = this.#own();
  }

  /**
   * False: since its start this node has not learned what time a majority has. To be asked until it is true, which it is
   * after a second without anything learned.
   */
  get mayStamp(): boolean {
    if (this.#trusted !== null) return true;
    this.judge();
    if (this.#trusted !== null || this.#instead !== null) return true;
    const now = this.#parts.clock.monotonicMs();
    if (now - this.#askedMs > FIRST_READINGS_MS) this.#waitsSinceMs = now;
    this.#askedMs = now;
    return now - this.#waitsSinceMs >= FIRST_READINGS_MS;
  }

  /** A peer read its wall clock as `wall` after a question of monotonic `sentMs` and before now. */
  heard(name: string, sentMs: number, wall: number): void {
    const now = this.#parts.clock.monotonicMs();
    const error = (now - sentMs) / 2 + GRAIN_MS;
    const reading: Reading = { base: wall - (now + sentMs) / 2, error, atMs: now };
    // Readings that exclude each other: a clock was set meanwhile, and the older ones are void.
    const before = (this.#readings.get(name) ?? []).filter(
      (one) => Math.abs(one.base - reading.base) <= one.error + error + STEP_MS,
    );
    this.#readings.set(name, [...before.slice(1 - KEPT), reading]);
  }

  /** Wall clock of a peer less the own one, milliseconds; null: not known. */
  offsetMs(name: string): number | null {
    const best = this.#best(name);
    return best === null ? null : best.base - this.#own();
  }

  /** Wall milliseconds for a stamp: the own clock as long as it may be believed. */
  wallMs(): number {
    const { clock } = this.#parts;
    if (Math.abs(this.#own() - this.#judged) > STEP_MS) this.judge();
    return this.#instead === null ? clock.wallMs() : Math.floor(clock.monotonicMs() + this.#instead);
  }

  /** To be called a few times per second. Null: fewer than a majority of the voters' clocks are known. */
  judge(): ClockJudgement | null {
    const { limitMs } = this.#parts;
    const others = this.#parts.otherVoters();
    const own = this.#own();
    this.#judged = own;
    const known: { name: string; base: Base }[] = [];
    for (const name of others ?? []) {
      const best = this.#best(name);
      if (best !== null && best.error * ERROR_SHARE <= limitMs) known.push({ name, base: best.base });
    }
    const voters = others === null ? 0 : others.length + 1;
    if (voters === 0 || (known.length + 1) * 2 <= voters) {
      const steady = this.#trusted === null || Math.abs(own - this.#trusted) <= limitMs;
      this.#instead = steady ? null : this.#trusted;
      return null;
    }
    const middle = median([own, ...known.map((one) => one.base)]);
    const distance = (one: { base: Base }): number => Math.abs(one.base - middle);
    const isOff = Math.abs(own - middle) > limitMs;
    if (!isOff) {
      this.#trusted = own;
      this.#instead = null;
    } else {
      const agreeing = known.filter((one) => distance(one) <= limitMs).length;
      this.#instead =
        agreeing * 2 > voters
          ? middle
          : (this.#trusted ?? this.#likeliest(own, ...known.map((one) => one.base)));
    }
    known.sort((a, b) => distance(a) - distance(b));
    return {
      ownMs: own - middle,
      isOff,
      // Well within the limit: one at its edge would hand over again a moment later.
      successors: known.filter((one) => distance(one) <= (limitMs * 2) / ERROR_SHARE).map((one) => one.name),
      off: known.filter((one) => distance(one) > limitMs).map((one) => one.name),
    };
  }

  /**
   * Of clocks that contradict each other the earliest, as too late does less harm than too early; but none that lies behind
   * the time of the log, unless they all do.
   */
  #likeliest(...bases: readonly Base[]): Base {
    const { core, clock, limitMs } = this.#parts;
    const log = core.wall - clock.monotonicMs();
    const likely = bases.filter((base) => base >= log - limitMs);
    return likely.length > 0 ? Math.min(...likely) : Math.max(...bases);
  }

  #best(name: string): Reading | null {
    const oldest = this.#parts.clock.monotonicMs() - FRESH_MS;
    let best: Reading | null = null;
    for (const one of this.#readings.get(name) ?? []) {
      if (one.atMs >= oldest && (best === null || one.error < best.error)) best = one;
    }
    return best;
  }

  #own(): Base {
    const { clock } = this.#parts;
    return clock.wallMs() - clock.monotonicMs();
  }
}

/** Between the two in the middle when there are two. */
function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
