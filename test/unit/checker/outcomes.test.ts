import { describe, expect, it } from 'vitest';
import {
  accepts,
  change,
  complete,
  fail,
  last,
  lease,
  local,
  read,
  rejects,
  seen,
  submit,
  succeeded,
  watched,
} from './bed.js';

const cancelled = seen('a', 'cancelled', 0, { errorCode: 'CANCELLED' });
const failed = seen('a', 'failed', 1, { errorCode: 'E' });

describe('outcome-changed', () => {
  it('rejects two ends that readers of any kind saw', () => {
    const life = [submit('a', [0, 10]), lease('a', 20, 1), complete('a', [30, null], 1)];
    const [text] = rejects('outcome-changed', [
      ...life,
      change('cancel', 'a', [30, null]),
      local('a', [50, 60], succeeded('a')),
      local('a', [70, 80], seen('a', 'cancelled', 1, { errorCode: 'CANCELLED' }), 'n2'),
    ]);
    expect(text).toContain('nobody retried it');
  });

  it('rejects an end that is another than the accepted one', () => {
    rejects('outcome-changed', [
      submit('a', [0, 10]),
      change('cancel', 'a', [15, null]),
      lease('a', 20, 1),
      complete('a', [30, 40], 1),
      read('a', [50, 60], seen('a', 'cancelled', 1, { errorCode: 'CANCELLED' })),
    ]);
    rejects('outcome-changed', [
      submit('a', [0, 10]),
      lease('a', 20, 1),
      complete('a', [25, null], 1, { result: 'another' }),
      complete('a', [30, 40], 1),
      last('a', 99, succeeded('a', 1, { result: 'another' })),
    ]);
  });

  it('accepts another end after a retry, acknowledged or unknown, and one more for each', () => {
    const life = [
      submit('a', [0, 10]),
      lease('a', 20, 1),
      fail('a', [30, 40], 1, { retryable: false }),
      read('a', [41, 42], failed),
    ];
    const after = [
      lease('a', 60, 2, { worker: 'w2' }),
      complete('a', [70, 80], 2),
      read('a', [90, 95], succeeded('a')),
    ];
    accepts([...life, change('retry', 'a', [50, 55]), ...after]);
    accepts([...life, change('retry', 'a', [50, null]), ...after]);
  });

  it('rejects two successes whatever was retried', () => {
    rejects('outcome-changed', [
      submit('a', [0, 10]),
      lease('a', 20, 1),
      complete('a', [30, null], 1, { result: 'one' }),
      local('a', [31, 32], succeeded('a', 1, { result: 'one' })),
      change('retry', 'a', [50, null]),
      lease('a', 60, 2),
      complete('a', [70, null], 2, { result: 'two' }),
      local('a', [90, 95], succeeded('a', 1, { result: 'two' })),
    ]);
  });

  it('accepts a node that is behind, and the same end told in many ways', () => {
    accepts([
      submit('a', [0, 10]),
      watched('x', 'a', 12, 'accepted', seen('a', 'queued')),
      lease('a', 20, 1),
      complete('a', [30, 40], 1),
      watched('x', 'a', 45, 'started', seen('a', 'running', 1)),
      local('a', [50, 60], seen('a', 'running', 1), 'n2'),
      watched('x', 'a', 61, 'ended', succeeded('a')),
      read('a', [62, 63], succeeded('a')),
      last('a', 99, succeeded('a')),
    ]);
  });
});

describe('outcome-invented', () => {
  it('rejects a result that nobody reported, or only later', () => {
    rejects('outcome-invented', [
      submit('a', [0, 10]),
      lease('a', 20, 1),
      complete('a', [30, null], 1),
      read('a', [40, 50], succeeded('a', 1, { result: 'made up' })),
    ]);
    rejects('outcome-invented', [
      submit('a', [0, 10]),
      lease('a', 20, 1),
      read('a', [30, 40], succeeded('a')),
      complete('a', [45, null], 1),
    ]);
  });

  it('accepts a result whose report was never answered', () => {
    accepts([
      submit('a', [0, 10]),
      lease('a', 20, 1),
      complete('a', [30, null], 1),
      read('a', [40, 50], succeeded('a')),
    ]);
  });

  it('rejects a failure that nobody reported, or that allows another attempt', () => {
    const life = [submit('a', [0, 10]), lease('a', 20, 1)];
    rejects('outcome-invented', [...life, read('a', [30, 40], failed)]);
    const [text] = rejects('outcome-invented', [
      ...life,
      fail('a', [25, null], 1),
      read('a', [30, 40], failed),
    ]);
    expect(text).toContain('allow another attempt');
  });

  it('rejects a job that is given up for its lost workers before its attempts are used up', () => {
    const lost = (attempt: number) => seen('a', 'failed', attempt, { errorCode: 'WORKER_LOST' });
    rejects('outcome-invented', [submit('a', [0, 10]), read('a', [30, 40], lost(2))]);
    accepts([submit('a', [0, 10]), read('a', [30, 40], lost(3))]);
    accepts([submit('a', [0, 10], { maxAttempts: 2 }), read('a', [30, 40], lost(2))]);
  });

  it('accepts a failure by the last attempt, or one that allows no other', () => {
    const life = [submit('a', [0, 10], { maxAttempts: 1 }), lease('a', 20, 1)];
    accepts([...life, fail('a', [25, null], 1), read('a', [30, 40], failed)]);
    accepts([
      submit('a', [0, 10]),
      lease('a', 20, 1),
      fail('a', [25, null], 1, { retryable: false }),
      read('a', [30, 40], failed),
    ]);
  });

  it('rejects a cancelled job that nobody cancelled, unless nobody waits for it any more', () => {
    rejects('outcome-invented', [submit('a', [0, 10]), read('a', [30, 40], cancelled)]);
    rejects('outcome-invented', [
      submit('a', [0, 10]),
      read('a', [30, 40], cancelled),
      change('cancel', 'a', [50, null]),
    ]);
    accepts([submit('a', [0, 10], { waits: true }), read('a', [30, 40], cancelled)]);
    accepts([submit('a', [0, 10]), change('cancel', 'a', [20, null]), read('a', [30, 40], cancelled)]);
  });

  it('rejects an expired job without a start deadline, or long before it', () => {
    const expired = seen('a', 'expired', 0, { errorCode: 'EXPIRED' });
    rejects('outcome-invented', [submit('a', [0, 10]), read('a', [30, 40], expired)]);
    rejects('outcome-invented', [submit('a', [0, 10], { startDeadline: 300 }), read('a', [30, 40], expired)]);
    accepts([submit('a', [0, 10], { startDeadline: 120 }), read('a', [30, 40], expired)]);
  });
});
