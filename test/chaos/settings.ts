import type { Promises } from '../../src/checker/index.js';

const HOUR = 3_600_000;
const SKEW_MAX_MS = 2_000;
/** Time of those who look: a job that is due waits for a tick and for its message; their own loop may be late too. */
const LOOK_MS = 250;
const RETENTION_MS = 48 * HOUR;
const ATTEMPTS = 5;
const DEDUPE_MS = 300_000;
const ACK_MS = 5_000;

/** How the nodes are set: small files, so that all that happens with large ones happens here too, and much of it. */
export const SETTINGS: { readonly flags: readonly string[]; readonly promises: Promises } = {
  flags: [
    ['--segment-bytes', 4 * 2 ** 20],
    ['--snapshot-log-bytes', 4 * 2 ** 20],
    ['--keep-log-bytes', 2 ** 20],
    ['--log-memory-bytes', 2 ** 20],
    ['--disk-reserve-bytes', 64 * 2 ** 20],
    ['--drain-timeout-ms', 3_000],
    ['--clock-skew-max-ms', SKEW_MAX_MS],
    ['--jobs-retention-ms', RETENTION_MS],
    ['--jobs-failed-retention-ms', RETENTION_MS],
    ['--jobs-dedupe-window-ms', DEDUPE_MS],
    ['--workers-ack-timeout-ms', ACK_MS],
    ['--retry-max-attempts', ATTEMPTS],
    ['--retry-initial-backoff-ms', 100],
    ['--retry-max-backoff-ms', 2_000],
    ['--limits-retained-jobs-max', 5_000_000],
    ['--limits-dedupe-entries-max', 5_000_000],
  ].flatMap((pair) => pair.map(String)),
  promises: {
    skewMs: SKEW_MAX_MS + LOOK_MS,
    maxAttempts: ATTEMPTS,
    retentionMs: RETENTION_MS,
    failedRetentionMs: RETENTION_MS,
    dedupeWindowMs: DEDUPE_MS,
    unseenLeaseMs: ACK_MS,
  },
};
