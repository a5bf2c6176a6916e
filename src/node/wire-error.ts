import { ERRORS, type ErrorCode, type FieldViolation, GearmeshError } from '../core/errors.js';

/** Of the other node's error, so that a caller is told the same whichever node it asks. */
interface WireError {
  readonly reason: string;
  readonly body: unknown;
}

export function errorToWire(error: unknown): WireError {
  if (!(error instanceof GearmeshError)) {
    return { reason: error instanceof Error ? error.message : String(error), body: null };
  }
  const { code, outcome, metadata, violations, retryAfterMs } = error;
  return {
    reason: error.message,
    body: { code, outcome, metadata, violations, retryAfterMs },
  };
}

/** The error as it was; one that was none of the table's, or is not known to this version, is a defect. */
export function errorFromWire(reason: string, body: unknown): GearmeshError {
  const said = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
  const { code, outcome, retryAfterMs } = said;
  if (typeof code !== 'string' || !Object.hasOwn(ERRORS, code)) {
    return new GearmeshError('INTERNAL', { message: reason, outcome: 'UNKNOWN' });
  }
  return new GearmeshError(code as ErrorCode, {
    message: reason,
    outcome: outcome === 'NOT_APPLIED' ? 'NOT_APPLIED' : 'UNKNOWN',
    metadata: textsOf(said.metadata),
    violations: violationsOf(said.violations),
    ...(isDelay(retryAfterMs) ? { retryAfterMs } : {}),
  });
}

function isDelay(value: unknown): value is number | null {
  return value === null || (typeof value === 'number' && value >= 0);
}

function textsOf(value: unknown): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null) return {};
  return Object.fromEntries(
    Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
  );
}

function violationsOf(value: unknown): FieldViolation[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((one: unknown) => {
    const { field, description } = (one ?? {}) as Partial<Record<string, unknown>>;
    return typeof field === 'string' && typeof description === 'string' ? [{ field, description }] : [];
  });
}
