import { GearmeshError } from '../core/errors.js';
import { type Limit, limitReached, tooLarge } from '../core/limits.js';
import type { Outcome, Refusal, Settings } from '../core/types.js';
import type { OutcomeBySession } from './interface.js';

/** The error that a caller sees for what apply refused. */
export function refusalError(refusal: Refusal, limit: string, limitValue: number): GearmeshError {
  if (refusal === 'LIMIT_REACHED') return limitReached(limit as Limit, limitValue);
  if (refusal === 'BLOB_UNCOUNTED') {
    return new GearmeshError('NOT_FOUND', {
      message: 'a majority of the nodes no longer has the payload or result: send it again',
      metadata: { reason: refusal },
    });
  }
  // The id is too old to tell: an earlier submission with it may have been accepted.
  if (refusal === 'ID_TOO_OLD') return new GearmeshError(refusal, { outcome: 'UNKNOWN' });
  return new GearmeshError(refusal);
}

/** As above, for what was said of a lease. The limits of an outcome are those of its result. */
export function leaseError(
  refusal: Refusal,
  outcome: Outcome | OutcomeBySession,
  settings: Settings,
): GearmeshError {
  if (refusal === 'NOT_FOUND') return new GearmeshError('LEASE_LOST');
  if (refusal !== 'LIMIT_REACHED') return refusalError(refusal, '', 0);
  const blob = outcome.kind === 'complete' ? outcome.resultBlob : null;
  const limit = blob === null ? 'payloadBytesMax' : 'blobBytesMax';
  const most = settings[limit];
  if (blob !== null && blob.size <= most) {
    return limitReached('blobsTotalBytesMax', settings.blobsTotalBytesMax);
  }
  return tooLarge(limit, most, `the result is larger than the limit, ${most} bytes`, 'result');
}
