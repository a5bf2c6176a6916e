import type { QueueTotals, QueueView } from '../core/types.js';
import { OTHER } from './instruments.js';

/** What is shown of one function, or of all that are summed under `(other)`. */
export interface FunctionReading {
  readonly labels: { readonly namespace: string; readonly function: string };
  readonly waiting: readonly [number, number, number];
  readonly scheduled: number;
  readonly running: number;
  readonly oldestWaitingWall: number;
  readonly workers: number;
  readonly credits: number;
  readonly paused: number;
  readonly jobsMax: readonly [number, number, number];
  readonly totals: QueueTotals;
}

/**
 * Keeps the number of series bounded: the first `functionsMax` functions that are seen have series of their own, for
 * good (were a place given to another later, the sum of the others would fall, which a counter must not do).
 */
export class FunctionFold {
  readonly #functionsMax: number;
  readonly #own = new Set<string>();
  /** Of the others, by total: their sum as it was last, and what it had fallen by. */
  readonly #others = new Map<keyof QueueTotals, { readonly last: number; readonly gone: number }>();

  constructor(functionsMax: number) {
    this.#functionsMax = functionsMax;
  }

  fold(queues: readonly QueueView[]): {
    readonly readings: readonly FunctionReading[];
    readonly folded: number;
  } {
    const readings: FunctionReading[] = [];
    const others: QueueView[] = [];
    for (const queue of queues) {
      const key = `${queue.namespace}\u0000${queue.function}`;
      if (!this.#own.has(key) && this.#own.size < this.#functionsMax) this.#own.add(key);
      if (this.#own.has(key)) readings.push(readingOf(queue));
      else others.push(queue);
    }
    if (others.length > 0) {
      const { totals, ...reading } = sum(others);
      readings.push({ ...reading, totals: this.#rising(totals) });
    }
    return { readings, folded: others.length };
  }

  /** What functions had counted that were dropped since stays in the sum. */
  #rising(totals: QueueTotals): QueueTotals {
    const out: Record<string, number> = {};
    for (const [key, now] of Object.entries(totals) as [keyof QueueTotals, number][]) {
      const { last, gone } = this.#others.get(key) ?? { last: 0, gone: 0 };
      const added = gone + Math.max(0, last - now);
      this.#others.set(key, { last: now, gone: added });
      out[key] = now + added;
    }
    return out as unknown as QueueTotals;
  }
}

function readingOf(queue: QueueView): FunctionReading {
  return {
    ...queue,
    labels: { namespace: queue.namespace, function: queue.function },
    paused: queue.paused ? 1 : 0,
  };
}

function sum(queues: readonly QueueView[]): FunctionReading {
  const of = (value: (queue: QueueView) => number) => queues.reduce((all, queue) => all + value(queue), 0);
  const total = (key: keyof QueueTotals) => of((queue) => queue.totals[key]);
  const waitingSince = queues.map((queue) => queue.oldestWaitingWall).filter((wall) => wall > 0);
  return {
    labels: { namespace: OTHER, function: OTHER },
    waiting: [of((q) => q.waiting[0]), of((q) => q.waiting[1]), of((q) => q.waiting[2])],
    scheduled: of((q) => q.scheduled),
    running: of((q) => q.running),
    oldestWaitingWall: waitingSince.reduce((least, wall) => Math.min(least, wall), waitingSince[0] ?? 0),
    workers: of((q) => q.workers),
    credits: of((q) => q.credits),
    paused: of((q) => (q.paused ? 1 : 0)),
    jobsMax: [of((q) => q.jobsMax[0]), of((q) => q.jobsMax[1]), of((q) => q.jobsMax[2])],
    totals: {
      submitted: total('submitted'),
      coalesced: total('coalesced'),
      started: total('started'),
      succeeded: total('succeeded'),
      failedAttempts: total('failedAttempts'),
      failed: total('failed'),
      retried: total('retried'),
      cancelled: total('cancelled'),
      expired: total('expired'),
      leasesLost: total('leasesLost'),
    },
  };
}
