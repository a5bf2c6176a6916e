import type { Progress, JobError as ProtoJobError } from '../../proto/gen/gearmesh/v1/common.js';
import {
  type JobOutcome,
  type LeaseData,
  type LeaseProgress,
  OutcomeKind,
  type WorkerFunction,
} from '../../proto/gen/gearmesh/v1/worker.js';
import { GearmeshError } from '../core/errors.js';
import { limitReached } from '../core/limits.js';
import type { FunctionSpec, JobError, Settings } from '../core/types.js';
import type { OutcomeBySession } from '../node/interface.js';
import { DURATION_MS_MAX, TEXT_BYTES_MAX } from './limits.js';
import type { Checker } from './validate.js';
import { payloadTooLarge } from './validate-job.js';

export function functionSpecs(
  checker: Checker,
  field: string,
  functions: readonly WorkerFunction[],
  settings: Settings,
): FunctionSpec[] {
  const most = settings.functionsPerSessionMax;
  if (functions.length > most) {
    const message = `${functions.length} functions, the limit of one worker is ${most}`;
    throw limitReached('functionsPerSessionMax', most, message);
  }
  const seen = new Set<string>();
  const specs = functions.map((fn, i) => {
    checker.within(field, i);
    if (seen.has(fn.name)) checker.add('name', 'is named twice');
    seen.add(fn.name);
    return {
      name: checker.name('name', fn.name),
      concurrency: checker.count('concurrency', fn.concurrency, 0, 1_000_000),
      runTimeoutMs: checker.duration('run_timeout', fn.runTimeout, 0, DURATION_MS_MAX, 0),
    };
  });
  checker.within('');
  return specs;
}

function jobError(checker: Checker, error: ProtoJobError | undefined, settings: Settings): JobError {
  if (error === undefined) {
    checker.add('error', 'is required');
    return { code: '', message: '', details: new Uint8Array(0) };
  }
  const tooLarge = payloadTooLarge('error.details', error.details.length, settings);
  if (tooLarge !== null) throw tooLarge;
  return {
    code: checker.name('error.code', error.code),
    message: checker.text('error.message', error.message, TEXT_BYTES_MAX),
    details: error.details,
  };
}

/** One outcome; the error says why this one cannot be handed on. */
export function outcome(
  checker: Checker,
  said: JobOutcome,
  settings: Settings,
): OutcomeBySession | GearmeshError {
  try {
    const token = checker.token('lease_token', said.leaseToken);
    const jobId = checker.jobId('job_id', said.jobId);
    const made = byKind(checker, said, settings, token, jobId);
    return checker.take() ?? made ?? new GearmeshError('INVALID_FIELD');
  } catch (error) {
    checker.take();
    if (error instanceof GearmeshError) return error;
    throw error;
  }
}

function byKind(
  checker: Checker,
  said: JobOutcome,
  settings: Settings,
  token: number,
  jobId: string,
): OutcomeBySession | null {
  switch (said.kind) {
    case OutcomeKind.COMPLETE: {
      const tooLarge = payloadTooLarge('result', said.result.length, settings);
      if (tooLarge !== null) throw tooLarge;
      return {
        kind: 'complete',
        jobId,
        token,
        result: said.result,
        resultContentType: checker.optionalName('result_content_type', said.resultContentType),
        dataCount: said.dataCount,
      };
    }
    case OutcomeKind.FAIL:
      return {
        kind: 'fail',
        jobId,
        token,
        error: jobError(checker, said.error, settings),
        retryable: said.retryable,
        retryAfterMs: checker.duration('retry_after', said.retryAfter, 0, DURATION_MS_MAX, 0),
        dataCount: said.dataCount,
      };
    case OutcomeKind.RELEASE:
      return { kind: 'release', jobId, token, reason: checker.text('reason', said.reason, TEXT_BYTES_MAX) };
    default:
      checker.add('kind', 'must be COMPLETE, FAIL or RELEASE');
      return null;
  }
}

function progress(checker: Checker, said: Progress | undefined): Progress {
  if (said === undefined) {
    checker.add('progress', 'is required');
    return { numerator: 0, denominator: 0, message: '' };
  }
  checker.text('progress.message', said.message, TEXT_BYTES_MAX);
  return said;
}

export function leaseProgress(checker: Checker, said: LeaseProgress): Progress {
  checker.token('lease_token', said.leaseToken);
  return progress(checker, said.progress);
}

/** Throws for a chunk over the limit. */
export function leaseData(
  checker: Checker,
  said: Pick<LeaseData, 'leaseToken' | 'chunks'>,
  settings: Settings,
): void {
  checker.token('lease_token', said.leaseToken);
  if (said.chunks.length === 0) checker.add('chunks', 'is required');
  for (const chunk of said.chunks) {
    const tooLarge = payloadTooLarge('chunks', chunk.length, settings);
    if (tooLarge !== null) throw tooLarge;
  }
}
