import type { Duration } from '../../proto/gen/google/protobuf/duration.js';
import type { Timestamp } from '../../proto/gen/google/protobuf/timestamp.js';

/** Milliseconds; with a sign, as protobuf wants it, in both parts. */
export function toDuration(ms: number): Duration {
  const seconds = Math.trunc(ms / 1000);
  return { seconds, nanos: Math.round((ms - seconds * 1000) * 1e6) };
}

/** Zero means "not set" in the inner rooms, and is left out. */
export function toDurationIfSet(ms: number): Duration | undefined {
  return ms === 0 ? undefined : toDuration(ms);
}

/** `wallMs`: whole milliseconds since 1970-01-01 UTC. */
export function toTimestamp(wallMs: number): Timestamp {
  const seconds = Math.floor(wallMs / 1000);
  return { seconds, nanos: (wallMs - seconds * 1000) * 1e6 };
}

/** Zero means "not set" in the inner rooms, and is left out. */
export function toTimestampIfSet(wallMs: number): Timestamp | undefined {
  return wallMs === 0 ? undefined : toTimestamp(wallMs);
}
