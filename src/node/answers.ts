import type { ErrorCode } from '../core/errors.js';
import { GearmeshError, limitName } from '../core/errors.js';
import type { Refusal } from '../core/types.js';

/** The error that a caller sees for what apply refused. */
export function refusalError(refusal: Refusal, limit: string, limitValue: number): GearmeshError {
  const code: ErrorCode = refusal;
  if (refusal === 'LIMIT_REACHED') {
    const name = limitName(limit);
    return new GearmeshError(code, {
      message: `the limit ${name} = ${limitValue} is reached`,
      metadata: { limit: name, value: String(limitValue) },
      retryAfterMs: 1_000,
    });
  }
  // The id is too old to tell: an earlier submission with it may have been accepted.
  if (refusal === 'ID_TOO_OLD') return new GearmeshError(code, { outcome: 'UNKNOWN' });
  return new GearmeshError(code);
}
