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
  refused,
  rejects,
  seen,
  submit,
  succeeded,
} from './bed.js';

describe('lost', () => {
  it('rejects an acknowledged job that a node does not have at the end', () => {
    const [text] = rejects('lost', [submit('a', [0, 10]), last('a', 500, 'absent', { node: 'n2' })]);
    expect(text).toContain('n2 does not have it at the end');
  });

  it('rejects the loss of a job that only a lease shows to have been accepted', () => {
    rejects('lost', [submit('a', [0, null]), lease('a', 20, 1), last('a', 500, 'absent')]);
  });

  it('rejects the loss of a job that another submission joined', () => {
    const joined = submit('b', [20, 30], {
      uniqueKey: 'k',
      answer: { job: 'a', disposition: 'coalesced' },
    });
    rejects('lost', [submit('a', [0, null], { uniqueKey: 'k' }), joined, last('a', 500, 'absent')]);
  });

  it('accepts that what was not acknowledged is nowhere', () => {
    accepts([submit('a', [0, null]), last('a', 500, 'absent')]);
  });

  it('accepts that a job is gone after a delete whose outcome nobody knows', () => {
    accepts([
      submit('a', [0, 10]),
      lease('a', 20, 1),
      complete('a', [30, 40], 1),
      change('delete', 'a', [50, null]),
      last('a', 500, 'absent'),
    ]);
  });

  it('accepts that a job is gone when its retention may be over by a clock that is off', () => {
    const life = [submit('a', [0, 10]), lease('a', 20, 1), complete('a', [30, 40], 1)];
    accepts([...life, last('a', 30 + 10_000 - 200, 'absent')]);
    rejects('lost', [...life, last('a', 30 + 10_000 - 201, 'absent')]);
  });

  it('takes the retention of the job before that of the cluster', () => {
    const life = [submit('a', [0, 10], { retentionMs: 0 }), lease('a', 20, 1), complete('a', [30, null], 1)];
    accepts([...life, last('a', 500, 'absent')]);
  });

  it('does not think a failed job gone as early as one that succeeded', () => {
    const life = [submit('a', [0, 10]), lease('a', 20, 1), fail('a', [30, 40], 1, { retryable: false })];
    rejects('lost', [...life, last('a', 15_000, 'absent')]);
    accepts([...life, last('a', 20_000, 'absent')]);
  });
});

describe('invented', () => {
  it('rejects a job that nobody submitted', () => {
    rejects('invented', [lease('a', 20, 1)]);
    rejects('invented', [read('a', [5, 10], seen('a', 'queued'))]);
  });

  it('rejects a job that is seen before anybody began to submit it', () => {
    const [text] = rejects('invented', [lease('a', 20, 1), submit('a', [25, 30])]);
    expect(text).toContain('before 25 ms');
  });

  it('accepts a job whose submission was never answered', () => {
    accepts([submit('a', [0, null]), lease('a', 20, 1), complete('a', [30, 40], 1)]);
  });

  it('accepts a job that a schedule made', () => {
    accepts([
      lease('a', 20, 1),
      complete('a', [30, 40], 1),
      last('a', 500, succeeded('a'), { madeBy: 's/1' }),
    ]);
  });

  it('rejects that a submission joined a job that nobody submitted', () => {
    const joined = submit('b', [20, 30], {
      uniqueKey: 'k',
      answer: { job: 'a', disposition: 'coalesced' },
    });
    rejects('invented', [joined]);
  });
});

describe('not-applied', () => {
  it('rejects that a refused submission made a job', () => {
    rejects('not-applied', [refused(submit('a', [0, 10]), 'LIMIT_REACHED'), lease('a', 20, 1)]);
  });

  it('accepts a job of which one submission was refused and another one unknown', () => {
    accepts([
      submit('a', [0, null]),
      refused(submit('a', [5, 10]), 'LIMIT_REACHED'),
      lease('a', 20, 1),
      complete('a', [30, 40], 1),
    ]);
  });

  it('rejects that a refused result is the outcome', () => {
    rejects('not-applied', [
      submit('a', [0, 10]),
      lease('a', 20, 1),
      refused(complete('a', [30, 40], 1), 'LEASE_LOST'),
      read('a', [50, 60], succeeded('a')),
    ]);
  });

  it('rejects that a refused cancel took effect', () => {
    rejects('not-applied', [
      submit('a', [0, 10]),
      refused(change('cancel', 'a', [20, 30])),
      read('a', [50, 60], seen('a', 'cancelled', 0, { errorCode: 'CANCELLED' })),
    ]);
  });

  it('rejects that a refused failure is the outcome', () => {
    rejects('not-applied', [
      submit('a', [0, 10]),
      lease('a', 20, 1),
      refused(fail('a', [30, 40], 1, { retryable: false }), 'LEASE_LOST'),
      read('a', [50, 60], seen('a', 'failed', 1, { errorCode: 'E' })),
    ]);
  });

  it('accepts a result that was refused once and may have been taken before', () => {
    accepts([
      submit('a', [0, 10]),
      lease('a', 20, 1),
      complete('a', [30, null], 1),
      refused(complete('a', [45, 50], 1), 'LIMIT_REACHED'),
      read('a', [50, 60], succeeded('a')),
    ]);
  });
});

describe('retention', () => {
  const life = [submit('a', [0, 10]), lease('a', 20, 1), complete('a', [30, 40], 1)];

  it('rejects that an ended job is absent while it is to be kept', () => {
    const [text] = rejects('retention', [...life, read('a', [5_000, 5_010], 'absent')]);
    expect(text).toContain('had ended by 40 ms');
  });

  it('accepts it once the retention may be over, after a delete, and at a node that is behind', () => {
    accepts([...life, read('a', [9_830, 9_840], 'absent')]);
    accepts([...life, change('delete', 'a', [50, null]), read('a', [60, 70], 'absent')]);
    accepts([...life, local('a', [60, 70], 'absent')]);
  });

  it('rejects it when the delete began later, or was refused', () => {
    rejects('retention', [...life, read('a', [60, 70], 'absent'), change('delete', 'a', [80, null])]);
    rejects('retention', [...life, refused(change('delete', 'a', [45, 50])), read('a', [60, 70], 'absent')]);
  });
});

describe('unfinished', () => {
  it('rejects an accepted job that has not ended at the end', () => {
    rejects('unfinished', [submit('a', [0, 10]), last('a', 100_000, seen('a', 'queued'))]);
    rejects('unfinished', [submit('a', [0, null]), last('a', 100_000, seen('a', 'running', 1))]);
  });

  it('accepts one that is not due yet, and one that nobody made', () => {
    accepts([submit('a', [0, 10], { due: 150_000 }), last('a', 100_000, seen('a', 'scheduled'))]);
    accepts([submit('a', [0, null]), last('a', 100_000, 'absent')]);
  });
});
