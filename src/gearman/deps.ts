import type { Clock } from '../base/clock.js';
import type { NodeApi } from '../node/interface.js';
import type { GearmanLimits } from './limits.js';
import type { TurnWrites } from './turn-writes.js';

/** The part of a logger that this room uses (pino's has it). */
export interface GearmanLog {
  info(values: Readonly<Record<string, unknown>>, message: string): void;
  warn(values: Readonly<Record<string, unknown>>, message: string): void;
  error(values: Readonly<Record<string, unknown>>, message: string): void;
}

export interface GearmanMetrics {
  /** A request came: a packet's name, or `text`. */
  gearmanPacket(type: string): void;
  /** An ERROR packet or an ERR line went out. */
  gearmanError(code: string): void;
}

/** One connection, as `workers` lists it. */
export interface Listed {
  readonly number: number;
  readonly address: string;
  readonly clientId: string;
  readonly functions: Iterable<string>;
  /** Number of its worker's session, 0: none. */
  readonly session: number;
}

/** An upload, as those see it that need its place. */
export interface Silent {
  /** For how long nothing came, milliseconds; 0 while the node itself is busy with it. */
  readonly silentMs: number;
  /** Ends it, with its connection. */
  evict(): void;
}

/** What every part of the gateway may use. */
export interface Deps {
  readonly api: NodeApi;
  readonly clock: Clock;
  readonly log: GearmanLog;
  readonly limits: GearmanLimits;
  readonly metrics: GearmanMetrics | null;
  /** Times that a job's worker may be lost before the job fails; 0: no limit. */
  readonly jobRetries: number;
  /** Stops this node; null where the `shutdown` command is not allowed. */
  readonly shutdown: (() => void) | null;
  /** Payloads and results that are on their way into blobs, on all connections. */
  readonly uploads: Set<Silent>;
  readonly writes: TurnWrites;
  readonly connections: () => Iterable<Listed>;
}

/** A signal that is aborted after a while. `done` is to be called when nobody listens any more. */
export function within(clock: Clock, ms: number): { readonly signal: AbortSignal; done(): void } {
  const controller = new AbortController();
  const timer = clock.setTimer(ms, () => controller.abort());
  return { signal: controller.signal, done: () => timer.cancel() };
}
