import { status as grpcStatus, type Metadata } from '@grpc/grpc-js';
import { BadRequest, ErrorInfo, RetryInfo } from '../../proto/gen/google/rpc/error_details.js';
import { Status } from '../../proto/gen/google/rpc/status.js';
import { type FieldViolation, GearmeshError, type Outcome, type Reason, type StatusCode } from './errors.js';

const DOMAIN = 'gearmesh';
const TRAILER = 'grpc-status-details-bin';

/** How grpc-js tells of the end of a call; a `ServiceError` is one too. */
export interface CallStatus {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
}

/** Codes with which a broken connection shows itself when they come without a word of the server. */
const BROKEN = new Set<number>([
  grpcStatus.UNAVAILABLE,
  grpcStatus.INTERNAL,
  grpcStatus.CANCELLED,
  grpcStatus.UNKNOWN,
]);

/** Reasons for which the same thing said again, to another node, may well succeed. */
const TRY_AGAIN = new Set<Reason>(['NO_LEADER', 'SHUTTING_DOWN', 'OUTCOME_UNKNOWN', 'CONNECTION_LOST']);

/** True where repeating may help; whether repeating is harmless is for the caller to know. */
export function worthRepeating(error: GearmeshError): boolean {
  return TRY_AGAIN.has(error.reason) || error.code === 'UNAVAILABLE';
}

/** From the end of a call that was sent. */
export function errorOfCall(status: CallStatus): GearmeshError {
  const trailer = status.metadata.get(TRAILER)[0];
  if (trailer instanceof Uint8Array) {
    const decoded = decodeStatus(trailer);
    if (decoded !== null) return errorOfStatus(decoded);
  }
  const code = codeName(status.code);
  if (BROKEN.has(status.code)) {
    return new GearmeshError('UNAVAILABLE', 'CONNECTION_LOST', `the connection was lost: ${status.details}`, {
      outcome: 'UNKNOWN',
    });
  }
  if (status.code === grpcStatus.DEADLINE_EXCEEDED) {
    return new GearmeshError(code, 'TIMED_OUT', status.details, { outcome: 'UNKNOWN' });
  }
  return new GearmeshError(code, 'OTHER', status.details);
}

/** From a `google.rpc.Status`: what a trailer or a result by position holds. */
export function errorOfStatus(status: Status): GearmeshError {
  let reason: Reason = 'OTHER';
  let metadata: Record<string, string> = {};
  let violations: FieldViolation[] = [];
  let retryAfterMs: number | undefined;
  for (const any of status.details) {
    if (any.typeUrl.endsWith('/google.rpc.ErrorInfo')) {
      const info = ErrorInfo.decode(any.value);
      if (info.domain !== DOMAIN) continue;
      reason = info.reason;
      metadata = info.metadata;
    } else if (any.typeUrl.endsWith('/google.rpc.BadRequest')) {
      violations = BadRequest.decode(any.value).fieldViolations.map(({ field, description }) => ({
        field,
        description,
      }));
    } else if (any.typeUrl.endsWith('/google.rpc.RetryInfo')) {
      const delay = RetryInfo.decode(any.value).retryDelay;
      if (delay !== undefined) retryAfterMs = delay.seconds * 1_000 + delay.nanos / 1e6;
    }
  }
  const code = codeName(status.code);
  const outcome: Outcome = metadata.outcome === 'UNKNOWN' ? 'UNKNOWN' : 'NOT_APPLIED';
  return new GearmeshError(code, reason, status.message, { outcome, metadata, violations, retryAfterMs });
}

function decodeStatus(bytes: Uint8Array): Status | null {
  try {
    return Status.decode(bytes);
  } catch {
    return null; // not ours: what the call itself says must do
  }
}

function codeName(code: number): StatusCode {
  return (grpcStatus[code] as StatusCode | undefined) ?? 'UNKNOWN';
}
