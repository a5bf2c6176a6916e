import { median, sorted } from '../gauge.js';
import { digits, type Report } from '../report.js';
import { goalOf, reached, shownGoal } from './goals.js';

/** What is compared, and by which figure. */
const COMPARED = [
  { workload: 'W1', figure: 'perSecond', unit: '/s', tail: 'p99' },
  { workload: 'W1b', figure: 'perSecond', unit: '/s', tail: 'p99' },
  { workload: 'W2', figure: 'perSecond', unit: '/s', tail: 'p99' },
  { workload: 'W3', figure: 'p50', unit: ' ms', tail: 'p99' },
  { workload: 'W3h', figure: 'p50', unit: ' ms', tail: 'p99' },
  { workload: 'W6', figure: 'p50', unit: ' ms', tail: 'max' },
] as const;

/** Medians and ranges of one system in one workload. */
export interface Compared {
  readonly workload: string;
  /** '' is ours. */
  readonly side: string;
  readonly median: number;
  readonly least: number;
  readonly most: number;
  readonly unit: string;
  /** 99th percentile of the waits, or the longest of a few, milliseconds; NaN where it was not measured. */
  readonly tail: number;
  /** CPU per job, microseconds, and the part of a core of the busiest client; NaN where it was not measured. */
  readonly serversUs: number;
  readonly clientUs: number;
  readonly busiestClient: number;
  /** Ours divided by it; 1 for ours. */
  readonly ratio: number;
  readonly goal: string;
  /** Null: nothing is owed. */
  readonly reached: boolean | null;
}

/** All systems in all workloads that were run, ours first in each. */
export function compared(report: Report): Compared[] {
  const sides = [...new Set(['', ...report.rows.map((row) => row.side)])];
  const lines: Compared[] = [];
  for (const { workload, figure, unit, tail } of COMPARED) {
    const ours = report.median(workload, figure);
    for (const side of sides) {
      const values = sorted(report.values(workload, figure, side));
      if (values.length === 0) continue;
      const middle = median(values);
      const ratio = ours / middle;
      const goal = side === '' ? null : goalOf(workload, figure, side);
      lines.push({
        workload,
        side,
        unit,
        median: middle,
        least: values[0]!,
        most: values.at(-1)!,
        tail: report.median(workload, tail, side),
        serversUs: report.median(workload, 'serversUs', side),
        clientUs: report.median(workload, 'clientUs', side),
        busiestClient: report.median(workload, 'busiestClient', side),
        ratio,
        goal: goal === null ? '' : shownGoal(goal),
        reached: goal === null ? null : reached(goal, ratio),
      });
    }
  }
  return lines;
}

/** One line for each of the others in each workload: both medians and ranges, the ratio, and the goal beside it. */
export function ratioLines(lines: readonly Compared[]): string[] {
  const ours = new Map(lines.filter(({ side }) => side === '').map((line) => [line.workload, line]));
  return lines
    .filter((line) => line.side !== '' && ours.has(line.workload))
    .map((line) => {
      const goal = line.goal === '' ? '' : ` (${line.goal}: ${line.reached === true ? 'met' : 'not met'})`;
      return (
        `${line.workload.padEnd(6)}${line.side}: ours ${range(ours.get(line.workload)!)}, ` +
        `theirs ${range(line)}: ratio ${digits(line.ratio)}${goal}`
      );
    });
}

export function range(line: Compared): string {
  const median = `${digits(line.median)}${line.unit}`;
  return line.least === line.most ? median : `${median} (${digits(line.least)} to ${digits(line.most)})`;
}
