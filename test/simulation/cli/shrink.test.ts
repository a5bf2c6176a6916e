import { describe, expect, it } from 'vitest';
import { FAULT_KINDS, planOf, type SimPlan } from '../../../src/sim/plan.js';
import type { SimViolation } from '../../../src/sim/report.js';
import { shrink, smaller } from './shrink.js';

const [ONE, OTHER] = FAULT_KINDS;
const START: SimPlan = {
  ...planOf(17),
  nodes: 5,
  chaosMs: 64_000,
  operations: 2_000,
  clients: 9,
  workers: 7,
  faults: FAULT_KINDS,
};
const lost: SimViolation = { seenBy: 'history', rule: 'lost', text: 'a job is lost' };
const early: SimViolation = { seenBy: 'history', rule: 'early', text: 'a job began early' };
const failed = { plan: START, violations: [lost] };

/** A cluster that loses a job with three clients or more, under one kind of fault, within eight seconds. */
const loses = (plan: SimPlan): boolean =>
  plan.clients >= 3 && plan.faults.includes(ONE) && plan.chaosMs >= 8_000;

describe('a failed plan', () => {
  it('is made as small as it can be', async () => {
    const run = async (plan: SimPlan) => ({ violations: loses(plan) ? [lost] : [] });
    const found = await shrink(failed, 'lost', run, { width: 2, runsMax: 500 });
    expect(found.plan).toEqual({
      ...START,
      nodes: 3,
      clients: 3,
      workers: 1,
      operations: 50,
      chaosMs: 8_000,
      faults: [ONE],
    });
    expect(found.violations).toEqual([lost]);
    // None of one step less fails.
    expect(smaller(found.plan).filter(loses)).toEqual([]);
  });

  it('is no smaller when that breaks another rule', async () => {
    const run = async () => ({ violations: [early] });
    const found = await shrink(failed, 'lost', run, { width: 4, runsMax: 500 });
    expect(found).toMatchObject({ plan: START, violations: [lost] });
  });

  it('is run so often at most', async () => {
    let runs = 0;
    const run = async () => {
      runs += 1;
      return { violations: [lost] };
    };
    const found = await shrink(failed, 'lost', run, { width: 4, runsMax: 7 });
    expect(runs).toBe(7);
    expect(found.runs).toBe(7);
    expect(found.plan).not.toEqual(START);
  });

  it('becomes the same one however long each run takes', async () => {
    const plans: SimPlan[] = [];
    for (const backwards of [false, true]) {
      // Answers come in the order of asking, or the other way round.
      const answers: (() => void)[] = [];
      const run = (plan: SimPlan) =>
        new Promise<{ violations: SimViolation[] }>((resolve) => {
          answers.push(() => resolve({ violations: plan.faults.includes(OTHER) ? [] : [lost] }));
          if (answers.length === 1) {
            queueMicrotask(() => {
              const all = answers.splice(0);
              for (const answer of backwards ? all.reverse() : all) answer();
            });
          }
        });
      plans.push((await shrink(failed, 'lost', run, { width: 3, runsMax: 200 })).plan);
    }
    expect(plans[0]).toEqual(plans[1]);
  });
});
