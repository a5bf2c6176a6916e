import { describe, expect, test } from 'vitest';
import { markdown } from '../../bench/comparison/markdown.js';
import { compared, ratioLines } from '../../bench/comparison/ratios.js';
import { calls } from '../../bench/comparison/syncs.js';
import { longestGap } from '../../bench/gaps.js';
import { readOptions } from '../../bench/options.js';
import { type Calm, Report } from '../../bench/report.js';

const CALM: Calm = { spinBefore: 50, spinAfter: 51 };
const LOADED: Calm = { spinBefore: 50, spinAfter: 80 };

function reported(): { report: Report; lines: string[] } {
  const lines: string[] = [];
  return { report: new Report((line) => lines.push(line)), lines };
}

/** Goal: what a run of the benchmark says of limits and ratios follows from its figures. */
describe('limits', () => {
  test('each run is judged by its own figures, and told apart by how calm the machine was', () => {
    const { report, lines } = reported();
    report.add('W3', '', { p50: 1, p99: 6, fdatasyncP50: 0.2 }, { run: 1, calm: CALM });
    report.add('W3', '', { p50: 1, p99: 4, fdatasyncP50: 0.1 }, { run: 2, calm: LOADED });
    report.judge();
    expect(lines).toContain(
      'W3    p50 (at most 0.85 to 1.00 ms): 1.00 1.00~!; met in 1 of 2, in 1 of 1 calm ones',
    );
    expect(lines).toContain('W3    p99 (at most 5.00 ms): 6.00! 4.00~; met in 1 of 2, in 0 of 1 calm ones');
  });

  test('a limit upwards, and figures that are not there', () => {
    const { report, lines } = reported();
    report.add('W10a', '', { ratio: 0.25 }, { run: 1 });
    report.add('W10b', '', { value: 1 }, { run: 1 });
    report.judge();
    expect(lines.join('\n')).toContain('W10a  ratio (at least 0.30 × gearmand): 0.25!; met in 0 of 1');
    expect(lines.join('\n')).not.toContain('W10b  ratio');
  });

  test('a limit that depends on what was not measured is not kept', () => {
    const { report, lines } = reported();
    report.add('W3f', '', { p50: 1 });
    report.judge();
    expect(lines.join('\n')).toContain('met in 0 of 1');
  });

  test('the figures of others are not judged by the limits of ours', () => {
    const { report, lines } = reported();
    report.add('W1', '', { perSecond: 1, serversUs: 1_000 }, { side: 'nats' });
    report.judge();
    expect(lines.join('\n')).not.toContain('serversUs');
  });
});

describe('ratios', () => {
  const bench = (): Report => {
    const { report } = reported();
    for (const [run, ours] of [100, 300, 200].entries()) {
      report.add('W1', '', { perSecond: ours, serversUs: 10, clientUs: 2 }, { run: run + 1 });
    }
    for (const [run, theirs] of [41, 40, 10].entries()) {
      report.add('W1', '', { perSecond: theirs, serversUs: 50 }, { run: run + 1, side: 'nats' });
    }
    report.add('W3', '', { p50: 2 }, { run: 1 });
    report.add('W3', '', { p50: 4 }, { run: 1, side: 'rabbitmq' });
    report.add('W3', '', { p50: 1 }, { run: 1, side: 'nats' });
    return report;
  };

  test('medians are compared, with the goal beside them', () => {
    expect(ratioLines(compared(bench()))).toEqual([
      'W1    nats: ours 200/s (100 to 300), theirs 40.00/s (10.00 to 41.00): ratio 5.00 (≥ 5: met)',
      'W3    nats: ours 2.00 ms, theirs 1.00 ms: ratio 2.00 (≤ 1: not met)',
      'W3    rabbitmq: ours 2.00 ms, theirs 4.00 ms: ratio 0.50 (≤ 0.6: met)',
    ]);
  });

  test('tables show all systems, what each promises, and what was not measured', () => {
    const lines = markdown(bench(), compared(bench()), new Map([['nats', 'files of two nodes']])).split('\n');
    expect(lines).toContain(
      '| nats: files of two nodes | 40.00/s (10.00 to 41.00) | – | 50.0 + – | – | 5.00 | ≥ 5 |',
    );
    expect(lines).toContain('| rabbitmq:  | 4.00 ms | – | 0.50 | ≤ 0.6 |');
    expect(lines).toContain('| W1 | serversUs | ≤ 14.00 µs | 10.00 | 10.00 to 10.00 | 3 of 3 |');
  });
});

describe('counts', () => {
  test('the calls of a table of strace, with and without errors, and not its total', () => {
    const table = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 99.10    1.203045         512      2349         1 fdatasync
  0.90    0.010000         100       100           fsync
------ ----------- ----------- --------- --------- ----------------
100.00    1.213045         495      2449         1 total
`;
    expect(calls(table)).toBe(2_449);
    expect(calls('')).toBe(0);
  });

  test('a gap reaches over the moments between which it is looked for', () => {
    const acknowledged = (...times: readonly number[]) => ({
      at: times.map((t) => t - 1),
      waits: times.map(() => 1),
    });
    expect(longestGap(acknowledged(10, 95, 130, 140, 200), 100, 135)).toBe(35);
    expect(longestGap(acknowledged(10, 160), 100, 150)).toBe(150);
    expect(longestGap(acknowledged(10, 20), 100, 150)).toBe(130);
    expect(longestGap(acknowledged(), 100, 150)).toBe(50);
  });
});

describe('options', () => {
  test('a family stands for its parts, and all is the default', () => {
    expect([...readOptions(['--only', 'W5'])!.only]).toEqual(['W5', 'W5j', 'W5f', 'W5w']);
    expect(readOptions([])!.only.has('W11')).toBe(true);
    expect(readOptions(['--help'])).toBeNull();
  });

  test.each([
    [['--only', 'W1,W12'], 'W12'],
    [['--runs', '0'], '--runs'],
    [['--seconds', 'x'], '--seconds'],
    [['--scale', ''], '--scale'],
    [['--unknown'], '--unknown'],
  ])('%j is refused', (args, named) => {
    expect(() => readOptions(args)).toThrow(named);
  });
});
