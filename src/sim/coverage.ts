import { FAULT_KINDS, type FaultKind } from './plan.js';
import type { FaultCount } from './report.js';

/** States worth reaching: a run that reaches none of them proves little. */
export const STATES = [
  'elections',
  'leaderChanges',
  'snapshotsTaken',
  'snapshotsInstalled',
  'snapshotsInterrupted',
  'truncations',
  'logReads',
  'jobsFromDisk',
  'reproposals',
  'nodeDowns',
  'nodesStalled',
  'leasesLost',
  'sessionResumes',
  'clocksNoticed',
  'clockHandovers',
  'fullDiskRefusals',
  'tornTails',
  'disksSetAside',
  'replacements',
  'fastFailovers',
  'ownEnds',
  'framesLost',
  'connectionsLost',
  'unsyncedBytesLost',
  'linearizableReads',
] as const;
export type State = (typeof STATES)[number];

/** What a run reached: kinds of faults, injected and with an effect, and states. */
export class Coverage {
  readonly #injected = new Map<FaultKind, number>();
  readonly #effective = new Map<FaultKind, number>();
  readonly #states = new Map<State, number>();

  injected(kind: FaultKind): void {
    this.#injected.set(kind, this.#of(this.#injected, kind) + 1);
  }

  /** At most once for each time that it was injected. */
  effective(kind: FaultKind): void {
    this.#effective.set(kind, this.#of(this.#effective, kind) + 1);
  }

  reached(state: State, times = 1): void {
    this.#states.set(state, this.#of(this.#states, state) + times);
  }

  count(state: State): number {
    return this.#of(this.#states, state);
  }

  faults(): Record<FaultKind, FaultCount> {
    const one = (kind: FaultKind): [FaultKind, FaultCount] => [
      kind,
      { injected: this.#of(this.#injected, kind), effective: this.#of(this.#effective, kind) },
    ];
    return Object.fromEntries(FAULT_KINDS.map(one)) as Record<FaultKind, FaultCount>;
  }

  states(): Record<string, number> {
    return Object.fromEntries(STATES.map((state) => [state, this.count(state)]));
  }

  #of<K>(counts: ReadonlyMap<K, number>, key: K): number {
    return counts.get(key) ?? 0;
  }
}
