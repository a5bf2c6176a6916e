import { describe, expect, it } from 'vitest';
import { examine, type HistoryEvent } from '../../../src/checker/index.js';
import {
  accepts,
  change,
  complete,
  fail,
  lease,
  local,
  PROMISES,
  read,
  rejects,
  release,
  seen,
  submit,
  succeeded,
  watched,
} from './bed.js';

const made = submit('a', [0, 10]);
const failed = seen('a', 'failed', 1, { errorCode: 'E' });
const cancelled = seen('a', 'cancelled', 0, { errorCode: 'CANCELLED' });

function rejected(...events: HistoryEvent[]): string {
  return rejects('not-linearizable', events)[0]!;
}

describe('not-linearizable', () => {
  it('rejects that a job is absent after it was acknowledged, and accepts it while that is under way', () => {
    expect(rejected(made, read('a', [20, 30], 'absent'))).toContain('(absent)');
    accepts([made, read('a', [5, 30], 'absent')]);
    accepts([submit('a', [0, null]), read('a', [20, 30], 'absent'), lease('a', 40, 1)]);
    accepts([made, local('a', [20, 30], 'absent')]);
  });

  it('rejects that a job is absent again after somebody saw it', () => {
    rejected(submit('a', [0, null]), read('a', [12, 15], seen('a', 'queued')), read('a', [20, 30], 'absent'));
  });

  it('rejects that a job lives after it has ended', () => {
    const life = [made, lease('a', 20, 1), complete('a', [30, 40], 1)];
    rejected(...life, read('a', [50, 60], seen('a', 'running', 1)));
    accepts([...life, read('a', [35, 60], seen('a', 'running', 1))]);
    accepts([...life, local('a', [50, 60], seen('a', 'running', 1))]);
    rejected(made, change('cancel', 'a', [15, null]), watched('x', 'a', 20, 'accepted', cancelled), {
      ...read('a', [50, 60], seen('a', 'queued')),
    });
  });

  it('accepts that it lives again after a retry that may have been carried out', () => {
    const life = [made, lease('a', 20, 1), fail('a', [30, 40], 1, { retryable: false })];
    rejected(...life, read('a', [50, 60], seen('a', 'queued')));
    accepts([...life, change('retry', 'a', [45, null]), read('a', [50, 60], seen('a', 'queued'))]);
    rejected(...life, change('retry', 'a', [65, null]), read('a', [50, 60], seen('a', 'queued')));
  });

  it('rejects that a job was retried that had not ended, or had succeeded', () => {
    const running = [made, lease('a', 20, 1), read('a', [21, 22], seen('a', 'running', 1))];
    rejected(...running, complete('a', [30, 40], 1), change('retry', 'a', [50, 60]));
    accepts([
      ...running,
      fail('a', [30, 40], 1, { retryable: false }),
      change('retry', 'a', [45, 46]),
      lease('a', 60, 2),
      fail('a', [61, 62], 2, { retryable: false }),
      change('retry', 'a', [63, 64]),
    ]);
  });

  it('rejects attempts that go back further than a lease that is handed back takes them', () => {
    const running = read('a', [20, 30], seen('a', 'running', 2));
    accepts([made, running, read('a', [40, 50], seen('a', 'queued', 1))]);
    rejected(made, running, read('a', [40, 50], seen('a', 'queued', 0)));
    rejected(made, running, read('a', [40, 50], seen('a', 'scheduled', 1)));
    rejected(made, read('a', [20, 30], seen('a', 'queued', 1)), read('a', [40, 50], seen('a', 'running', 1)));
  });

  it('follows an attempt that failed, was lost or handed back', () => {
    const running = [made, lease('a', 20, 1), read('a', [21, 22], seen('a', 'running', 1))];
    accepts([...running, fail('a', [30, 40], 1), read('a', [41, 42], seen('a', 'scheduled', 1))]);
    accepts([...running, release('a', [30, 40], 1), read('a', [41, 42], seen('a', 'queued', 0))]);
    accepts([...running, read('a', [41, 42], seen('a', 'queued', 0))]);
    rejected(...running, fail('a', [30, 40], 1), read('a', [41, 42], seen('a', 'running', 1)));
    rejected(...running, fail('a', [30, 40], 1), read('a', [41, 42], seen('a', 'queued', 0)));
  });

  it('rejects what cannot be after a cancel, and lets a running job end as its worker says', () => {
    const cancel = change('cancel', 'a', [25, 30]);
    rejected(made, cancel, read('a', [40, 50], seen('a', 'queued')));
    rejected(made, lease('a', 20, 1), cancel, read('a', [40, 50], seen('a', 'scheduled', 1)));
    const running = [made, lease('a', 20, 1), cancel, read('a', [32, 33], seen('a', 'running', 1))];
    accepts([...running, complete('a', [40, 50], 1), read('a', [60, 70], succeeded('a'))]);
    accepts([...running, fail('a', [40, 50], 1), read('a', [60, 70], { ...cancelled, attempt: 1 })]);
    rejected(...running, fail('a', [40, 50], 1, { retryable: false }), read('a', [60, 70], failed));
  });

  it('rejects a cancel that was accepted after the job had ended otherwise', () => {
    rejected(made, lease('a', 20, 1), complete('a', [30, 40], 1), change('cancel', 'a', [50, 60]));
  });

  it('rejects that a deleted job is there, or was deleted while it lived', () => {
    const life = [made, lease('a', 20, 1), complete('a', [30, 40], 1), change('delete', 'a', [50, 60])];
    rejected(...life, read('a', [70, 80], succeeded('a')));
    accepts([...life, read('a', [55, 80], succeeded('a')), read('a', [90, 95], 'absent')]);
    rejected(made, change('delete', 'a', [15, 18]), read('a', [20, 25], seen('a', 'queued')));
  });

  it('accepts an outcome that is said again as long as it is the last', () => {
    const life = [made, lease('a', 20, 1), complete('a', [30, null], 1)];
    accepts([...life, complete('a', [50, 60], 1), complete('a', [70, 80], 1)]);
    accepts([
      ...life,
      complete('a', [50, 60], 1),
      change('delete', 'a', [61, 62]),
      complete('a', [70, 80], 1),
    ]);
  });

  it('accepts a result of which nobody knows when it was taken, and not two', () => {
    const life = [made, lease('a', 20, 1), complete('a', [30, null], 1), complete('a', [31, null], 1)];
    accepts([
      ...life,
      read('a', [40, 50], seen('a', 'running', 1)),
      read('a', [60, 70], succeeded('a')),
      read('a', [80, 90], succeeded('a')),
    ]);
    rejected(...life, read('a', [40, 50], succeeded('a')), read('a', [60, 70], seen('a', 'running', 1)));
  });

  it('lets another submission join a live job alone', () => {
    const keyed = submit('a', [0, 10], { uniqueKey: 'k' });
    const join = submit('b', [50, 60], { uniqueKey: 'k', answer: { job: 'a', disposition: 'coalesced' } });
    accepts([keyed, join]);
    accepts([keyed, lease('a', 20, 1), complete('a', [30, 55], 1), join]);
    rejected(keyed, lease('a', 20, 1), complete('a', [30, 40], 1), join);
  });

  it('takes a lease for a sign that it was granted before it was seen', () => {
    // 1 was granted before 9, so before it was submitted that b could have been given out.
    rejected(
      made,
      submit('b', [11, 12], { priority: 0 }),
      lease('b', 15, 9),
      read('a', [20, 25], seen('a', 'queued', 0)),
      lease('a', 30, 1),
      fail('a', [31, 32], 1),
    );
    accepts([
      made,
      submit('b', [11, 12], { priority: 0 }),
      lease('b', 28, 9),
      read('a', [20, 25], seen('a', 'queued', 0)),
      lease('a', 30, 1),
      fail('a', [31, 32], 1),
    ]);
  });

  it('says which states were possible before', () => {
    expect(
      rejected(made, lease('a', 20, 1), complete('a', [30, 40], 1), read('a', [50, 60], seen('a', 'queued'))),
    ).toContain('succeeded result of a');
  });

  it('follows Gearman jobs, which show neither token nor attempt', () => {
    const life = [made, lease('a', 20, 0, { attempt: 0 }), complete('a', [30, null], 0)];
    accepts([...life, read('a', [25, 26], seen('a', 'queued')), read('a', [40, 50], succeeded('a'))]);
    rejected(...life, read('a', [40, 50], succeeded('a')), read('a', [60, 70], seen('a', 'queued')));
  });
});

