import { FAULT_KINDS, type FaultKind } from '../../../src/sim/plan.js';
import type { Outcome } from './messages.js';

/** From so many seeds on, a kind of fault that never had an effect means that it is not injected as it should be. */
export const ENOUGH_SEEDS = 200;

/** What all runs together came to. */
export class Tally {
  seeds = 0;
  failed = 0;
  virtualMs = 0;
  cpuMs = 0;
  operations = 0;
  acknowledged = 0;
  readonly faults = new Map<FaultKind, { injected: number; effective: number }>();
  readonly states = new Map<string, number>();
  /** Seeds in which the state was reached. */
  readonly seedsWith = new Map<string, number>();
  /** Seeds by the number of nodes. */
  readonly sizes = new Map<number, number>();

  add(outcome: Outcome): void {
    this.seeds += 1;
    if (outcome.violations.length > 0) this.failed += 1;
    this.virtualMs += outcome.virtualMs;
    this.cpuMs += outcome.cpuMs;
    this.operations += outcome.operations;
    this.acknowledged += outcome.acknowledged;
    plus(this.sizes, outcome.plan.nodes, 1);
    for (const kind of outcome.plan.faults) {
      const sum = this.faults.get(kind) ?? { injected: 0, effective: 0 };
      sum.injected += outcome.faults[kind]?.injected ?? 0;
      sum.effective += outcome.faults[kind]?.effective ?? 0;
      this.faults.set(kind, sum);
    }
    for (const [state, times] of Object.entries(outcome.states)) {
      plus(this.states, state, times);
      if (times > 0) plus(this.seedsWith, state, 1);
    }
  }

  /** Kinds of faults that were asked for and never made a difference. */
  get idle(): FaultKind[] {
    return FAULT_KINDS.filter((kind) => this.faults.get(kind)?.effective === 0);
  }

  /** Virtual hours in a minute of real time. */
  hoursAMinute(elapsedMs: number): number {
    return this.virtualMs / 3_600_000 / (Math.max(1, elapsedMs) / 60_000);
  }

  /** Virtual minutes in a second of CPU time. */
  get minutesACpuSecond(): number {
    return this.virtualMs / 60_000 / (Math.max(1, this.cpuMs) / 1_000);
  }

  progress(of: number, elapsedMs: number): string {
    const all = Number.isFinite(of) ? ` of ${of}` : '';
    return (
      `${this.seeds}${all} seeds, ${this.failed} failed, ` +
      `${this.hoursAMinute(elapsedMs).toFixed(2)} virtual hours a minute, ${Math.round(elapsedMs / 1_000)} s`
    );
  }

  report(elapsedMs: number): string {
    const sizes = [...this.sizes].sort(([a], [b]) => a - b);
    const lines = [
      `${this.seeds} seeds (${sizes.map(([nodes, seeds]) => `${seeds} of ${nodes} nodes`).join(', ')}), ${this.failed} failed, in ${Math.round(elapsedMs / 1_000)} s`,
      `${(this.virtualMs / 3_600_000).toFixed(2)} virtual hours: ${this.hoursAMinute(elapsedMs).toFixed(2)} in a minute, ${this.minutesACpuSecond.toFixed(2)} virtual minutes in a second of CPU`,
      `${this.operations} operations, ${this.acknowledged} acknowledged jobs`,
      '',
      ...table(
        ['fault', 'injected', 'with an effect'],
        FAULT_KINDS.filter((kind) => this.faults.has(kind)).map((kind) => {
          const { injected, effective } = this.faults.get(kind)!;
          return [kind, String(injected), String(effective)];
        }),
      ),
      '',
      ...table(
        ['state', 'times', 'seeds'],
        [...this.states].map(([state, times]) => [
          state,
          String(times),
          String(this.seedsWith.get(state) ?? 0),
        ]),
      ),
    ];
    if (this.idle.length > 0) {
      lines.push('', `faults without any effect: ${this.idle.join(', ')}`);
    }
    return `${lines.join('\n')}\n`;
  }
}

function plus<K>(map: Map<K, number>, key: K, times: number): void {
  map.set(key, (map.get(key) ?? 0) + times);
}

/** Columns as wide as they must be: the first to the left, all others are numbers. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return all.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd(),
  );
}
