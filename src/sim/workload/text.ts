import type { HistoryEvent, Seen } from '../../checker/history.js';
import type { BlobRef, JobView } from '../../core/types.js';

/** A payload or result as a history has it: equal text means equal bytes. */
export function textOf(bytes: Uint8Array, blob: BlobRef | null): string {
  return blob === null
    ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
    : `sha256 ${Buffer.from(blob.digest).toString('hex')}`;
}

export function seenOf(job: JobView): Seen {
  return {
    state: job.state,
    attempt: job.attempt,
    payload: textOf(job.payload, job.payloadBlob),
    result: textOf(job.result, job.resultBlob),
    errorCode: job.error?.code ?? '',
  };
}

/** One line of a trace. */
export function lineOf(event: HistoryEvent): string {
  switch (event.type) {
    case 'submit': {
      const answer = event.answer === null ? '' : ` ${event.answer.disposition} ${event.answer.job}`;
      return `${event.by} submit ${event.job} at ${event.node} ${event.fate} ${event.error}${answer}`;
    }
    case 'read': {
      const { answer } = event;
      const shown = answer === null || answer === 'absent' ? answer : `${answer.state} ${answer.attempt}`;
      return `${event.by} read ${event.job} at ${event.node} ${event.consistency} ${event.fate} ${event.error} ${shown}`;
    }
    case 'lease':
      return `${event.worker} lease ${event.job} at ${event.node} ${event.token} ${event.attempt}`;
    case 'interrupted':
      return `${event.worker} cut off from ${event.node}`;
    case 'lease-lost':
      return `${event.worker} lost ${event.token}`;
    case 'settle':
      return `${event.by} ${event.outcome} ${event.job} ${event.token} at ${event.node} ${event.fate} ${event.error}`;
    case 'watched':
      return `${event.watch} ${event.event} ${event.job} ${event.seen?.state ?? ''}`;
    case 'last':
      return `last ${event.job} at ${event.node} ${event.seen === 'absent' ? 'absent' : event.seen.state}`;
    default:
      return `${event.by} ${event.type} ${event.job} at ${event.node} ${event.fate} ${event.error}`;
  }
}
