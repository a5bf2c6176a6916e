import type { Clock } from '../base/clock.js';
import type { Role } from '../consensus/types.js';
import { Clocks, type ClocksParts } from './clocks.js';
import type { SnapshotStage } from './snapshot-turns.js';

/** What every node tells every other a few times per second. */
export interface NodeStatus {
  readonly role: Role;
  readonly term: number;
  readonly leader: string;
  readonly applied: number;
  readonly commit: number;
  readonly lastIndex: number;
  readonly logBytes: number;
  /** The disk's reserve is touched: no new jobs should be accepted. */
  readonly diskLow: boolean;
  /** It is being stopped: no place for the leadership. */
  readonly draining: boolean;
  readonly snapshot: SnapshotStage;
  /** Clients or workers here wait for what is committed. */
  readonly attached: boolean;
  /** Newest index at which the state hash was taken, with the hash. */
  readonly hashIndex: number;
  readonly hash: string;
}

export interface KnownStatus {
  readonly status: NodeStatus;
  /** Monotonic ms of its arrival. */
  readonly atMs: number;
}

/** Reads a status from a peer; null when it is not one. */
export function readStatus(body: unknown): NodeStatus | null {
  if (typeof body !== 'object' || body === null) return null;
  const s = body as Record<string, unknown>;
  const numbers = [s.term, s.applied, s.commit, s.lastIndex, s.logBytes, s.hashIndex];
  if (!numbers.every((n) => typeof n === 'number' && Number.isFinite(n))) return null;
  if (typeof s.leader !== 'string' || typeof s.hash !== 'string' || typeof s.diskLow !== 'boolean')
    return null;
  if (s.role !== 'leader' && s.role !== 'follower' && s.role !== 'candidate' && s.role !== 'learner')
    return null;
  const snapshot = s.snapshot === 'due' || s.snapshot === 'taking' ? s.snapshot : 'none';
  const known = s as unknown as NodeStatus;
  return { ...known, draining: s.draining === true, attached: s.attached !== false, snapshot };
}

/** The wall clock in the answer to a status, read when the question had arrived; null when there is none. */
export function readWall(answer: unknown): number | null {
  if (typeof answer !== 'object' || answer === null) return null;
  const { wall } = answer as Record<string, unknown>;
  return typeof wall === 'number' && Number.isFinite(wall) ? wall : null;
}

/** The last word of each peer, its clock, and since when it can be reached. */
export class StatusBoard {
  readonly clocks: Clocks;
  readonly #clock: Clock;
  readonly #known = new Map<string, KnownStatus>();
  readonly #since = new Map<string, number>();

  constructor(parts: ClocksParts) {
    this.#clock = parts.clock;
    this.clocks = new Clocks(parts);
  }

  heard(name: string, status: NodeStatus): void {
    this.#known.set(name, { status, atMs: this.#clock.monotonicMs() });
  }

  connected(name: string): void {
    this.#since.set(name, this.#clock.wallMs());
  }

  lost(name: string): void {
    this.#since.delete(name);
  }

  of(name: string): KnownStatus | null {
    return this.#known.get(name) ?? null;
  }

  /** Wall ms, 0 while it cannot be reached. */
  reachableSince(name: string): number {
    return this.#since.get(name) ?? 0;
  }

  all(): IterableIterator<[string, KnownStatus]> {
    return this.#known.entries();
  }
}
