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
  readonly totals: QueueTotals;
}

/**
 * Keeps the number of series bounded: the first `functionsMax` functions that are seen have series of their own, for
 * good (were a place given to another later, the sum of the others would fall, which a counter must not do).
 */
export class FunctionFold {
  readonly #functionsMax: number;
  readonly #own = new Set<string>();

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
    if (others.length > 0) readings.push(sum(others));
    return { readings, folded: others.length };
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
