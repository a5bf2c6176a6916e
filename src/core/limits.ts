import { GearmeshError } from './errors.js';
import { DEFAULT_SETTINGS, type Settings } from './types.js';

/** Limits that are no setting of the cluster: settings of a node, and sizes that are fixed. */
type OwnLimit =
  | 'diskReserveBytes'
  | 'pendingBytesMax'
  | 'allOrNothingBytesMax'
  | 'slowReaderMs'
  | 'messageBytesMax';
export type Limit = keyof Settings | OwnLimit;

/** As operators know a limit, in errors, metrics and settings alike, e.g. limits.jobs-max. */
export function limitName(limit: Limit): string {
  const name = limit.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return Object.hasOwn(DEFAULT_SETTINGS, limit) ? `limits.${name}` : name;
}

/** Of these a call that is refused is too large itself: it would be refused again. */
const NEVER: ReadonlySet<Limit> = new Set(['functionsPerSessionMax', 'allOrNothingBytesMax']);

/** `retryAfterMs`: when it may be worth to try again, unless the limit is one of a single call. */
export function limitReached(limit: Limit, value: number, message = '', retryAfterMs = 1_000): GearmeshError {
  const name = limitName(limit);
  return new GearmeshError('LIMIT_REACHED', {
    message: message === '' ? `the limit ${name} = ${value} is reached` : message,
    metadata: { limit: name, value: String(value) },
    retryAfterMs: NEVER.has(limit) ? null : retryAfterMs,
  });
}

/** `field`: path of what is too large; '' where no field is. */
export function tooLarge(limit: Limit, value: number, message: string, field = ''): GearmeshError {
  return new GearmeshError('PAYLOAD_TOO_LARGE', {
    message,
    violations: field === '' ? [] : [{ field, description: `is larger than ${value} bytes` }],
    metadata: { limit: limitName(limit), value: String(value) },
  });
}
