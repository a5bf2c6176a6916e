import { createHash } from 'node:crypto';
import {
  type Call,
  type Fate,
  Recorder,
  type Seen,
  type SeenState,
  type SubmittedJob,
} from '../../../src/checker/index.js';
import { GearmeshError, type JobInfo, type JobOptions } from '../../../src/client/index.js';
import { SETTINGS } from '../settings.js';

const NAMESPACE = 'default';
/** Done by workers of gRPC; the last also by those of Gearman's. */
export const FUNCTIONS = ['resize', 'mail', 'gear'] as const;
export const GEARMAN_FUNCTION = 'gear';

const PRIORITIES = ['high', 'normal', 'low'] as const;

/** What clients and workers saw, and what the summary counts of it. */
export class Notes {
  readonly recorder = new Recorder(SETTINGS.promises);
  readonly now: () => number;
  /** When a submission was acknowledged. */
  readonly acknowledgements: number[] = [];
  /** Everything somebody tried to submit, by the names that the history uses, with its payload as the history has it. */
  readonly tried = new Map<string, string>();
  /** Jobs known to be accepted. */
  readonly accepted = new Set<string>();
  unknown = 0;
  calls = 0;

  constructor(now: () => number) {
    this.now = now;
  }

  acknowledged(job: string): void {
    this.accepted.add(job);
    this.acknowledgements.push(this.now());
  }

  /** The end of a call that began at `begin`: what all kinds of calls have in common. */
  ended(by: string, node: string, begin: number, error: unknown): Call {
    this.calls++;
    const { fate, reason } = fateOf(error);
    if (fate === 'unknown') this.unknown++;
    return { by, node, begin, end: this.now(), fate, error: reason };
  }
}

/** Null is success. */
function fateOf(error: unknown): { readonly fate: Fate; readonly reason: string } {
  if (error === null) return { fate: 'done', reason: '' };
  if (error instanceof GearmeshError) {
    return { fate: error.outcome === 'NOT_APPLIED' ? 'not-applied' : 'unknown', reason: error.reason };
  }
  throw error;
}

/** Each job's payload begins with the name that the history knows it by. */
export function jobOf(payload: string): string {
  const end = payload.indexOf(' ');
  return end < 0 ? payload : payload.slice(0, end);
}

/** A payload of a job, of any size; in the history it stands as `shown`. */
export function payloadOf(job: string, bytes: number): string {
  return bytes === 0 ? job : `${job} ${'x'.repeat(bytes)}`;
}

/** Short ones as they are: large ones would make the history large. */
export function shown(text: string): string {
  if (text.length <= 64) return text;
  return `${jobOf(text)} ${createHash('sha256').update(text).digest('base64url').slice(0, 16)}`;
}

export function seenOf(job: JobInfo): Seen {
  return {
    state: job.state as SeenState,
    attempt: job.attempt,
    payload: shown(Buffer.from(job.payload).toString()),
    result: shown(Buffer.from(job.result).toString()),
    errorCode: job.error?.code ?? '',
  };
}

/** What the history says that a submission asked for. */
export function submitted(
  job: string,
  fn: string,
  payload: string,
  begin: number,
  options: JobOptions,
  startDeadline: number,
): SubmittedJob {
  return {
    job,
    namespace: NAMESPACE,
    function: fn,
    priority: PRIORITIES.indexOf(options.priority ?? 'normal') as 0 | 1 | 2,
    payload: shown(payload),
    uniqueKey: options.uniqueKey ?? '',
    due: options.delayMs === undefined ? 0 : begin + options.delayMs,
    startDeadline,
    maxAttempts: options.retry?.maxAttempts ?? 0,
    retentionMs: options.resultRetentionMs ?? -1,
    waits: false,
  };
}
