import type { Clock } from '../base/clock.js';
import type { Clocks } from './clocks.js';
import type { Log } from './options.js';

/** So long a leader's clock is off before it hands over: clocks of one machine are set together, and heard of a moment later. */
const SURE_MS = 1_000;
/** A successor that did not take over within this time is passed over for the next one. */
const AGAIN_MS = 3_000;

export interface ClockWatchParts {
  readonly clock: Clock;
  readonly clocks: Clocks;
  readonly log: Log;
  readonly limitMs: number;
  readonly canLead: (name: string) => boolean;
  readonly transferTo: (name: string) => void;
}

/** Looks after the wall clock of this node: says when it is off, and as the leader hands over then. */
export class ClockWatch {
  readonly #parts: ClockWatchParts;
  #said = false;
  /** Monotonic ms since when, as a leader, the clock is off; null while it is not. */
  #sinceMs: number | null = null;
  #againMs = 0;
  #tries = 0;
  #alone = false;

  constructor(parts: ClockWatchParts) {
    this.#parts = parts;
  }

  /** To be called a few times per second. */
  look(isLeader: boolean): void {
    const { clock, clocks, log, limitMs } = this.#parts;
    const judgement = clocks.judge();
    if (judgement === null) {
      this.#sinceMs = null;
      return;
    }
    const { isOff, successors } = judgement;
    const offMs = Math.round(judgement.ownMs);
    if (isOff !== this.#said) {
      this.#said = isOff;
      if (isOff)
        log.warn(
          { offMs, limitMs },
          "this node's clock is away from the median of the voters': check their clocks",
        );
      else log.info({ offMs }, "this node's clock is near the median of the voters' again");
    }
    if (!isLeader || !isOff) {
      this.#sinceMs = null;
      this.#tries = 0;
      this.#alone = false;
      return;
    }
    const now = clock.monotonicMs();
    this.#sinceMs ??= now;
    if (now - this.#sinceMs < SURE_MS || now < this.#againMs) return;
    const able = successors.filter((name) => this.#parts.canLead(name));
    if (able.length === 0) {
      if (!this.#alone)
        log.error({ offMs, limitMs }, 'no voter has a clock near the median: the leader stays');
      this.#alone = true;
      return;
    }
    const to = able[this.#tries % able.length]!;
    this.#tries += 1;
    this.#againMs = now + AGAIN_MS;
    log.warn(
      { to, offMs, limitMs },
      "the leader's clock is away from the median of the voters': handing over",
    );
    this.#parts.transferTo(to);
  }
}
