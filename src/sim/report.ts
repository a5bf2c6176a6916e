import type { History } from '../checker/index.js';
import type { FaultKind, SimPlan } from './plan.js';

/** A promise that was not kept. */
export interface SimViolation {
  /** Judged on the history of clients and workers alone, or by looking into the nodes. */
  readonly seenBy: 'history' | 'inside';
  readonly rule: string;
  readonly text: string;
}

/** How often a kind of fault was brought about, and how often it changed anything. */
export interface FaultCount {
  readonly injected: number;
  readonly effective: number;
}

/** What became of one run. Equal for two runs of one plan, but for nothing. */
export interface RunReport {
  readonly plan: SimPlan;
  readonly traceHash: string;
  /** Empty when every promise was kept. */
  readonly violations: readonly SimViolation[];
  readonly faults: Readonly<Record<FaultKind, FaultCount>>;
  /** States worth reaching, by name: how often. */
  readonly states: Readonly<Record<string, number>>;
  readonly operations: number;
  /** Submitted jobs that were acknowledged. */
  readonly acknowledged: number;
  readonly virtualMs: number;
  readonly events: number;
  readonly history: History;
}
