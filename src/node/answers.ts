import { GearmeshError } from '../core/errors.js';
import type { Refusal } from '../core/types.js';

/** The error that a caller sees for what apply refused. */
export function refusalError(refusal: Refusal, limit: string, limitValue: number): GearmeshError {
  if (refusal === 'LIMIT_REACHED') {
    // As operators know it: the name of its setting, e.g. limits.jobs-max.
    const name = `limits.${limit.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    return new GearmeshError('LIMIT_REACHED', {
      message: `the limit ${name} = ${limitValue} is reached`,
      metadata: { limit: name, value: String(limitValue) },
      retryAfterMs: 1_000,
    });
  }
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
