import { median, sorted } from '../gauge.js';
import { met, OWED } from '../owed.js';
import { digits, type Report } from '../report.js';
import { type Compared, range } from './ratios.js';

const OURS = '**Gearmesh**, three nodes, synced on a majority';

/** Tables for a document: what is owed, all systems beside each other, and what was said of what ran once. */
export function markdown(
  report: Report,
  lines: readonly Compared[],
  promises: ReadonlyMap<string, string>,
): string {
  return [owedTable(report), ...comparisonTables(lines, promises), syncsTable(report, promises)]
    .filter((text) => text !== '')
    .join('\n\n');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return '';
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function owedTable(report: Report): string {
  const rows: string[][] = [];
  for (const [workload, owed] of Object.entries(OWED)) {
    for (const one of owed) {
      const found = report.rows.filter(
        (row) => row.workload === workload && row.side === '' && one.figure in row.figures,
      );
      if (found.length === 0) continue;
      const judged = found.map(({ figures }) => met(one, figures));
      const values = sorted(found.map(({ figures }) => figures[one.figure]!));
      rows.push([
        workload,
        one.figure,
        `${one.least === undefined ? '≤' : '≥'} ${digits(median(judged.map(({ limit }) => limit)))}${one.unit}`,
        digits(median(values)),
        values.length === 1 ? '' : `${digits(values[0]!)} to ${digits(values.at(-1)!)}`,
        `${judged.filter((run) => run.met).length} of ${judged.length}`,
      ]);
    }
  }
  return table(['workload', 'figure', 'limit', 'median', 'range', 'runs that kept it'], rows);
}

function comparisonTables(lines: readonly Compared[], promises: ReadonlyMap<string, string>): string[] {
  const workloads = [...new Set(lines.filter(({ side }) => side !== '').map(({ workload }) => workload))];
  return workloads.map((workload) => {
    const of = lines.filter((line) => line.workload === workload);
    // Of a latency nobody measures the CPU.
    const hasCpu = of.some((line) => !Number.isNaN(line.serversUs));
    const rows = of.map((line) => [
      named(line.side, promises),
      range(line),
      shown(line.tail, digits),
      ...(hasCpu ? cpu(line) : []),
      line.side === '' ? '' : digits(line.ratio),
      line.goal === '' ? '' : `${line.goal}${line.reached === true ? '' : ', not met'}`,
    ]);
    const columns = ['median (range)', workload === 'W6' ? 'longest, ms' : 'p99 of the wait, ms'];
    if (hasCpu) columns.push('CPU µs per job: servers + clients', 'busiest client');
    return table([workload, ...columns, 'ours / it', 'goal'], rows);
  });
}

function syncsTable(report: Report, promises: ReadonlyMap<string, string>): string {
  const rows = report.rows
    .filter((row) => row.workload === 'syncs' && row.figures.perJob !== undefined)
    .map(({ side, figures }) => [
      named(side, promises),
      String(figures.jobs),
      String(figures.count),
      figures.perJob!.toFixed(4),
    ]);
  return table(['syncs', 'jobs accepted', 'calls of fdatasync and fsync, all servers', 'for each job'], rows);
}

function named(side: string, promises: ReadonlyMap<string, string>): string {
  return side === '' ? OURS : `${side}: ${promises.get(side) ?? ''}`;
}

function cpu(line: Compared): string[] {
  const us = (value: number): string => shown(value, (number) => number.toFixed(1));
  return [
    `${us(line.serversUs)} + ${us(line.clientUs)}`,
    shown(line.busiestClient, (part) => `${(part * 100).toFixed(0)} %`),
  ];
}

function shown(value: number, how: (value: number) => string): string {
  return Number.isNaN(value) ? '–' : how(value);
}