describe('the bound', () => {
  it('is not reached by a job that many decisions were about, of which nobody knows what became', () => {
    const unknown = Array.from({ length: 40 }, (_, i) => [
      change('cancel', 'a', [15 + i, null]),
      change('retry', 'a', [15 + i, null]),
      change('delete', 'a', [15 + i, null]),
    ]).flat();
    const reads = Array.from({ length: 20 }, (_, i) =>
      read('a', [100 + 10 * i, 105 + 10 * i], i % 2 === 0 ? cancelled : seen('a', 'queued')),
    );
    expect(examine({ events: [made, ...unknown, ...reads], promises: PROMISES })).toEqual({
      violations: [],
      undecided: [],
    });
    const late = read('a', [900, 905], 'absent');
    rejected(made, ...unknown, ...reads, late, read('a', [910, 915], seen('a', 'queued')));
  });

  it('names the jobs of which the search was given up, and blames nobody', () => {
    const many = Array.from({ length: 12 }, (_, i) => read('a', [20 + i, 60 + i], seen('a', 'queued')));
    const found = examine({ events: [made, ...many], promises: PROMISES }, 50);
    expect(found).toEqual({ violations: [], undecided: ['a'] });
    expect(examine({ events: [made, ...many], promises: PROMISES })).toEqual({
      violations: [],
      undecided: [],
    });
  });
});
