import type { RetryPolicy as ProtoRetry } from '../../proto/gen/gearmesh/v1/common.js';
import { Priority } from '../../proto/gen/gearmesh/v1/common.js';
import type { JobSpec as ProtoSpec } from '../../proto/gen/gearmesh/v1/job.js';
import type { GearmeshError } from '../core/errors.js';
import { tooLarge } from '../core/limits.js';
import type { JobSpec, PriorityRank, RetryPolicy, Settings } from '../core/types.js';
import type { NodeApi } from '../node/interface.js';
import {
  DELAY_MS_MAX,
  DURATION_MS_MAX,
  FOLLOWED_RETENTION_MS_MIN,
  METADATA_BYTES_MAX,
  UNIQUE_KEY_BYTES_MAX,
} from './limits.js';
import { type Checker, utf8Length } from './validate.js';

const NO_METADATA: readonly (readonly [string, string])[] = [];

/**
 * Checks one job and brings it into the core's form; null stands for the violations that `checker` holds then.
 * The payload stays a view of the message. Run for every job: no garbage but the spec itself.
 */
export function jobSpec(
  checker: Checker,
  api: NodeApi,
  settings: Settings,
  spec: ProtoSpec,
  foreground: boolean,
): JobSpec | null {
  if (spec.id !== '') checker.jobId('id', spec.id);
  const out: JobSpec = {
    id: spec.id,
    function: checker.name('function', spec.function),
    payload: spec.payload,
    contentType: checker.optionalName('content_type', spec.contentType),
    metadata: metadata(checker, spec.metadata),
    priority: rank(checker, spec.priority),
    runAtWall: checker.timestamp('run_at', spec.runAt),
    delayMs: checker.duration('delay', spec.delay, 0, DELAY_MS_MAX, 0),
    uniqueKey: checker.text('unique_key', spec.uniqueKey, UNIQUE_KEY_BYTES_MAX),
    retry: spec.retry === undefined ? null : retryPolicy(checker, settings, spec.retry),
    runTimeoutMs: checker.duration('run_timeout', spec.runTimeout, 0, DURATION_MS_MAX, 0),
    startDeadlineWall: checker.timestamp('start_deadline', spec.startDeadline),
    retentionMs: retention(checker, spec, foreground),
    traceparent: checker.traceparent('traceparent', spec.traceparent),
    foreground,
    seed: api.u32(),
  };
  if (spec.runAt !== undefined && spec.delay !== undefined) {
    checker.add('delay', 'cannot be given together with run_at');
  }
  if (!checker.ok) return null;
  return out.id === '' ? { ...out, id: api.newJobId() } : out;
}

/** Refuses bytes over the limit, naming it. */
export function payloadTooLarge(field: string, length: number, settings: Settings): GearmeshError | null {
  const most = settings.payloadBytesMax;
  if (length <= most) return null;
  return tooLarge('payloadBytesMax', most, `${field} has ${length} bytes, the limit is ${most}`, field);
}

function metadata(checker: Checker, map: Record<string, string>): readonly (readonly [string, string])[] {
  let pairs: [string, string][] | null = null;
  let bytes = 0;
  for (const key in map) {
    if (!Object.hasOwn(map, key)) continue;
    const value = map[key]!;
    bytes += utf8Length(key) + utf8Length(value);
    checker.name('metadata', key);
    pairs ??= [];
    pairs.push([key, value]);
  }
  if (pairs === null) return NO_METADATA;
  if (bytes > METADATA_BYTES_MAX) checker.add('metadata', `is larger than ${METADATA_BYTES_MAX} bytes`);
  if (pairs.length > 1) pairs.sort((a, b) => (a[0] < b[0] ? -1 : 1));
  return pairs;
}

function rank(checker: Checker, priority: Priority): PriorityRank {
  switch (priority) {
    case Priority.HIGH:
      return 0;
    case Priority.UNSPECIFIED:
    case Priority.NORMAL:
      return 1;
    case Priority.LOW:
      return 2;
    default:
      checker.add('priority', 'is not a known priority');
      return 1;
  }
}

function retryPolicy(checker: Checker, settings: Settings, retry: ProtoRetry): RetryPolicy {
  const unset = (value: { seconds: number; nanos: number } | undefined) =>
    value === undefined || (value.seconds === 0 && value.nanos === 0);
  const initialBackoffMs = unset(retry.initialBackoff)
    ? settings.initialBackoffMs
    : checker.duration('retry.initial_backoff', retry.initialBackoff, 1, DURATION_MS_MAX, 0);
  let maxBackoffMs = Math.max(settings.maxBackoffMs, initialBackoffMs);
  if (!unset(retry.maxBackoff)) {
    maxBackoffMs = checker.duration('retry.max_backoff', retry.maxBackoff, 1, DURATION_MS_MAX, 0);
    if (maxBackoffMs < initialBackoffMs) {
      checker.add('retry.max_backoff', `is shorter than initial_backoff (${initialBackoffMs} milliseconds)`);
    }
  }
  return {
    maxAttempts: checker.count('retry.max_attempts', retry.maxAttempts, 0, 10_000),
    initialBackoffMs,
    maxBackoffMs,
    multiplierPermille:
      retry.multiplier === 0
        ? settings.multiplierPermille
        : checker.permille('retry.multiplier', retry.multiplier, 1, 1_000),
    jitterPermille:
      retry.jitter === undefined
        ? settings.jitterPermille
        : checker.permille('retry.jitter', retry.jitter, 0, 1),
  };
}

function retention(checker: Checker, spec: ProtoSpec, foreground: boolean): number {
  const ms = checker.duration('result_retention', spec.resultRetention, 0, DURATION_MS_MAX, -1);
  return foreground && ms >= 0 ? Math.max(ms, FOLLOWED_RETENTION_MS_MIN) : ms;
}
