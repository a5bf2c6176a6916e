import { Metadata, status } from '@grpc/grpc-js';
import { BadRequest, ErrorInfo, RetryInfo } from '../../proto/gen/google/rpc/error_details.js';
import { Status } from '../../proto/gen/google/rpc/status.js';
import { toBuffer } from '../../proto/gen/to-buffer.js';
import { ERRORS, type ErrorCode, GearmeshError } from '../core/errors.js';
import { tooLarge } from '../core/limits.js';
import type { Deps } from './deps.js';
import { toDuration } from './time.js';

/** The one place where our errors become gRPC's. UNAVAILABLE is for what was surely not applied. */
export const GRPC_STATUS: { readonly [code in ErrorCode]: status } = {
  INVALID_FIELD: status.INVALID_ARGUMENT,
  PAYLOAD_TOO_LARGE: status.RESOURCE_EXHAUSTED,
  LIMIT_REACHED: status.RESOURCE_EXHAUSTED,
  NOT_FOUND: status.NOT_FOUND,
  ID_REUSED: status.ALREADY_EXISTS,
  ID_TOO_OLD: status.FAILED_PRECONDITION,
  ID_IN_FUTURE: status.FAILED_PRECONDITION,
  LEASE_LOST: status.FAILED_PRECONDITION,
  SESSION_UNKNOWN: status.FAILED_PRECONDITION,
  WRONG_STATE: status.FAILED_PRECONDITION,
  NO_LEADER: status.UNAVAILABLE,
  OUTCOME_UNKNOWN: status.ABORTED,
  SHUTTING_DOWN: status.UNAVAILABLE,
  CANCELLED: status.CANCELLED,
  UNAUTHENTICATED: status.UNAUTHENTICATED,
  PERMISSION_DENIED: status.PERMISSION_DENIED,
  INTERNAL: status.INTERNAL,
};

/** How long to wait where the error does not say, milliseconds; only what is retryable. */
const RETRY_AFTER_MS: { readonly [code in ErrorCode]?: number } = {
  LIMIT_REACHED: 1_000,
  NO_LEADER: 200,
  SHUTTING_DOWN: 100,
};

/** What these say is that nobody can tell: an id may be too old exactly because its job was accepted and done. */
const ALWAYS_UNKNOWN: ReadonlySet<ErrorCode> = new Set(['OUTCOME_UNKNOWN', 'ID_TOO_OLD']);

const ERROR_DOMAIN = 'gearmesh';
export const DETAILS_TRAILER = 'grpc-status-details-bin';
const TYPE_PREFIX = 'type.googleapis.com/';

/** Trailers must fit the 8 KiB of headers that many clients accept at most: message percent-encoded, details in base64. */
const MESSAGE_BYTES_MAX = 700;
const VIOLATION_BYTES_MAX = 160;
const VIOLATIONS_BYTES_MAX = 2_400;
const METADATA_SENT_MAX = 8;
const METADATA_BYTES_MAX = 80;

/** The text's beginning, in whole characters. */
function cut(text: string, mostBytes: number): string {
  // Half of a surrogate pair cannot be sent: the round trip replaces it.
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= mostBytes) return bytes.toString('utf8');
  let end = mostBytes - 3;
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return `${bytes.toString('utf8', 0, end)}…`;
}

/** What a caller of ours threw, as an error of the table: anything unexpected is a defect. */
function asGearmeshError(error: unknown): GearmeshError {
  if (error instanceof GearmeshError) return error;
  const why = error instanceof Error ? error.message : String(error);
  return new GearmeshError('INTERNAL', { message: `a defect in Gearmesh: ${why}`, outcome: 'UNKNOWN' });
}

/**
 * UNAVAILABLE promises that nothing was applied, so an unknown outcome takes its own code, and the first
 * reason stays in the metadata.
 */
function truthful(error: GearmeshError): GearmeshError {
  if (error.outcome !== 'UNKNOWN' || GRPC_STATUS[error.code] !== status.UNAVAILABLE) return error;
  return new GearmeshError('OUTCOME_UNKNOWN', {
    message: error.message,
    outcome: 'UNKNOWN',
    metadata: { ...error.metadata, cause: error.code },
  });
}

