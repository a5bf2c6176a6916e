/**
 * Every way in which Gearmesh says no, in one table. Each edge maps it once: gRPC status (`src/api`),
 * HTTP status (`src/http`), exit code (`src/cli`). `docs/errors.md` is made from it.
 */
export interface ErrorInfo {
  /** What went wrong, for a person. */
  readonly message: string;
  /** True where the same call may succeed later without being changed. */
  readonly retryable: boolean;
  /** What to do next, for a person. */
  readonly next: string;
}

export const ERRORS = {
  INVALID_FIELD: {
    message: 'a field of the request is not valid',
    retryable: false,
    next: 'correct the named field and call again',
  },
  PAYLOAD_TOO_LARGE: {
    message: 'the payload or result is larger than the limit',
    retryable: false,
    next: 'send less, or store the data elsewhere and send a reference to it',
  },
  LIMIT_REACHED: {
    message: 'a limit of the cluster is reached',
    retryable: true,
    next: 'wait as long as it says and try again; where it does not say how long, ask for less; or raise the named limit',
  },
  NOT_FOUND: {
    message: 'there is no such thing, or no longer',
    retryable: false,
    next: 'check the id and the namespace; finished jobs are kept for their retention time only',
  },
  ID_REUSED: {
    message: 'a job with this id exists and its content differs',
    retryable: false,
    next: 'use a new id for a new job',
  },
  ID_TOO_OLD: {
    message: 'the time inside the job id is too old to tell whether the job was accepted before',
    retryable: false,
    next: 'look for the effect of the earlier submission, then submit with a new id',
  },
  ID_IN_FUTURE: {
    message: 'the time inside the job id lies more than 60 s ahead of the cluster',
    retryable: false,
    next: 'correct the clock of the client',
  },
  LEASE_LOST: {
    message: 'the lease is over: the job was given to another worker, was cancelled or has ended',
    retryable: false,
    next: 'stop working on the job and discard its result',
  },
  SESSION_UNKNOWN: {
    message: 'the worker session is unknown or its secret is wrong',
    retryable: false,
    next: 'open a new session',
  },
  WRONG_STATE: {
    message: 'the job is in a state that does not allow this',
    retryable: false,
    next: 'look at the job and decide again',
  },
  NO_LEADER: {
    message: 'the cluster has no leader at the moment',
    retryable: true,
    next: 'try again; if it lasts, check that a majority of the nodes runs and can reach each other',
  },
  OUTCOME_UNKNOWN: {
    message: 'the node stopped before it learned whether this was done',
    retryable: false,
    next: 'call again with the same job id or lease token: repeating is safe then',
  },
  SHUTTING_DOWN: {
    message: 'the node is stopping',
    retryable: true,
    next: 'use another node',
  },
  CANCELLED: {
    message: 'the caller went away or its deadline passed',
    retryable: true,
    next: 'call again with a longer deadline',
  },
  UNAUTHENTICATED: {
    message: 'the caller did not prove who it is',
    retryable: false,
    next: 'send valid credentials',
  },
  PERMISSION_DENIED: {
    message: 'the caller may not do this',
    retryable: false,
    next: 'ask an operator for the permission',
  },
  INTERNAL: {
    message: 'a defect in Gearmesh',
    retryable: false,
    next: 'report it with the log of the node',
  },
} as const satisfies Record<string, ErrorInfo>;

export type ErrorCode = keyof typeof ERRORS;

/** What became of a call that could have changed something. */
export type CallOutcome = 'NOT_APPLIED' | 'UNKNOWN';

export interface FieldViolation {
  /** Path as in the proto, e.g. `jobs[3].retry.multiplier`. */
  readonly field: string;
  readonly description: string;
}

export interface GearmeshErrorOptions {
  /** Replaces the table's sentence where more can be said. */
  readonly message?: string;
  readonly outcome?: CallOutcome;
  readonly violations?: readonly FieldViolation[];
  /** e.g. the limit's name and value. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** When waiting helps, for how long: milliseconds. Null: it does not help, whatever the table says. */
  readonly retryAfterMs?: number | null;
}

/** The one error that callers of the inner rooms see. `outcome` is NOT_APPLIED unless said otherwise. */
export class GearmeshError extends Error {
  readonly code: ErrorCode;
  readonly outcome: CallOutcome;
  readonly violations: readonly FieldViolation[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | null | undefined;

  constructor(code: ErrorCode, options: GearmeshErrorOptions = {}) {
    super(options.message ?? ERRORS[code].message);
    this.name = 'GearmeshError';
    this.code = code;
    this.outcome = options.outcome ?? 'NOT_APPLIED';
    this.violations = options.violations ?? [];
    this.metadata = options.metadata ?? {};
    this.retryAfterMs = options.retryAfterMs;
  }

  get retryable(): boolean {
    return ERRORS[this.code].retryable && this.retryAfterMs !== null;
  }
}
