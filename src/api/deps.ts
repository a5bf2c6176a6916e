import type { Clock } from '../base/clock.js';
import type { NodeApi } from '../node/interface.js';
import type { ApiLimits } from './limits.js';

/** The part of a logger that this room uses (pino's has it). */
export interface ApiLog {
  info(values: Readonly<Record<string, unknown>>, message: string): void;
  warn(values: Readonly<Record<string, unknown>>, message: string): void;
  error(values: Readonly<Record<string, unknown>>, message: string): void;
}

export interface ApiMetrics {
  /** A call ended. `method` as in `gearmesh.v1.JobService/SubmitJob`, `code` as in `INVALID_ARGUMENT`. */
  rpc(method: string, code: string): void;
  /** A caller was told an error, for a whole call or one of its items. `reason` as in the table of errors. */
  error(reason: string): void;
}

/** What every handler may use. */
export interface Deps {
  readonly api: NodeApi;
  readonly clock: Clock;
  readonly log: ApiLog;
  readonly limits: ApiLimits;
  readonly metrics: ApiMetrics | null;
  /** Aborted when the node begins to stop: no new calls, and what only watches ends. */
  readonly draining: AbortSignal;
}
