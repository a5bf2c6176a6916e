import { describe, expect, it } from 'vitest';
import {
  accepts,
  change,
  complete,
  fail,
  last,
  lease,
  leaseLost,
  read,
  refused,
  rejects,
  release,
  seen,
  submit,
  succeeded,
} from './bed.js';

describe('fence', () => {
  it('rejects an outcome under an older token after a newer lease was seen', () => {
    const [text] = rejects('fence', [
      submit('a', [0, 10]),
      lease('a', 20, 1),
      lease('a', 30, 2, { worker: 'w2', attempt: 2 }),
      complete('a', [40, 50], 1),
    ]);
    expect(text).toContain('under token 1');
    expect(text).toContain('token 2');
  });

  it('rejects a failure and a release that come too late just the same', () => {
    const life = [submit('a', [0, 10]), lease('a', 20, 1), lease('a', 30, 2, { worker: 'w2', attempt: 2 })];
    rejects('fence', [...life, fail('a', [40, 50], 1)]);
    rejects('fence', [...life, release('a', [40, 50], 1)]);
  });

  it('accepts an outcome that is said again and had been said before the newer lease', () => {
    accepts([
      submit('a', [0, 10]),
      lease('a', 20, 1),
      fail('a', [22, null], 1),
      lease('a', 30, 2, { worker: 'w2', attempt: 2 }),
      fail('a', [40, 50], 1),
    ]);
  });

  it('accepts an outcome under way as the newer lease comes', () => {
    accepts([
      submit('a', [0, 10]),
      lease('a', 20, 1),
      lease('a', 30, 2, { worker: 'w2', attempt: 2 }),
      fail('a', [25, 50], 1),
    ]);
  });

  it('accepts that a late outcome is refused, or was never answered', () => {
    const life = [submit('a', [0, 10]), lease('a', 20, 1), lease('a', 30, 2, { worker: 'w2', attempt: 2 })];
    accepts([...life, refused(complete('a', [40, 50], 1), 'LEASE_LOST')]);
    accepts([...life, complete('a', [40, null], 1)]);
  });

  it('rejects an outcome under a token that nobody got', () => {
    rejects('fence', [submit('a', [0, 10]), lease('a', 20, 1), complete('a', [40, 50], 7)]);
    rejects('fence', [submit('a', [0, 10]), complete('a', [20, 30], 1), lease('a', 35, 1)]);
  });

  it('accepts outcomes without a token, which Gearman does not show', () => {
    accepts([
      submit('a', [0, 10]),
      lease('a', 20, 0, { attempt: 0 }),
      complete('a', [40, 50], 0),
      last('a', 99, succeeded('a')),
    ]);
  });

  it('rejects an outcome that a worker said after it was told that its lease is over', () => {
    rejects('fence', [
      submit('a', [0, 10]),
      lease('a', 20, 1),
      leaseLost('w1', 30, 1),
      complete('a', [40, 50], 1),
    ]);
  });

  it('accepts it where the worker had said so before, or where another lease was meant', () => {
    accepts([
      submit('a', [0, 10]),
      lease('a', 20, 1),
      complete('a', [25, null], 1),
      leaseLost('w1', 30, 1),
      complete('a', [40, 50], 1),
    ]);
    accepts([
      submit('a', [0, 10]),
      lease('a', 20, 2),
      leaseLost('w2', 30, 2),
      leaseLost('w1', 31, 1),
      complete('a', [40, 50], 2),
    ]);
  });
});

