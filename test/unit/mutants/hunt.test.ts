import { describe, expect, it } from 'vitest';
import { planOf, type SimPlan } from '../../../src/sim/plan.js';
import type { SimViolation } from '../../../src/sim/report.js';
import { hunt } from '../../mutants/hunt.js';

const inside: SimViolation = { seenBy: 'inside', rule: 'replicas', text: 'states differ' };
const lost: SimViolation = { seenBy: 'history', rule: 'lost', text: 'a job is lost' };
const plans = Array.from({ length: 10 }, (_, i) => planOf(i + 1));

/** Runs that show these violations, by seed; the later a seed is, the sooner it answers. */
function runs(shown: Readonly<Record<number, readonly SimViolation[]>>) {
  const seeds: number[] = [];
  const run = async ({ seed }: SimPlan) => {
    seeds.push(seed);
    for (let turns = 20 - seed; turns > 0; turns--) await Promise.resolve();
    return { violations: shown[seed] ?? [] };
  };
  return { run, seeds };
}

describe('the hunt for a mutant', () => {
  it('ends with the first seed that shows it, and all that ran beside', async () => {
    const { run, seeds } = runs({ 3: [inside], 4: [lost] });
    const hunted = await hunt(run, { plans, width: 2, untilHistory: false });
    expect(hunted.found).toEqual({ seeds: 3, violation: inside });
    expect(seeds).toEqual([1, 2, 3, 4]);
  });

  it('goes on until the history alone shows it', async () => {
    const { run, seeds } = runs({ 3: [inside], 6: [inside, lost] });
    expect(await hunt(run, { plans, width: 1, untilHistory: true })).toEqual({
      found: { seeds: 3, violation: inside },
      byHistory: { seeds: 6, violation: lost },
      runs: 6,
    });
    expect(seeds).toHaveLength(6);
  });

  it('ends when the seeds are used up', async () => {
    const { run } = runs({ 10: [inside] });
    expect(await hunt(run, { plans, width: 3, untilHistory: true })).toMatchObject({
      found: { seeds: 10 },
      byHistory: null,
      runs: 10,
    });
    expect(await hunt(runs({}).run, { plans, width: 3, untilHistory: true })).toMatchObject({ found: null });
  });

  it('finds the same however many run at once', async () => {
    const shown = { 4: [inside], 5: [lost], 6: [inside, lost] };
    for (const width of [1, 2, 3, 5, 10]) {
      const hunted = await hunt(runs(shown).run, { plans, width, untilHistory: true });
      expect([hunted.found?.seeds, hunted.byHistory?.seeds]).toEqual([4, 5]);
    }
  });
});
