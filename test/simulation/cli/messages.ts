import type { SimPlan } from '../../../src/sim/plan.js';
import type { RunReport } from '../../../src/sim/report.js';

/** What a child tells of a run: all but what the clients saw, which is large and has been judged already. */
export interface Outcome extends Omit<RunReport, 'history'> {
  /** CPU time that the run took, milliseconds. */
  readonly cpuMs: number;
}

export interface ToChild {
  readonly plan: SimPlan;
}

export type FromChild =
  | { readonly type: 'outcome'; readonly outcome: Outcome; readonly residentBytes: number }
  /** The simulator itself failed. */
  | { readonly type: 'broken'; readonly error: string };
