import { describe, it } from 'vitest';
import type { HistoryEvent } from '../../../src/checker/index.js';
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

const GIVEN = [submit('a', [0, 10]), lease('a', 20, 1)];
const LOST = 'LEASE_LOST';

describe('repeated-outcome', () => {
  it('rejects that the outcome that ended the job is refused when it is said again', () => {
    rejects('repeated-outcome', [
      ...GIVEN,
      complete('a', [30, 40], 1),
      refused(complete('a', [50, 60], 1, { node: 'n2' }), LOST),
    ]);
    rejects('repeated-outcome', [
      ...GIVEN,
      fail('a', [30, 40], 1, { retryable: false }),
      refused(fail('a', [50, 60], 1, { retryable: false }), LOST),
    ]);
  });

  it('rejects it also of two that were said at once', () => {
    rejects('repeated-outcome', [
      ...GIVEN,
      refused(complete('a', [30, 36], 1), LOST),
      complete('a', [30, 40], 1, { node: 'n2' }),
    ]);
  });

  it('rejects it where nobody heard the first answer, but the job is seen to have ended so', () => {
    const unheard = [
      ...GIVEN,
      complete('a', [30, null], 1),
      refused(complete('a', [50, 60], 1, { node: 'n2' }), LOST),
    ];
    rejects('repeated-outcome', [...unheard, last('a', 99, succeeded('a'))]);
    rejects('repeated-outcome', [...unheard, read('a', [70, 80], succeeded('a'))]);
    accepts(unheard);
  });

  it('rejects it of a job whose record is gone', () => {
    rejects('repeated-outcome', [
      ...GIVEN,
      complete('a', [30, 40], 1),
      change('delete', 'a', [41, 42]),
      refused(complete('a', [50, 60], 1), LOST),
    ]);
  });

  it('accepts it once the id of the job may be forgotten', () => {
    const late = refused(complete('a', [50, 60], 1), LOST);
    accepts([...GIVEN, complete('a', [30, 40], 1), late], { dedupeWindowMs: 100 });
  });

  it('accepts that something else is refused, said under the same lease or another', () => {
    accepts([...GIVEN, complete('a', [30, 40], 1), refused(fail('a', [50, 60], 1), LOST)]);
    accepts([
      ...GIVEN,
      complete('a', [30, 40], 1, { result: 'x' }),
      refused(complete('a', [50, 60], 1, { result: 'y' }), LOST),
    ]);
    accepts([
      ...GIVEN,
      lease('a', 30, 2, { worker: 'w2', attempt: 2 }),
      complete('a', [40, 50], 2),
      refused(complete('a', [45, 60], 1), LOST),
      refused(complete('a', [70, 80], 1), LOST),
      last('a', 99, succeeded('a', 2)),
    ]);
  });

  it('judges nothing of outcomes after which the job goes on', () => {
    accepts([...GIVEN, release('a', [30, 40], 1), refused(release('a', [50, 60], 1), LOST)]);
    accepts([...GIVEN, fail('a', [30, 40], 1), refused(fail('a', [50, 60], 1), LOST)]);
    accepts([
      ...GIVEN,
      fail('a', [30, 40], 1, { retryable: false }),
      change('retry', 'a', [42, 44]),
      refused(fail('a', [50, 60], 1, { retryable: false }), LOST),
    ]);
  });

  it('accepts another reason for a refusal', () => {
    accepts([...GIVEN, complete('a', [30, 40], 1), refused(complete('a', [50, 60], 1), 'LIMIT_REACHED')]);
  });
});

describe('lease-short', () => {
  const lasts: HistoryEvent[] = [submit('a', [0, 10]), lease('a', 20, 1, { until: 1_000 })];

  it('rejects that a lease is over before its time', () => {
    rejects('lease-short', [...lasts, leaseLost('w1', 40, 1)]);
    rejects('lease-short', [...lasts, lease('a', 40, 2, { worker: 'w2', attempt: 2 })]);
  });

  it('accepts it once that time is over', () => {
    accepts([...lasts, leaseLost('w1', 1_001, 1)]);
    accepts([...lasts, lease('a', 1_002, 2, { worker: 'w2', attempt: 2 })]);
  });

  it('accepts it where its worker may have ended it', () => {
    accepts([...lasts, release('a', [25, null], 1), lease('a', 40, 2, { worker: 'w2' })]);
    accepts([...lasts, fail('a', [25, 30], 1), lease('a', 40, 2, { worker: 'w2', attempt: 2 })]);
    accepts([
      ...lasts,
      fail('a', [25, 30], 1, { retryable: false }),
      refused(complete('a', [32, 40], 1), LOST),
    ]);
    // Said twice by its node: it counted the first time, and was too late the second.
    const twice = refused(fail('a', [25, 60], 1), LOST);
    accepts([...lasts, lease('a', 40, 2, { worker: 'w2', attempt: 2 }), twice]);
    for (const late of [fail('a', [50, null], 1), refused(fail('a', [50, 60], 1), LOST)]) {
      rejects('lease-short', [...lasts, lease('a', 40, 2, { worker: 'w2', attempt: 2 }), late]);
    }
  });

  it('accepts it where the job was cancelled, or nobody waits for it any more', () => {
    const ended = [refused(complete('a', [30, 40], 1), LOST), last('a', 99, seen('a', 'cancelled', 1))];
    accepts([...lasts, change('cancel', 'a', [22, null]), ...ended]);
    accepts([submit('a', [0, 10], { waits: true }), lasts[1]!, ...ended]);
  });

  it('judges nothing of a lease that lasts as long as a connection', () => {
    accepts([...GIVEN, refused(complete('a', [30, 40], 1), LOST)]);
  });
});
