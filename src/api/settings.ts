import type { Settings as ProtoSettings } from '../../proto/gen/gearmesh/v1/cluster.js';
import type { Duration } from '../../proto/gen/google/protobuf/duration.js';
import type { Settings } from '../core/types.js';
import { DURATION_MS_MAX } from './limits.js';
import { toDuration } from './time.js';
import type { Checker } from './validate.js';

type DurationKey = {
  [K in keyof ProtoSettings]-?: Duration extends NonNullable<ProtoSettings[K]> ? K : never;
}[keyof ProtoSettings];
type NumberKey = Exclude<keyof ProtoSettings, DurationKey>;

interface DurationSetting {
  readonly ours: keyof Settings;
  readonly field: string;
  readonly min: number;
  readonly max: number;
}

interface NumberSetting extends DurationSetting {
  /** 1000: ours is per mille. */
  readonly scale: 1 | 1000;
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const MANY = 1_000_000_000;
const MIB = 2 ** 20;
const GIB = 2 ** 30;

const duration = (ours: keyof Settings, field: string, min: number, max: number): DurationSetting => ({
  ours,
  field,
  min,
  max,
});
const number = (
  ours: keyof Settings,
  field: string,
  min: number,
  max: number,
  scale: 1 | 1000 = 1,
): NumberSetting => ({ ours, field, min, max, scale });

/** Bounds in milliseconds. */
const DURATIONS: { readonly [K in DurationKey]: DurationSetting } = {
  sessionGrace: duration('sessionGraceMs', 'session_grace', 0, HOUR),
  ackTimeout: duration('ackTimeoutMs', 'ack_timeout', 100, 600_000),
  cancelGrace: duration('cancelGraceMs', 'cancel_grace', 0, DURATION_MS_MAX),
  retention: duration('retentionMs', 'retention', 0, DURATION_MS_MAX),
  failedRetention: duration('failedRetentionMs', 'failed_retention', 0, DURATION_MS_MAX),
  dedupeWindow: duration('dedupeWindowMs', 'dedupe_window', 1_000, DAY),
  dedupeWindowMin: duration('dedupeWindowMinMs', 'dedupe_window_min', 1_000, DAY),
  initialBackoff: duration('initialBackoffMs', 'initial_backoff', 1, DURATION_MS_MAX),
  maxBackoff: duration('maxBackoffMs', 'max_backoff', 1, DURATION_MS_MAX),
};

const NUMBERS: { readonly [K in NumberKey]: NumberSetting } = {
  dedupeEntriesMax: number('dedupeEntriesMax', 'dedupe_entries_max', 1_000, MANY),
  maxAttempts: number('maxAttempts', 'max_attempts', 1, 10_000),
  multiplier: number('multiplierPermille', 'multiplier', 1, 1_000, 1000),
  jitter: number('jitterPermille', 'jitter', 0, 1, 1000),
  jobsMax: number('jobsMax', 'jobs_max', 1, MANY),
  jobsPerFunctionMax: number('jobsPerFunctionMax', 'jobs_per_function_max', 1, MANY),
  retainedJobsMax: number('retainedJobsMax', 'retained_jobs_max', 0, MANY),
  payloadBytesMax: number('payloadBytesMax', 'payload_bytes_max', 1, 512 * 1024),
  functionsMax: number('functionsMax', 'functions_max', 1, 10_000_000),
  sessionsMax: number('sessionsMax', 'sessions_max', 1, 10_000_000),
  functionsPerSessionMax: number('functionsPerSessionMax', 'functions_per_session_max', 1, 1_000_000),
  creditsPerSessionMax: number('creditsPerSessionMax', 'credits_per_session_max', 1, 1_000_000),
  sweepSteps: number('sweepSteps', 'sweep_steps', 100, 100_000),
  schedulesMax: number('schedulesMax', 'schedules_max', 1, 1_000_000),
  blobBytesMax: number('blobBytesMax', 'blob_bytes_max', 1, 4 * GIB - MIB),
  blobsTotalBytesMax: number('blobsTotalBytesMax', 'blobs_total_bytes_max', 0, 1_024 * GIB),
};

const DURATION_KEYS = Object.keys(DURATIONS) as DurationKey[];
const NUMBER_KEYS = Object.keys(NUMBERS) as NumberKey[];

export function toSettings(settings: Settings): ProtoSettings {
  const out: Partial<ProtoSettings> = {};
  for (const key of DURATION_KEYS) out[key] = toDuration(settings[DURATIONS[key].ours]);
  for (const key of NUMBER_KEYS) out[key] = settings[NUMBERS[key].ours] / NUMBERS[key].scale;
  return out as ProtoSettings;
}

/** What is to change, checked one by one and where two belong together. */
export function fromSettings(
  checker: Checker,
  wanted: ProtoSettings | undefined,
  current: Settings,
): Partial<Settings> {
  const changes: { -readonly [K in keyof Settings]?: number } = {};
  if (wanted === undefined) {
    checker.add('settings', 'is required');
    return changes;
  }
  checker.within('settings');
  for (const key of DURATION_KEYS) {
    const { ours, field, min, max } = DURATIONS[key];
    if (wanted[key] !== undefined) changes[ours] = checker.duration(field, wanted[key], min, max, 0);
  }
  for (const key of NUMBER_KEYS) {
    const { ours, field, min, max, scale } = NUMBERS[key];
    const value = wanted[key];
    if (value === undefined) continue;
    changes[ours] =
      scale === 1 ? checker.count(field, value, min, max) : checker.permille(field, value, min, max);
  }
  const after = { ...current, ...changes };
  if (after.dedupeWindowMinMs > after.dedupeWindowMs) {
    checker.add('dedupe_window_min', 'would be longer than dedupe_window');
  }
  if (after.initialBackoffMs > after.maxBackoffMs) {
    checker.add('max_backoff', 'would be shorter than initial_backoff');
  }
  checker.within('');
  if (Object.keys(changes).length === 0) checker.add('settings', 'changes nothing');
  return changes;
}
