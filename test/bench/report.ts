/** What a gauge of the machine said around a run. */
export interface Calm {
  readonly spinBefore: number;
  readonly spinAfter: number;
}

interface Row {
  readonly workload: string;
  readonly run: number;
  readonly figures: Readonly<Record<string, number>>;
  readonly calm: Calm | null;
}

/** A limit that a workload has to keep. `of` computes it from the run's own figures where it depends on the disk. */
interface Owed {
  readonly figure: string;
  readonly unit: string;
  readonly least?: number;
  readonly most?: number | ((figures: Readonly<Record<string, number>>) => number);
}

/** Two fdatasync and 1.5 ms: one on the way of the submission, one on that of the assignment's entry. */
const allowedStart = (figures: Readonly<Record<string, number>>): number =>
  2 * (figures.fdatasyncP50 ?? 0) + 1.5;

/** Three fdatasync and 2 ms: submission and outcome, and what the disk does meanwhile. */
const allowedRoundTrip = (figures: Readonly<Record<string, number>>): number =>
  3 * (figures.fdatasyncP50 ?? 0) + 2;

const OWED: Readonly<Record<string, readonly Owed[]>> = {
  W1: [
    { figure: 'perSecond', unit: '/s', least: 40_000 },
    { figure: 'serversUs', unit: ' µs', most: 30 },
  ],
  W2: [
    { figure: 'perSecond', unit: '/s', least: 20_000 },
    { figure: 'serversUs', unit: ' µs', most: 60 },
  ],
  W3: [{ figure: 'p50', unit: ' ms', most: allowedStart }],
  W6: [
    { figure: 'p50', unit: ' ms', most: 150 },
    { figure: 'max', unit: ' ms', most: 1_000 },
  ],
  W10b: [{ figure: 'ratio', unit: ' × gearmand', least: 0.3 }],
  W10c: [{ figure: 'value', unit: ' ms', most: allowedRoundTrip }],
};

/** A run counts as calm when the spin loop took at most this much longer than its best, before and after. */
const CALM = 1.2;

/** Gathers the figures of all runs, prints each as it comes, and judges at the end. */
export class Report {
  readonly #rows: Row[] = [];
  readonly #json: boolean;

  constructor(json: boolean) {
    this.#json = json;
  }

  add(
    workload: string,
    run: number,
    text: string,
    figures: Readonly<Record<string, number>>,
    calm: Calm | null = null,
  ): void {
    this.#rows.push({ workload, run, figures, calm });
    if (this.#json) return;
    const head = run > 0 ? `run ${run}: ` : '';
    const gauge =
      calm === null ? '' : `; spin ${calm.spinBefore.toFixed(0)} and ${calm.spinAfter.toFixed(0)} ms`;
    process.stdout.write(`${workload.padEnd(5)}${head}${text}${gauge}\n`);
  }

  /** One line per figure that is owed: all runs, the median, how many runs were calm and met it. */
  finish(): void {
    const spins = this.#rows.flatMap(({ calm }) => (calm === null ? [] : [calm.spinBefore, calm.spinAfter]));
    const best = Math.min(...spins);
    const isCalm = (row: Row): boolean =>
      row.calm === null || Math.max(row.calm.spinBefore, row.calm.spinAfter) <= best * CALM;
    if (this.#json) {
      process.stdout.write(
        `${JSON.stringify(this.#rows.map((row) => ({ ...row.figures, workload: row.workload, run: row.run, calm: isCalm(row) })))}\n`,
      );
      return;
    }
    process.stdout.write(
      `\nspin loop at best ${best.toFixed(0)} ms; calm: at most ${(best * CALM).toFixed(0)} ms before and after\n`,
    );
    for (const [workload, owed] of Object.entries(OWED)) {
      for (const one of owed) {
        // A figure that could not be had (there is no gearmand to compare with) is not judged.
        const rows = this.#rows.filter((row) => row.workload === workload && one.figure in row.figures);
        if (rows.length === 0) continue;
        const runs = rows.map((row) => {
          const value = row.figures[one.figure] ?? Number.NaN;
          const most = typeof one.most === 'function' ? one.most(row.figures) : one.most;
          const met =
            (one.least === undefined || value >= one.least) && (most === undefined || value <= most);
          return { value, most, met, calm: isCalm(row) };
        });
        const calm = runs.filter((run) => run.calm);
        const limit =
          one.least === undefined
            ? `at most ${runs.map((run) => digits(run.most!))[0]}`
            : `at least ${one.least}`;
        process.stdout.write(
          `${workload.padEnd(5)}${one.figure} (${limit}${one.unit}): ` +
            `${runs.map((run) => `${digits(run.value)}${run.calm ? '' : '~'}${run.met ? '' : '!'}`).join(' ')}; ` +
            `met in ${runs.filter((run) => run.met).length} of ${runs.length}, in ${calm.filter((run) => run.met).length} of ${calm.length} calm ones\n`,
        );
      }
    }
    process.stdout.write('(~ the machine was not calm, ! the limit was not kept)\n');
  }
}

function digits(value: number): string {
  return value >= 1_000 ? value.toFixed(0) : value >= 100 ? value.toFixed(0) : value.toFixed(2);
}
