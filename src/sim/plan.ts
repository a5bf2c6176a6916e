import { SeededRandom } from './random.js';

/**
 * What can be done to a cluster. `duplication` of frames is not among them: a connection is ordered and loses or
 * delivers, as TCP does, so nothing comes twice but what the product itself sends again. That happens whenever a
 * connection is cut with frames under way (`flap`, partitions) or frames are lost (`message-loss`).
 */
export const FAULT_KINDS = [
  /** The process is killed at an event drawn by chance, also in the middle of a write; what it wrote stays. */
  'crash',
  /** The process is asked to end, and started again. */
  'stop',
  /** The machine loses power: of what was not synced, any sectors may be gone. */
  'power-loss',
  /** All machines at one moment. */
  'power-loss-all',
  /** As `power-loss`, in the middle of a write, whose last sector may be half there. */
  'torn-write',
  /** A bit of what was synced is turned on one disk. */
  'bit-flip',
  /** The disk says that a sync failed. */
  'sync-fails',
  'disk-full',
  'slow-disk',
  /** A wall clock is set, forward or back. */
  'clock-jump',
  /** A process stands still, its sockets stay open; then it goes on and finds everything late. */
  'pause',
  'message-loss',
  /** Frames take long, those of different channels overtake each other. */
  'message-delay',
  'one-way-partition',
  /** A minority and a majority hear nothing of each other. */
  'partition',
  /** Two nodes hear nothing of each other, a third hears both. */
  'partial-partition',
  /** The leader's connections break and come back, several times in a row. */
  'flap',
  /** A node is stopped and comes back with another disk, by `replaceNode`, while leaders may change. */
  'membership',
  'transfer',
  'snapshot',
  /** A disk is lost with all that is on it, and the node replaced later. */
  'wipe',
  /** A leader loses all its connections at once, so that another leads while clients still ask the first. */
  'deposed-leader',
  /** The leader falls silent in the moment in which one who has missed entries of its term can be heard again. */
  'laggard',
  /** A majority has entries of an earlier term when the leader dies, and one leads that never had them. */
  'old-entries',
  /** A node dies for a while, and the leader changes before it has noticed. */
  'silent-node',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** One simulated life of a cluster, before it begins. Plain data: it can be printed, cut down and run again. */
export interface SimPlan {
  readonly seed: number;
  readonly nodes: number;
  /** Virtual milliseconds of load with faults. */
  readonly chaosMs: number;
  /** Calls that clients and workers have made at least when the faults end. */
  readonly operations: number;
  readonly clients: number;
  readonly workers: number;
  readonly faults: readonly FaultKind[];
}

const CHAOS_MS = 60_000;
const OPERATIONS = 2_000;

/** Everything from the seed, the same for ever. */
export function planOf(seed: number): SimPlan {
  const random = new SeededRandom(seed);
  const nodes = random.below(3) === 0 ? 5 : 3;
  // Some lives see a few kinds, often and together; others see everything.
  const share = random.pick([250, 400, 600, 1_000]);
  const faults = FAULT_KINDS.filter(() => random.chance(share));
  return {
    seed,
    nodes,
    chaosMs: CHAOS_MS,
    operations: OPERATIONS,
    clients: random.pick([3, 4, 6]),
    workers: random.pick([3, 5, 8]),
    faults: faults.length > 0 ? faults : ['crash'],
  };
}
