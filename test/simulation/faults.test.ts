import { describe, expect, it } from 'vitest';
import { FAULT_KINDS, type FaultKind, planOf, type SimPlan } from '../../src/sim/plan.js';
import type { RunReport } from '../../src/sim/report.js';
import { runPlan } from '../../src/sim/run.js';

/** Goal: each kind of fault really happens to a cluster that is at work, and each changes something. */

/** Lives that are tried until the fault had its effect. */
const SEEDS = 8;

function planFor(kind: FaultKind, seed: number): SimPlan {
  return { ...planOf(seed), nodes: 3, chaosMs: 12_000, operations: 200, faults: [kind] };
}

describe.each(FAULT_KINDS)('the fault %s', (kind) => {
  it('is injected, has an effect, and breaks no promise', async () => {
    const reports: RunReport[] = [];
    for (let seed = 1; seed <= SEEDS && !reports.some(({ faults }) => faults[kind].effective > 0); seed++) {
      const report = await runPlan(planFor(kind, seed));
      expect(report.violations, `seed ${seed}`).toEqual([]);
      const others = Object.entries(report.faults).filter(
        ([name, { injected }]) => name !== kind && injected > 0,
      );
      expect(others).toEqual([]);
      reports.push(report);
    }
    const sum = (of: 'injected' | 'effective'): number =>
      reports.reduce((total, { faults }) => total + faults[kind][of], 0);
    expect(sum('injected')).toBeGreaterThan(0);
    expect(sum('effective')).toBeGreaterThan(0);
    expect(sum('effective')).toBeLessThanOrEqual(sum('injected'));
  });
});
