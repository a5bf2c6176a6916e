import { status } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { Status } from '../../../proto/gen/google/rpc/status.js';
import { GRPC_STATUS, toCallStatus, toStatus } from '../../../src/api/errors.js';
import { ERRORS, type ErrorCode, GearmeshError } from '../../../src/core/errors.js';
import { limitReached } from '../../../src/core/limits.js';
import { toldBy } from './harness.js';

const CODES = Object.keys(ERRORS) as ErrorCode[];

describe('our errors as google.rpc.Status', () => {
  test.each(CODES)('%s has a status and always an ErrorInfo', (code) => {
    const told = toldBy(toStatus(new GearmeshError(code)));
    expect(told.code).toBe(GRPC_STATUS[code]);
    expect(told.code).not.toBe(status.OK);
    expect(told.domain).toBe('gearmesh');
    expect(told.reason).toBe(code);
    expect(told.metadata.outcome).toBe(
      ['OUTCOME_UNKNOWN', 'ID_TOO_OLD'].includes(code) ? 'UNKNOWN' : 'NOT_APPLIED',
    );
  });

  test.each(CODES)('%s with an unknown outcome is never UNAVAILABLE', (code) => {
    const told = toldBy(toStatus(new GearmeshError(code, { outcome: 'UNKNOWN' })));
    expect(told.code).not.toBe(status.UNAVAILABLE);
    expect(told.metadata.outcome).toBe('UNKNOWN');
  });

  test('a lost leader with an unknown outcome is ABORTED and keeps its cause', () => {
    const told = toldBy(toStatus(new GearmeshError('NO_LEADER', { outcome: 'UNKNOWN' })));
    expect(told).toMatchObject({ code: status.ABORTED, reason: 'OUTCOME_UNKNOWN' });
    expect(told.metadata).toEqual({ outcome: 'UNKNOWN', cause: 'NO_LEADER' });
  });

  test('a limit is named and says when to come back', () => {
    const told = toldBy(toStatus(limitReached('jobsMax', 7, '', 2_500)));
    expect(told.metadata).toMatchObject({ limit: 'limits.jobs-max', value: '7' });
    expect(told.retryMs).toBe(2_500);
  });

  test.each(['functionsPerSessionMax', 'allOrNothingBytesMax'] as const)(
    'a call that is larger than %s by itself is not told to come back',
    (limit) => {
      const error = limitReached(limit, 7);
      expect(error.retryable).toBe(false);
      const told = toldBy(toStatus(error));
      expect(told).toMatchObject({ code: status.RESOURCE_EXHAUSTED, reason: 'LIMIT_REACHED' });
      expect(told.retryMs).toBeNull();
    },
  );

  test('what is no error of the table is a defect with an unknown outcome', () => {
    const told = toldBy(toStatus(new TypeError('x is not a function')));
    expect(told).toMatchObject({ code: status.INTERNAL, reason: 'INTERNAL' });
    expect(told.metadata.outcome).toBe('UNKNOWN');
  });

  test('the trailer fits 8 KiB whatever the error holds', () => {
    const long = 'ü'.repeat(100_000);
    const violations = Array.from({ length: 10_000 }, (_, i) => ({
      field: `jobs[${i}].${long}`,
      description: long,
    }));
    const metadata = Object.fromEntries(Array.from({ length: 5 }, (_, i) => [`key${i}`, 'x'.repeat(1_000)]));
    const { details, metadata: trailers } = toCallStatus(
      new GearmeshError('INVALID_FIELD', { message: `${long}\ud800`, violations, metadata }),
    );
    const bytes = trailers.get('grpc-status-details-bin')[0] as Buffer;
    expect(encodeURI(details).length + (bytes.length * 4) / 3).toBeLessThan(8_000);
    const { fields } = toldBy(Status.decode(bytes));
    expect(fields.length).toBeGreaterThan(5);
    expect(fields[0]).toMatch(/^jobs\[0\]\.ü+…$/);
  });
});
