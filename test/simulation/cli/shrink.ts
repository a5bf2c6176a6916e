import type { SimPlan } from '../../../src/sim/plan.js';
import type { Outcome } from './messages.js';

const LEAST = { chaosMs: 1_000, operations: 50, nodes: 3 } as const;

export interface Shrunk {
  readonly plan: SimPlan;
  readonly violations: Outcome['violations'];
  readonly runs: number;
}

/**
 * The smallest plan that still breaks `rule`, found by trying smaller ones, `width` of them at a time, until none of
 * them fails or `runsMax` were tried. Which one is found does not depend on how fast each run is.
 */
export async function shrink(
  failed: Pick<Outcome, 'plan' | 'violations'>,
  rule: string,
  run: (plan: SimPlan) => Promise<Pick<Outcome, 'violations'>>,
  { width, runsMax }: { readonly width: number; readonly runsMax: number },
): Promise<Shrunk> {
  let { plan, violations } = failed;
  let runs = 0;
  const tried = new Set<string>();
  const next = (): SimPlan[] =>
    smaller(plan)
      .filter((one) => !tried.has(JSON.stringify(one)))
      .slice(0, Math.min(width, runsMax - runs));
  for (let plans = next(); plans.length > 0; plans = next()) {
    for (const one of plans) tried.add(JSON.stringify(one));
    runs += plans.length;
    const outcomes = await Promise.all(plans.map(run));
    const at = outcomes.findIndex((outcome) => outcome.violations.some((one) => one.rule === rule));
    if (at < 0) continue;
    plan = plans[at]!;
    violations = outcomes[at]!.violations;
  }
  return { plan, violations, runs };
}

/** Plans that are smaller by one step, those first from which most is to be hoped. */
export function smaller(plan: SimPlan): SimPlan[] {
  const plans: SimPlan[] = [];
  const number = (field: 'chaosMs' | 'operations' | 'nodes' | 'clients' | 'workers', value: number): void => {
    if (value < plan[field]) plans.push({ ...plan, [field]: value });
  };
  for (const faults of fewer(plan.faults)) plans.push({ ...plan, faults });
  number('chaosMs', Math.max(LEAST.chaosMs, Math.floor(plan.chaosMs / 2)));
  number('operations', Math.max(LEAST.operations, Math.floor(plan.operations / 2)));
  number('nodes', LEAST.nodes);
  for (const field of ['clients', 'workers'] as const) {
    const values = new Set([1, Math.floor(plan[field] / 2), plan[field] - 1]);
    for (const value of values) if (value >= 1) number(field, value);
  }
  return plans;
}

/** None of them, each half, and all but each one. */
function fewer<T>(of: readonly T[]): (readonly T[])[] {
  if (of.length === 0) return [];
  const middle = of.length >> 1;
  const halves = of.length > 3 ? [of.slice(0, middle), of.slice(middle)] : [];
  const oneLess = of.length > 1 ? of.map((one) => of.filter((other) => other !== one)) : [];
  return [[], ...halves, ...oneLess];
}
