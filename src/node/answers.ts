import type { ErrorCode } from '../core/errors.js';
import { GearmeshError } from '../core/errors.js';
import { limitReached, tooLarge } from '../core/limits.js';
import type { Refusal, Settings } from '../core/types.js';

/** The error that a caller sees for what apply refused. */
export function refusalError(refusal: Refusal, limit: string, limitValue: number): GearmeshError {
  const code: ErrorCode = refusal;
  if (refusal === 'LIMIT_REACHED') return limitReached(limit as keyof Settings, limitValue);
  // The id is too old to tell: an earlier submission with it may have been accepted.
  if (refusal === 'ID_TOO_OLD') return new GearmeshError(code, { outcome: 'UNKNOWN' });
  return new GearmeshError(code);
}

/** As above, for what was said of a lease. The one limit of an outcome is that of its result. */
export function leaseError(refusal: Refusal, settings: Settings): GearmeshError {
  if (refusal === 'LIMIT_REACHED') {
    const most = settings.payloadBytesMax;
    return tooLarge('payloadBytesMax', most, `the result is larger than the limit, ${most} bytes`, 'result');
  }
  return new GearmeshError(refusal === 'NOT_FOUND' ? 'LEASE_LOST' : refusal);
}
