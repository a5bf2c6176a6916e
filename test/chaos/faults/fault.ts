import type { SeededRandom } from '../../../src/sim/random.js';
import type { RealNode } from '../../support/real-cluster.js';
import type { Stage } from '../stage.js';
import type { FaultKind } from './kinds.js';

/** A fault that is on. */
export interface Injected {
  /** To whom, for people. */
  readonly what: string;
  /** How long it is to last, milliseconds. */
  readonly lastsMs: number;
  /** Ends it, and resolves when the cluster is as whole as before: whether it was seen to have had an effect. */
  heal(): Promise<boolean>;
}

export interface Fault {
  readonly kind: FaultKind;
  /**
   * `nodes`: takes nodes, ways or disks away, one fault at a time, so that no majority of disks is ever spoilt.
   * `beside`: makes things worse while one of those goes on.
   */
  readonly lane: 'nodes' | 'beside';
  /** Why it cannot be had on this machine; '' when it can. */
  whyNot(stage: Stage): string;
  /** Null: there is nothing that it could be done to just now. */
  inject(stage: Stage, random: SeededRandom): Promise<Injected | null>;
}

export const nothingAgainst = (): string => '';

/** The leader half of the time, else any node. */
export async function someNode(stage: Stage, random: SeededRandom): Promise<RealNode> {
  const leader = random.chance(500) ? await stage.leader() : null;
  return leader ?? random.pick(stage.cluster.nodes);
}

/** Any order, by the seed. */
export function shuffled<T>(items: readonly T[], random: SeededRandom): T[] {
  const rest = [...items];
  const order: T[] = [];
  while (rest.length > 0) order.push(...rest.splice(random.below(rest.length), 1));
  return order;
}

export function namesOf(nodes: readonly RealNode[]): string {
  return nodes.map((node) => node.name).join(', ');
}
