import { runSeed, type RunReport as Seed } from '../../../src/sim/run.js';

/** What the simulator does to a cluster. */
export const FAULT_KINDS = ['crash', 'message-loss', 'power-loss'] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export interface SimPlan {
  readonly seed: number;
  readonly nodes: number;
  readonly chaosMs: number;
  readonly operations: number;
  readonly clients: number;
  readonly workers: number;
  readonly faults: readonly FaultKind[];
}

export interface SimViolation {
  /** Judged on what clients and workers saw, or by looking into the nodes. */
  readonly seenBy: 'history' | 'inside';
  readonly rule: string;
  readonly text: string;
}

export interface RunReport {
  readonly plan: SimPlan;
  readonly traceHash: string;
  readonly violations: readonly SimViolation[];
  readonly faults: Readonly<Record<FaultKind, { injected: number; effective: number }>>;
  readonly states: Readonly<Record<string, number>>;
  readonly operations: number;
  readonly acknowledged: number;
  readonly virtualMs: number;
  readonly events: number;
}

export function planOf(seed: number): SimPlan {
  return {
    seed,
    nodes: seed % 3 === 0 ? 5 : 3,
    chaosMs: 10_000,
    operations: 2_000,
    clients: 3,
    workers: 4,
    faults: FAULT_KINDS,
  };
}

export async function runPlan(
  plan: SimPlan,
  options: { readonly lines?: (line: string) => void } = {},
): Promise<RunReport> {
  const { seed, nodes, chaosMs, clients, workers } = plan;
  const report: Seed = await runSeed({ seed, nodes, chaosMs, clients, workers, ...options });
  return {
    plan,
    traceHash: report.traceHash,
    violations: report.violations.map((text) => ({ seenBy: 'inside', rule: 'seed', text })),
    faults: {
      crash: { injected: report.crashes, effective: report.crashes },
      'message-loss': { injected: report.framesLost, effective: report.framesLost },
      'power-loss': { injected: report.crashes, effective: report.unsyncedLost > 0 ? 1 : 0 },
    },
    states: {
      leaderChanges: report.leaderChanges,
      snapshotsInstalled: report.installs,
      snapshots: report.snapshots,
    },
    operations: report.acknowledged,
    acknowledged: report.acknowledged,
    virtualMs: report.virtualMs,
    events: report.events,
  };
}
