import { describe, expect, it } from 'vitest';
import { FAULT_KINDS, planOf } from '../../../src/sim/plan.js';
import type { Outcome } from './messages.js';
import { regressions, regressionsOf } from './regressions.js';
import { Tally } from './tally.js';

const [ONE, OTHER] = FAULT_KINDS;

function outcome(more: Partial<Outcome>): Outcome {
  return {
    plan: { ...planOf(1), nodes: 3, faults: [ONE, OTHER] },
    traceHash: '0',
    violations: [],
    faults: {} as Outcome['faults'],
    states: {},
    operations: 10,
    acknowledged: 8,
    virtualMs: 60_000,
    events: 1,
    cpuMs: 500,
    ...more,
  };
}

describe('the sum of many runs', () => {
  it('names the kinds of faults that never made a difference, of those that were asked for', () => {
    const tally = new Tally();
    const faults = { [ONE]: { injected: 3, effective: 0 }, [OTHER]: { injected: 2, effective: 1 } };
    tally.add(outcome({ faults: faults as Outcome['faults'] }));
    tally.add(outcome({ faults: faults as Outcome['faults'] }));
    expect(tally.idle).toEqual([ONE]);
    expect(tally.report(60_000)).toContain(`faults without any effect: ${ONE}\n`);
    expect(tally.report(60_000)).toMatch(new RegExp(`^${OTHER} +4 +2$`, 'm'));
  });

  it('counts a kind that no run told of as one without effect', () => {
    const tally = new Tally();
    tally.add(outcome({}));
    expect(tally.idle).toEqual([ONE, OTHER]);
  });

  it('tells how much was simulated in how much time', () => {
    const tally = new Tally();
    for (let i = 0; i < 120; i++) tally.add(outcome({ states: { elections: i % 2 } }));
    expect(tally.hoursAMinute(60_000)).toBe(2);
    expect(tally.minutesACpuSecond).toBe(2);
    expect(tally.report(60_000)).toMatch(/^elections +60 +60$/m);
  });
});

describe('runs that once failed', () => {
  it('are all in order', () => {
    for (const { plan } of regressions()) expect(plan).toEqual({ ...planOf(plan.seed), ...plan });
  });

  it('name their seed and what does not follow from it', () => {
    const text = JSON.stringify([{ was: 'a job was lost', seed: 5, clients: 1, faults: [ONE] }]);
    expect(regressionsOf(text)).toEqual([
      { was: 'a job was lost', plan: { ...planOf(5), clients: 1, faults: [ONE] } },
    ]);
  });

  it.each([
    ['{}', 'is a list'],
    ['[{"seed": 1}]', '"was"'],
    ['[{"was": "x"}]', '"seed"'],
    ['[{"was": "x", "seed": 1, "hours": 3}]', '"hours"'],
    ['[{"was": "x", "seed": 1, "faults": ["flood"]}]', 'no fault "flood"'],
  ])('%s is refused', (text, why) => {
    expect(() => regressionsOf(text)).toThrow(why);
  });
});
