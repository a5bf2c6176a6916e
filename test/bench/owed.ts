import type { Figures } from './report.js';

/** A limit that a workload has to keep. `most` is computed from the run's own figures where it depends on the disk. */
export interface Owed {
  readonly figure: string;
  readonly unit: string;
  readonly least?: number;
  readonly most?: number | ((figures: Figures) => number);
}

/** The syncs on the way of a job, and the time of everything else, milliseconds. */
const syncsAnd =
  (syncs: number, ms: number) =>
  (figures: Figures): number =>
    syncs * (figures.fdatasyncP50 ?? Number.NaN) + ms;

/** Of starts: one sync and a half (that of the followers overlaps with the leader's), and a tail that stays near. */
const STARTS: readonly Owed[] = [
  { figure: 'p50', unit: ' ms', most: syncsAnd(1.5, 0.7) },
  { figure: 'p99', unit: ' ms', most: (figures) => 5 * (figures.p50 ?? Number.NaN) },
];

const GROWTH: readonly Owed[] = ['submitCpu', 'submitRate', 'cycleCpu', 'cycleRate'].map((figure) => ({
  figure,
  unit: ' × the best',
  most: 1.25,
}));

export const OWED: Readonly<Record<string, readonly Owed[]>> = {
  W1: [
    { figure: 'perSecond', unit: '/s', least: 40_000 },
    { figure: 'serversUs', unit: ' µs', most: 14 },
  ],
  W1b: [{ figure: 'serversUs', unit: ' µs', most: 8 }],
  W2: [
    { figure: 'perSecond', unit: '/s', least: 20_000 },
    { figure: 'serversUs', unit: ' µs', most: 28 },
  ],
  W3: STARTS,
  W3h: STARTS,
  W3f: [{ figure: 'p50', unit: ' ms', most: syncsAnd(2.5, 1.5) }],
  W4: ['in1', 'through1', 'in64', 'through64'].map((figure) => ({ figure, unit: ' %', least: 60 })),
  W5j: GROWTH,
  W5f: GROWTH,
  W5w: GROWTH,
  W6: [
    { figure: 'p50', unit: ' ms', most: 60 },
    { figure: 'max', unit: ' ms', most: 300 },
  ],
  W6t: [{ figure: 'max', unit: ' ms', most: 50 }],
  W6s: [{ figure: 'p50', unit: ' ms', most: 1_200 }],
  W7: [{ figure: 'bytesPerJob', unit: ' bytes', most: 320 }],
  W7d: [{ figure: 'peakMiB', unit: ' MiB', most: 1_024 }],
  W8: [
    { figure: 'oneSeconds', unit: ' s', most: 5 },
    { figure: 'allSeconds', unit: ' s', most: 5 },
    { figure: 'snapshotRatio', unit: ' × without', most: 2 },
  ],
  W9: [
    { figure: 'loopP99', unit: ' ms', most: 10 },
    { figure: 'gcMax', unit: ' ms', most: 30 },
  ],
  W10a: [{ figure: 'ratio', unit: ' × gearmand', least: 0.3 }],
  W10b: [{ figure: 'ratio', unit: ' × gearmand', least: 0.8 }],
  W10c: [{ figure: 'value', unit: ' ms', most: syncsAnd(3, 2) }],
  W11: [
    { figure: 'install', unit: ' s', most: 30 },
    { figure: 'start', unit: ' s', most: 3 },
  ],
};

/** Whether the figures keep the limit, and what it is for them. */
export function met(owed: Owed, figures: Figures): { met: boolean; limit: number } {
  const value = figures[owed.figure] ?? Number.NaN;
  if (owed.least !== undefined) return { met: value >= owed.least, limit: owed.least };
  const limit = typeof owed.most === 'function' ? owed.most(figures) : (owed.most ?? Number.NaN);
  return { met: value <= limit, limit };
}