function violationsOf(error: GearmeshError) {
  const sent = [];
  let room = VIOLATIONS_BYTES_MAX;
  for (const violation of error.violations) {
    const field = cut(violation.field, VIOLATION_BYTES_MAX);
    const description = cut(violation.description, VIOLATION_BYTES_MAX);
    room -= Buffer.byteLength(field) + Buffer.byteLength(description) + 10;
    if (room < 0) break;
    sent.push({ field, description, reason: '', localizedMessage: undefined });
  }
  const more = error.violations.length - sent.length;
  if (more > 0) {
    sent.push({ field: '', description: `and ${more} more`, reason: '', localizedMessage: undefined });
  }
  return sent;
}

/** The error as google.rpc.Status with its details. `code` replaces the table's, e.g. for a passed deadline. */
export function toStatus(thrown: unknown, code?: status): Status {
  const error = truthful(asGearmeshError(thrown));
  const metadata: Record<string, string> = {};
  for (const [key, value] of Object.entries(error.metadata).slice(0, METADATA_SENT_MAX)) {
    metadata[cut(key, METADATA_BYTES_MAX)] = cut(value, METADATA_BYTES_MAX);
  }
  metadata.outcome = ALWAYS_UNKNOWN.has(error.code) ? 'UNKNOWN' : error.outcome;
  const details = [
    {
      typeUrl: `${TYPE_PREFIX}google.rpc.ErrorInfo`,
      value: toBuffer(ErrorInfo, { reason: error.code, domain: ERROR_DOMAIN, metadata }),
    },
  ];
  if (error.violations.length > 0) {
    const value = toBuffer(BadRequest, { fieldViolations: violationsOf(error) });
    details.push({ typeUrl: `${TYPE_PREFIX}google.rpc.BadRequest`, value });
  }
  const waitMs = error.retryAfterMs === undefined ? RETRY_AFTER_MS[error.code] : error.retryAfterMs;
  if (waitMs !== undefined && waitMs !== null) {
    const value = toBuffer(RetryInfo, { retryDelay: toDuration(waitMs) });
    details.push({ typeUrl: `${TYPE_PREFIX}google.rpc.RetryInfo`, value });
  }
  return { code: code ?? GRPC_STATUS[error.code], message: cut(error.message, MESSAGE_BYTES_MAX), details };
}

/** As `toStatus`, for an error that stands inside an answer; counted. */
export function toldStatus(deps: Pick<Deps, 'metrics'>, thrown: unknown): Status {
  deps.metrics?.error(reasonOf(thrown));
  return toStatus(thrown);
}

/** The reason by which the caller will know the error. */
function reasonOf(thrown: unknown): ErrorCode {
  return truthful(asGearmeshError(thrown)).code;
}

/** What grpc-js sends at the end of a call: code, message, and the details as a trailer. */
export interface CallStatus {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
  /** For the metrics; callers find it in the trailer. */
  readonly reason: ErrorCode;
}

export function toCallStatus(thrown: unknown, code?: status): CallStatus {
  const made = toStatus(thrown, code);
  const metadata = new Metadata();
  metadata.set(DETAILS_TRAILER, toBuffer(Status, made));
  return { code: made.code, details: made.message, metadata, reason: reasonOf(thrown) };
}

/**
 * Gives details to the refusals that grpc-js makes by itself, before a handler sees anything: messages over the
 * limit, broken compression, deadlines.
 */
export function explainLibraryStatus(code: status, details: string, messageBytesMax: number): CallStatus {
  switch (code) {
    case status.RESOURCE_EXHAUSTED:
      return toCallStatus(
        tooLarge('messageBytesMax', messageBytesMax, `${ERRORS.PAYLOAD_TOO_LARGE.message}: ${details}`),
      );
    case status.DEADLINE_EXCEEDED:
      return toCallStatus(
        new GearmeshError('CANCELLED', { message: 'the deadline passed', outcome: 'UNKNOWN' }),
        code,
      );
    case status.CANCELLED:
      return toCallStatus(new GearmeshError('CANCELLED', { message: details, outcome: 'UNKNOWN' }));
    case status.UNIMPLEMENTED:
      return toCallStatus(new GearmeshError('INVALID_FIELD', { message: details }), code);
    default:
      return toCallStatus(new GearmeshError('INTERNAL', { message: details, outcome: 'UNKNOWN' }), code);
  }
}
