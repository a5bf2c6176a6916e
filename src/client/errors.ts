/** Reasons that servers give, as in docs/errors.md, and those that the SDK adds by itself. */
export type Reason =
  | 'INVALID_FIELD'
  | 'PAYLOAD_TOO_LARGE'
  | 'LIMIT_REACHED'
  | 'NOT_FOUND'
  | 'ID_REUSED'
  | 'ID_TOO_OLD'
  | 'ID_IN_FUTURE'
  | 'LEASE_LOST'
  | 'SESSION_UNKNOWN'
  | 'WRONG_STATE'
  | 'NO_LEADER'
  | 'OUTCOME_UNKNOWN'
  | 'SHUTTING_DOWN'
  | 'CANCELLED'
  | 'UNAUTHENTICATED'
  | 'PERMISSION_DENIED'
  | 'INTERNAL'
  /** No endpoint could be reached: nothing was sent. */
  | 'CONNECTION_FAILED'
  /** The connection broke before an answer came. */
  | 'CONNECTION_LOST'
  /** The call's own time was over. */
  | 'TIMED_OUT'
  /** The call's AbortSignal was aborted. */
  | 'ABORTED'
  /** The client was closed. */
  | 'CLOSED'
  /** What was to be the payload broke off: a stream of the caller's. */
  | 'PAYLOAD_STREAM_FAILED'
  /** A payload stream was lost with its node and cannot be read again. */
  | 'PAYLOAD_LOST'
  | 'JOB_FAILED'
  | 'JOB_CANCELLED'
  | 'JOB_EXPIRED'
  /** An error that names none, e.g. of a proxy on the way. */
  | 'OTHER'
  | (string & {});

/** gRPC status names. */
export type StatusCode =
  | 'OK'
  | 'CANCELLED'
  | 'UNKNOWN'
  | 'INVALID_ARGUMENT'
  | 'DEADLINE_EXCEEDED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'PERMISSION_DENIED'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'OUT_OF_RANGE'
  | 'UNIMPLEMENTED'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  | 'DATA_LOSS'
  | 'UNAUTHENTICATED';

/** Whether a call that failed has changed something: certainly not, or nobody knows. */
export type Outcome = 'NOT_APPLIED' | 'UNKNOWN';

export interface FieldViolation {
  /** Path as in the proto, e.g. `job.retry.multiplier`. */
  readonly field: string;
  readonly description: string;
}

export interface GearmeshErrorOptions {
  readonly outcome?: Outcome;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly violations?: readonly FieldViolation[];
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/**
 * What every promise of the SDK rejects with.
 *
 * @example
 * try {
 *   await client.submit('resize', bytes);
 * } catch (error) {
 *   if (error instanceof GearmeshError && error.reason === 'LIMIT_REACHED') await wait(error.retryAfterMs ?? 1000);
 *   else throw error;
 * }
 */
export class GearmeshError extends Error {
  override name = 'GearmeshError';
  /** gRPC status name. */
  readonly code: StatusCode;
  readonly reason: Reason;
  /** NOT_APPLIED: the call changed nothing. UNKNOWN: it may have; for a submission see `jobId` in `metadata`. */
  readonly outcome: Outcome;
  /** As the server gave it, e.g. `limit` and `value` with LIMIT_REACHED. */
  readonly metadata: Readonly<Record<string, string>>;
  /** With INVALID_FIELD: the fields. */
  readonly violations: readonly FieldViolation[];
  /** How long to wait before trying again, in milliseconds, where waiting helps. */
  readonly retryAfterMs: number | undefined;

  constructor(code: StatusCode, reason: Reason, message: string, options: GearmeshErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.reason = reason;
    this.outcome = options.outcome ?? 'NOT_APPLIED';
    this.metadata = options.metadata ?? {};
    this.violations = options.violations ?? [];
    this.retryAfterMs = options.retryAfterMs;
  }

  /** The same error, known to have an unknown outcome. */
  inDoubt(): GearmeshError {
    return this.#with('UNKNOWN');
  }

  /** The same error, known to have changed nothing. */
  certain(): GearmeshError {
    return this.#with('NOT_APPLIED');
  }

  #with(outcome: Outcome): GearmeshError {
    if (this.outcome === outcome) return this;
    return new GearmeshError(this.code, this.reason, this.message, {
      outcome,
      metadata: this.metadata,
      violations: this.violations,
      retryAfterMs: this.retryAfterMs,
      cause: this.cause,
    });
  }
}

/** The call's AbortSignal was aborted; `cause` is the signal's reason. */
export class AbortedError extends GearmeshError {
  override name = 'AbortError';

  constructor(signal: AbortSignal, outcome: Outcome) {
    super('CANCELLED', 'ABORTED', 'the call was aborted by its signal', { outcome, cause: signal.reason });
  }
}

/** How a job ended that did not succeed. */
export interface JobEnd {
  readonly jobId: string;
  /** Attempts begun. */
  readonly attempt: number;
  /** A word for programs: chosen by the worker, or TIMEOUT, LEASE_LOST, WORKER_LOST, EXPIRED, CANCELLED. */
  readonly errorCode: string;
  readonly errorMessage: string;
  /** Whatever else the worker wanted to keep. */
  readonly details: Uint8Array;
}

/** A job ended otherwise than by success: one of the three below. */
export class JobEndedError extends GearmeshError implements JobEnd {
  override name = 'JobEndedError';
  readonly jobId: string;
  readonly attempt: number;
  readonly errorCode: string;
  readonly errorMessage: string;
  readonly details: Uint8Array;

  constructor(code: StatusCode, reason: Reason, verb: string, end: JobEnd) {
    const why = end.errorMessage === '' ? end.errorCode : `${end.errorCode}: ${end.errorMessage}`;
    super(code, reason, `job ${end.jobId} ${verb}${why === '' ? '' : ` (${why})`}`);
    this.jobId = end.jobId;
    this.attempt = end.attempt;
    this.errorCode = end.errorCode;
    this.errorMessage = end.errorMessage;
    this.details = end.details;
  }
}

/** Its last attempt failed. */
export class JobFailedError extends JobEndedError {
  override name = 'JobFailedError';

  constructor(end: JobEnd) {
    super('ABORTED', 'JOB_FAILED', 'failed', end);
  }
}

/** Somebody cancelled it. */
export class JobCancelledError extends JobEndedError {
  override name = 'JobCancelledError';

  constructor(end: JobEnd) {
    super('CANCELLED', 'JOB_CANCELLED', 'was cancelled', end);
  }
}

/** No attempt began before its start deadline. */
export class JobExpiredError extends JobEndedError {
  override name = 'JobExpiredError';

  constructor(end: JobEnd) {
    super('DEADLINE_EXCEEDED', 'JOB_EXPIRED', 'expired', end);
  }
}

export function timedOut(what: string, outcome: Outcome, cause?: unknown): GearmeshError {
  return new GearmeshError('DEADLINE_EXCEEDED', 'TIMED_OUT', `${what} took longer than its timeout`, {
    outcome,
    cause,
  });
}

export function closedError(outcome: Outcome): GearmeshError {
  return new GearmeshError('CANCELLED', 'CLOSED', 'the client was closed', { outcome });
}
