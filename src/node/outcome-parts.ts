import type { BlobRef, Outcome } from '../core/types.js';
import type { OutcomeBySession } from './interface.js';

/** Results of one proposal: together with what else may share its batch below the bound of a log entry. */
const SETTLE_BYTES_MAX = 512 * 1024;

export function resultBlob(outcome: OutcomeBySession): BlobRef | null {
  return outcome.kind === 'complete' ? outcome.resultBlob : null;
}

/** Outcomes by what one proposal takes, in their order; one that is larger alone stands alone. */
export function inParts(outcomes: readonly OutcomeBySession[]): OutcomeBySession[][] {
  const parts: OutcomeBySession[][] = [[]];
  let bytes = 0;
  for (const outcome of outcomes) {
    const size = outcomeBytes(outcome);
    if (bytes > 0 && bytes + size > SETTLE_BYTES_MAX) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)!.push(outcome);
    bytes += size;
  }
  return parts;
}

/** Upper bound of its encoded size. */
export function outcomeBytes(outcome: OutcomeBySession | Outcome): number {
  switch (outcome.kind) {
    case 'complete':
      return 192 + outcome.result.length + outcome.resultContentType.length * 3;
    case 'fail':
      return (
        128 + (outcome.error.code.length + outcome.error.message.length) * 3 + outcome.error.details.length
      );
    case 'release':
      return 64 + outcome.reason.length * 3;
  }
}
