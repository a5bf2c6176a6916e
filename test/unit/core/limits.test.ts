import { expect, test } from 'vitest';
import { SEEDS } from '../../../src/config/options.js';
import { limitName, limitReached, tooLarge } from '../../../src/core/limits.js';
import type { Settings } from '../../../src/core/types.js';

/** Goal: a limit has one name, in errors, metrics and settings alike ("nothing grows without a named limit"). */
test('a limit of the cluster is named as its setting', () => {
  const limits = Object.entries(SEEDS).filter(([, key]) => key.startsWith('limits.'));
  expect(limits.length).toBeGreaterThan(8);
  for (const [limit, key] of limits) expect(limitName(limit as keyof Settings)).toBe(key);
});

test('a limit of a node is named as its setting or in the same manner', () => {
  const own = ['diskReserveBytes', 'pendingBytesMax', 'slowReaderMs'] as const;
  expect(own.map(limitName)).toEqual(['disk-reserve-bytes', 'pending-bytes-max', 'slow-reader-ms']);
});

test('errors name the limit and its value', () => {
  expect(limitReached('sessionsMax', 5)).toMatchObject({
    code: 'LIMIT_REACHED',
    message: 'the limit limits.sessions-max = 5 is reached',
    metadata: { limit: 'limits.sessions-max', value: '5' },
    retryable: true,
    retryAfterMs: 1_000,
  });
  expect(tooLarge('payloadBytesMax', 5, 'too large', 'job.payload')).toMatchObject({
    code: 'PAYLOAD_TOO_LARGE',
    metadata: { limit: 'limits.payload-bytes-max', value: '5' },
    violations: [{ field: 'job.payload', description: 'is larger than 5 bytes' }],
    retryable: false,
  });
});
