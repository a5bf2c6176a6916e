import type { SimPlan } from '../../src/sim/plan.js';
import type { SimViolation } from '../../src/sim/report.js';
import type { Outcome } from '../simulation/cli/messages.js';

/** A seed in which the mutant was found, and by what. */
export interface Find {
  /** How many seeds it took, this one included. */
  readonly seeds: number;
  readonly violation: SimViolation;
}

export interface Hunted {
  /** By any check; null: it survived. */
  readonly found: Find | null;
  /** By the history of clients and workers alone; null: not within the seeds that were run. */
  readonly byHistory: Find | null;
  /** Seeds that were run. */
  readonly runs: number;
}

export interface HuntOptions {
  readonly plans: readonly SimPlan[];
  /** Plans that run at once. */
  readonly width: number;
  /** Whether to go on until the history alone shows it. */
  readonly untilHistory: boolean;
}

/** Runs plans in order until the mutant is found. Which seed finds it does not depend on how fast each one is. */
export async function hunt(
  run: (plan: SimPlan) => Promise<Pick<Outcome, 'violations'>>,
  { plans, width, untilHistory }: HuntOptions,
): Promise<Hunted> {
  let found: Find | null = null;
  let byHistory: Find | null = null;
  let runs = 0;
  const over = (): boolean => byHistory !== null || (found !== null && !untilHistory);
  for (let at = 0; at < plans.length && !over(); at += width) {
    const outcomes = await Promise.all(plans.slice(at, at + width).map(run));
    runs += outcomes.length;
    outcomes.forEach(({ violations }, i) => {
      const seeds = at + i + 1;
      const [first] = violations;
      if (first === undefined) return;
      found ??= { seeds, violation: first };
      const seen = violations.find(({ seenBy }) => seenBy === 'history');
      if (seen !== undefined) byHistory ??= { seeds, violation: seen };
    });
  }
  return { found, byHistory, runs };
}
