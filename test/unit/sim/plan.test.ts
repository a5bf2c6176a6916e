import { expect, it } from 'vitest';
import { FAULT_KINDS, planOf } from '../../../src/sim/plan.js';

const PLANS = Array.from({ length: 600 }, (_, i) => planOf(i + 1));

it('makes the same plan of the same seed', () => {
  expect(planOf(7)).toEqual(planOf(7));
  expect(PLANS.map((plan) => plan.seed)).toEqual(PLANS.map((_, i) => i + 1));
});

it('gives a third of the seeds five nodes, and each a minute of load and 2,000 operations', () => {
  const five = PLANS.filter(({ nodes }) => nodes === 5).length;
  expect(five / PLANS.length).toBeGreaterThan(0.28);
  expect(five / PLANS.length).toBeLessThan(0.39);
  for (const plan of PLANS) {
    expect([3, 5]).toContain(plan.nodes);
    expect(plan.chaosMs).toBeGreaterThanOrEqual(60_000);
    expect(plan.operations).toBeGreaterThanOrEqual(2_000);
    expect(plan.faults.length).toBeGreaterThan(0);
  }
});

it('has every kind of fault in many seeds, and some seeds with all of them', () => {
  for (const kind of FAULT_KINDS)
    expect(PLANS.filter(({ faults }) => faults.includes(kind)).length, kind).toBeGreaterThan(200);
  expect(PLANS.some(({ faults }) => faults.length === FAULT_KINDS.length)).toBe(true);
});
