import { median } from './gauge.js';
import { met, OWED, type Owed } from './owed.js';

/** What a gauge of the machine said around a run. */
export interface Calm {
  readonly spinBefore: number;
  readonly spinAfter: number;
}

export type Figures = Readonly<Record<string, number>>;

export interface Row {
  readonly workload: string;
  /** From 1; 0: of no run. */
  readonly run: number;
  /** '' is ours; else the name of another system. */
  readonly side: string;
  readonly figures: Figures;
  readonly calm: Calm | null;
}

export interface Said {
  readonly run?: number;
  readonly side?: string;
  readonly calm?: Calm;
}

/** A run counts as calm when the spin loop took at most this much longer than its best, before and after. */
const CALM = 1.2;
const NAME_WIDTH = 6;

/** Gathers the figures of all runs, prints each as it comes, and judges at the end. */
export class Report {
  readonly rows: Row[] = [];
  readonly #say: (line: string) => void;

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  add(workload: string, text: string, figures: Figures, said: Said = {}): void {
    const { run = 0, side = '', calm = null } = said;
    this.rows.push({ workload, run, side, figures, calm });
    const head = `${run > 0 ? `run ${run}: ` : ''}${side === '' ? '' : `${side}: `}`;
    const gauge =
      calm === null ? '' : `; spin ${calm.spinBefore.toFixed(0)} and ${calm.spinAfter.toFixed(0)} ms`;
    this.#say(`${workload.padEnd(NAME_WIDTH)}${head}${text}${gauge}`);
  }

  /** The median of a figure over all runs of one side; NaN where there is none. */
  median(workload: string, figure: string, side = ''): number {
    return median(this.values(workload, figure, side));
  }

  values(workload: string, figure: string, side = ''): number[] {
    return this.rows
      .filter((row) => row.workload === workload && row.side === side && figure in row.figures)
      .map((row) => row.figures[figure]!);
  }

  isCalm(row: Row): boolean {
    return row.calm === null || Math.max(row.calm.spinBefore, row.calm.spinAfter) <= this.#best() * CALM;
  }

  /** One line per figure that is owed: all runs, how many met it, and how many of the calm ones. */
  judge(): void {
    const best = this.#best();
    if (Number.isFinite(best)) {
      const most = (best * CALM).toFixed(0);
      this.#say(`\nspin loop at best ${best.toFixed(0)} ms; calm: at most ${most} ms before and after`);
    }
    for (const [workload, owed] of Object.entries(OWED)) {
      for (const one of owed) this.#judgeOne(workload, one);
    }
    this.#say('(~ the machine was not calm, ! the limit was not kept)');
  }

  #judgeOne(workload: string, owed: Owed): void {
    // A figure that could not be had (there is no gearmand to compare with) is not judged.
    const rows = this.rows.filter(
      (row) => row.workload === workload && row.side === '' && owed.figure in row.figures,
    );
    if (rows.length === 0) return;
    const runs = rows.map((row) => ({
      ...met(owed, row.figures),
      value: row.figures[owed.figure]!,
      calm: this.isCalm(row),
    }));
    const limits = runs.map(({ limit }) => limit);
    const [low, high] = [digits(Math.min(...limits)), digits(Math.max(...limits))];
    const limit = `${owed.least === undefined ? 'at most' : 'at least'} ${low === high ? low : `${low} to ${high}`}`;
    const values = runs.map((run) => `${digits(run.value)}${run.calm ? '' : '~'}${run.met ? '' : '!'}`);
    const calm = runs.filter((run) => run.calm);
    const kept = (some: readonly { readonly met: boolean }[]): string =>
      `${some.filter((run) => run.met).length} of ${some.length}`;
    this.#say(
      `${workload.padEnd(NAME_WIDTH)}${owed.figure} (${limit}${owed.unit}): ${values.join(' ')}; ` +
        `met in ${kept(runs)}, in ${kept(calm)} calm ones`,
    );
  }

  #best(): number {
    return Math.min(
      ...this.rows.flatMap(({ calm }) => (calm === null ? [] : [calm.spinBefore, calm.spinAfter])),
    );
  }
}

export function digits(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2);
}
