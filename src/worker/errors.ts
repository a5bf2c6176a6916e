/** Thrown by a handler: trying again is useless, the job fails at once. */
export class NonRetryableError extends Error {
  override name = 'NonRetryableError';
  /** A word for programs, kept as the job's error code. */
  readonly code: string;
  /** Whatever else is to be kept with the job. */
  readonly details: Uint8Array | undefined;

  constructor(message: string, options: { code?: string; details?: Uint8Array; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = options.code ?? 'NON_RETRYABLE';
    this.details = options.details;
  }
}

/** Thrown by a handler: the attempt failed; try again, but not before this pause. */
export class RetryAfter extends Error {
  override name = 'RetryAfter';
  readonly code: string;
  readonly delayMs: number;

  constructor(delayMs: number, message = '', options: { code?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    if (!(delayMs >= 0 && Number.isFinite(delayMs))) throw new RangeError(`${delayMs} is not a pause`);
    this.code = options.code ?? 'RETRY_AFTER';
    this.delayMs = delayMs;
  }
}

/**
 * Why `ctx.signal` was aborted; found as `ctx.signal.reason`.
 *
 * `cancelled`: somebody wants the job to end; an outcome given within the grace still counts. `timeout`: its run
 * timeout passed. `lease-lost`: the job is no longer this worker's, and its outcome counts for nothing. `stopping`:
 * the worker stops, and the job goes back to its queue.
 */
export class JobAbortedError extends Error {
  override name = 'JobAbortedError';
  readonly kind: 'cancelled' | 'timeout' | 'lease-lost' | 'stopping';

  constructor(kind: JobAbortedError['kind'], message: string) {
    super(message);
    this.kind = kind;
  }
}
