import { ENDLESS_RETRY, type RetryPolicy } from '../types.js';
import { FLAG_ENDLESS, U_FIELDS, U_FLAGS } from './fields.js';
import type { JobPage } from './page.js';

/** Whether this is the policy for which a flag stands. By value: one that was read from a snapshot is another object. */
export function isEndless(retry: RetryPolicy | null): boolean {
  return (
    retry !== null &&
    retry.maxAttempts === ENDLESS_RETRY.maxAttempts &&
    retry.initialBackoffMs === ENDLESS_RETRY.initialBackoffMs &&
    retry.maxBackoffMs === ENDLESS_RETRY.maxBackoffMs &&
    retry.multiplierPermille === ENDLESS_RETRY.multiplierPermille &&
    retry.jitterPermille === ENDLESS_RETRY.jitterPermille
  );
}

/** The job's own policy; null: the namespace's. */
export function ownRetry(page: JobPage, row: number): RetryPolicy | null {
  if ((page.u[row * U_FIELDS + U_FLAGS]! & FLAG_ENDLESS) !== 0) return ENDLESS_RETRY;
  return page.extrasOf(row)?.retry ?? null;
}