describe('lease-overlap', () => {
  it('rejects an outcome under a lease that was over, as a larger token shows', () => {
    const [text] = rejects('lease-overlap', [
      submit('a', [0, 10]),
      submit('b', [0, 10], { priority: 2 }),
      lease('a', 20, 1),
      // By then 2 was granted, although its own lease was seen later.
      lease('b', 30, 3),
      fail('a', [40, 50], 1),
      lease('a', 60, 2, { worker: 'w2', attempt: 2 }),
    ]);
    expect(text).toContain('a larger token was seen before');
  });

  it('accepts it where the order of the grant and the outcome is open', () => {
    accepts([
      submit('a', [0, 10]),
      submit('b', [0, 10], { priority: 2 }),
      lease('a', 20, 1),
      fail('a', [25, 50], 1),
      lease('b', 30, 3),
      lease('a', 60, 2, { worker: 'w2', attempt: 2 }),
    ]);
  });

  it('rejects that a job is given out again after the lease that ended it', () => {
    rejects('lease-overlap', [
      submit('a', [0, 10]),
      lease('a', 20, 1),
      complete('a', [30, 40], 1),
      lease('a', 60, 2, { worker: 'w2', attempt: 2 }),
    ]);
    rejects('lease-overlap', [
      submit('a', [0, 10]),
      lease('a', 20, 1),
      fail('a', [30, 40], 1, { retryable: false }),
      lease('a', 60, 2, { worker: 'w2', attempt: 2 }),
    ]);
  });

  it('accepts it after a retry of a failed job, and where nobody knows whether the end counted', () => {
    accepts([
      submit('a', [0, 10]),
      lease('a', 20, 1),
      fail('a', [30, 40], 1, { retryable: false }),
      change('retry', 'a', [50, null]),
      lease('a', 60, 2, { worker: 'w2' }),
    ]);
    accepts([
      submit('a', [0, 10]),
      lease('a', 20, 1),
      complete('a', [30, null], 1),
      lease('a', 60, 2, { worker: 'w2', attempt: 2 }),
      complete('a', [70, 80], 2),
    ]);
  });
});

describe('lease-order', () => {
  it('rejects a token that stands for two jobs', () => {
    rejects('lease-order', [
      submit('a', [0, 10]),
      submit('b', [0, 10]),
      lease('a', 20, 1),
      lease('b', 30, 1),
    ]);
  });

  it('rejects one lease that two workers got', () => {
    rejects('lease-order', [submit('a', [0, 10]), lease('a', 20, 1), lease('a', 30, 1, { worker: 'w2' })]);
  });

  it('accepts that a worker gets a lease again when it resumes', () => {
    accepts([
      submit('a', [0, 10]),
      lease('a', 20, 1),
      lease('a', 30, 1, { node: 'n2' }),
      complete('a', [40, 50], 1),
    ]);
  });

  it('rejects a token smaller than one that was seen before the job was submitted', () => {
    const [text] = rejects('lease-order', [
      submit('a', [0, 10]),
      lease('a', 20, 5),
      submit('b', [30, 40], { priority: 0 }),
      lease('b', 50, 4),
    ]);
    expect(text).toContain('before anybody had begun to submit b at 30 ms');
  });

  it('accepts leases that are seen in another order than they were granted in', () => {
    accepts([
      submit('a', [0, 10]),
      submit('b', [15, 18], { priority: 0 }),
      lease('a', 20, 5),
      lease('b', 50, 4, { worker: 'w2' }),
      complete('b', [60, 65], 4),
      complete('a', [66, 70], 5),
    ]);
    accepts([
      submit('a', [0, 10]),
      lease('a', 30, 2, { worker: 'w2', attempt: 2 }),
      lease('a', 50, 1),
      complete('a', [60, 65], 2),
    ]);
  });
});

describe('attempts', () => {
  const two = [submit('a', [0, 10]), lease('a', 20, 1)];

  it('rejects more attempts than the job may have', () => {
    rejects('attempts', [submit('a', [0, 10], { maxAttempts: 1 }), lease('a', 20, 4, { attempt: 2 })]);
    rejects('attempts', [submit('a', [0, 10]), read('a', [20, 30], seen('a', 'running', 4))]);
  });

  it('rejects an attempt number that jumps by more than there can have been leases', () => {
    rejects('attempts', [...two, lease('a', 40, 2, { attempt: 3 })]);
    accepts([...two, lease('a', 40, 3, { attempt: 3 })]);
  });

  it('rejects one that goes back, but not after a retry', () => {
    const life = [submit('a', [0, 10]), lease('a', 20, 4, { attempt: 2 })];
    rejects('attempts', [...life, lease('a', 40, 5, { attempt: 1 })]);
    accepts([...life, change('retry', 'a', [30, null]), lease('a', 40, 5, { attempt: 1 })]);
  });

  it('rejects one that stays although the attempt failed, not when it was handed back or got lost', () => {
    rejects('attempts', [...two, fail('a', [25, 30], 1), lease('a', 40, 3)]);
    accepts([...two, fail('a', [25, null], 1), lease('a', 40, 3)]);
    accepts([...two, release('a', [25, 30], 1), lease('a', 40, 3)]);
    accepts([...two, lease('a', 40, 3)]);
  });

  it('rejects two attempts under one token', () => {
    rejects('attempts', [...two, lease('a', 40, 1, { attempt: 2, node: 'n2' })]);
  });
});
