import { expect, it } from 'vitest';
import { planOf } from '../../src/sim/plan.js';
import { runPlan } from '../../src/sim/run.js';

it('everything ends while one node stays dead, and that node comes back to it', async () => {
  const lines: string[] = [];
  const plan = { ...planOf(1), nodes: 3, chaosMs: 4_000, operations: 100, faults: ['silent-node'] } as const;
  const report = await runPlan(plan, { lines: (line) => lines.push(line) });
  expect(report.violations).toEqual([]);
  const died = lines.findIndex((line) => line.endsWith('dies and does not come back'));
  const [, name] = lines[died]!.split(' ');
  const ends = report.history.events.filter(({ type }) => type === 'last');
  expect(ends.some((event) => 'node' in event && event.node === name)).toBe(true);
  // All that the others settled without it.
  expect(lines.slice(died).some((line) => line.includes('node is down') && line.includes(name!))).toBe(true);
});
