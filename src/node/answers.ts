import type { ErrorCode } from '../core/errors.js';
import { GearmeshError } from '../core/errors.js';
import type { Refusal } from '../core/types.js';

/** The limit that one queue has of its own. */
const QUEUE_LIMIT = 'queueJobsMax';

/** The error that a caller sees for what apply refused. */
export function refusalError(refusal: Refusal, limit: string, limitValue: number): GearmeshError {
  const code: ErrorCode = refusal;
  if (refusal === 'LIMIT_REACHED') {
    const kebab = limit.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    // As operators know it: the name of its setting, e.g. limits.jobs-max, or what SetQueueLimits set.
    const name = limit === QUEUE_LIMIT ? kebab : `limits.${kebab}`;
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
