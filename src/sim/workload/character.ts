import type { SeededRandom } from '../random.js';

/** What a client does next. */
export const CLIENT_DEEDS = [
  'submit',
  'frame',
  'whole',
  'pipeline',
  'again',
  'read',
  'read-behind',
  'list',
  'watch',
  'run',
  'wait',
  'cancel',
  'retry',
  'delete',
  'large',
] as const;
export type ClientDeed = (typeof CLIENT_DEEDS)[number];

/** What a worker does with a job. */
export const WORKER_DEEDS = [
  'complete',
  'fail',
  'fail-for-good',
  'release',
  'hang',
  'lose',
  'large',
] as const;
export type WorkerDeed = (typeof WORKER_DEEDS)[number];

/** How one run differs from others: all of it drawn from the seed. Times in milliseconds, chances out of a thousand. */
export interface Character {
  readonly style: string;
  readonly client: Weights<ClientDeed>;
  readonly worker: Weights<WorkerDeed>;
  /** Longest pause of a client between two of its deeds. */
  readonly thinkMs: number;
  /** Longest time that a worker takes for a job. */
  readonly workMs: number;
  /** Jobs that a worker has at once at most. */
  readonly concurrency: number;
  /** Longest time for which a worker keeps one connection. */
  readonly connectionMs: number;
  /** Of the ends of a worker's connection: it drops dead. */
  readonly death: number;
  /** Of jobs: has a unique key; of so many. */
  readonly unique: number;
  readonly keys: number;
  readonly delayed: number;
  readonly maxDelayMs: number;
  /** Longest time between two deeds of the operator, and for which a function stays paused. */
  readonly operatorMs: number;
  readonly pausedMs: number;
}

/** Chances of several deeds, relative to each other. */
export class Weights<T extends string> {
  readonly #of: readonly (readonly [T, number])[];
  readonly #sum: number;

  constructor(of: readonly (readonly [T, number])[]) {
    this.#of = of;
    this.#sum = of.reduce((sum, [, weight]) => sum + weight, 0);
  }

  pick(random: SeededRandom): T {
    let left = random.below(this.#sum);
    for (const [deed, weight] of this.#of) {
      left -= weight;
      if (left < 0) return deed;
    }
    return this.#of[0]![0];
  }
}

const CLIENT: Readonly<Record<ClientDeed, number>> = {
  submit: 300,
  frame: 110,
  whole: 50,
  pipeline: 30,
  again: 50,
  read: 180,
  'read-behind': 60,
  list: 12,
  watch: 40,
  run: 50,
  wait: 50,
  cancel: 60,
  retry: 40,
  delete: 30,
  large: 8,
};

const WORKER: Readonly<Record<WorkerDeed, number>> = {
  complete: 1_600,
  fail: 160,
  'fail-for-good': 50,
  release: 50,
  hang: 6,
  lose: 20,
  large: 8,
};

interface Style {
  readonly client?: Partial<Record<ClientDeed, number>>;
  readonly worker?: Partial<Record<WorkerDeed, number>>;
  readonly rest?: Partial<Omit<Character, 'style' | 'client' | 'worker'>>;
}

/** By how much a style does more of something, and what it has otherwise. */
const STYLES: Readonly<Record<string, Style>> = {
  even: {},
  submitters: { client: { submit: 3, frame: 3, whole: 3, pipeline: 4 }, rest: { thinkMs: 460 } },
  readers: { client: { read: 4, 'read-behind': 4, list: 3, watch: 4, run: 3 }, rest: { thinkMs: 200 } },
  'retry storm': {
    client: { again: 6, retry: 4 },
    worker: { fail: 6, 'fail-for-good': 3, release: 4 },
  },
  churn: { worker: { hang: 2, lose: 6 }, rest: { connectionMs: 4_000, death: 450 } },
  crowd: { rest: { unique: 600, keys: 3, workMs: 120 } },
  waiters: { client: { wait: 6, run: 4 }, rest: { workMs: 90 } },
  deciders: { client: { cancel: 5, retry: 4, delete: 4 }, rest: { operatorMs: 700, workMs: 90 } },
  delays: { rest: { delayed: 500, maxDelayMs: 12_000 } },
  // Hardly enough hands: jobs wait behind each other, and those that come back behind all that wait.
  backlog: {
    client: { submit: 1.5 },
    worker: { fail: 3, release: 4 },
    rest: { workMs: 1_200, concurrency: 2, pausedMs: 6_000, operatorMs: 1_500 },
  },
};

/** Each weight by the style's factor, and by chance: now and then a deed hardly happens at all. */
function weights<T extends string>(
  random: SeededRandom,
  deeds: readonly T[],
  base: Readonly<Record<T, number>>,
  style: Partial<Record<T, number>> | undefined,
): Weights<T> {
  return new Weights(
    deeds.map((deed) => {
      const factor = (style?.[deed] ?? 1) * random.pick([0.25, 1, 1, 1, 2]);
      return [deed, Math.max(1, Math.round(base[deed] * factor))] as const;
    }),
  );
}

export function drawCharacter(random: SeededRandom): Character {
  const style = random.pick(Object.keys(STYLES));
  const { client, worker, rest } = STYLES[style]!;
  return {
    style,
    client: weights(random, CLIENT_DEEDS, CLIENT, client),
    worker: weights(random, WORKER_DEEDS, WORKER, worker),
    thinkMs: random.pick([260, 320, 380]),
    workMs: random.pick([10, 30, 60]),
    concurrency: 10,
    connectionMs: random.pick([5_000, 12_000, 30_000]),
    death: random.pick([50, 150, 300]),
    unique: random.pick([20, 80, 200]),
    keys: random.pick([2, 4, 8]),
    delayed: random.pick([30, 80, 150]),
    maxDelayMs: random.pick([800, 3_000, 8_000]),
    operatorMs: random.pick([1_500, 4_000]),
    pausedMs: random.pick([2_000, 5_000]),
    ...rest,
  };
}
