import { describe, expect, it } from 'vitest';
import type { HistoryEvent, Submit } from '../../../src/checker/index.js';
import { accepts, change, complete, fail, last, lease, read, refused, rejects, seen, submit } from './bed.js';

const again = { answer: { job: 'a', disposition: 'same-id' } } as const;
const joins = (job: string) => ({
  uniqueKey: 'k',
  answer: { job, disposition: 'coalesced' as const },
});

describe('same-id', () => {
  it('rejects that one id is made twice, one after the other or at once', () => {
    const [text] = rejects('same-id', [submit('a', [0, 10]), submit('a', [20, 30])]);
    expect(text).toContain('a was made twice');
    rejects('same-id', [submit('a', [0, 10]), submit('a', [5, 15])]);
  });

  it('rejects that it is made after it was there already', () => {
    rejects('same-id', [submit('a', [0, 10], again), submit('a', [20, 30])]);
    rejects('same-id', [submit('a', [0, null]), lease('a', 10, 1), submit('a', [20, 30])]);
  });

  it('rejects that it joined another job and is one of its own', () => {
    const first = submit('a', [0, 10], { uniqueKey: 'k' });
    rejects('same-id', [first, submit('b', [20, 30], joins('a')), submit('b', [40, 50], { uniqueKey: 'k' })]);
    rejects('same-id', [first, submit('b', [20, 30], joins('a')), read('b', [40, 50], seen('b', 'queued'))]);
  });

  it('rejects that it joined two jobs, or one that it cannot join', () => {
    rejects('same-id', [
      submit('a', [0, 10], { uniqueKey: 'k' }),
      lease('a', 11, 1),
      fail('a', [12, 13], 1, { retryable: false }),
      submit('c', [14, 15], { uniqueKey: 'k' }),
      submit('b', [20, 30], joins('a')),
      submit('b', [40, 50], joins('c')),
    ]);
    rejects('same-id', [submit('a', [0, 10], { uniqueKey: 'j' }), submit('b', [20, 30], joins('a'))]);
    rejects('same-id', [submit('a', [0, 10]), submit('b', [20, 30], { ...joins('a'), uniqueKey: '' })]);
  });

  it('rejects an answer that names another job than it can', () => {
    rejects('same-id', [
      submit('a', [0, 10]),
      submit('b', [20, 30], { answer: { job: 'a', disposition: 'created' } }),
    ]);
    rejects('same-id', [submit('a', [0, 10], { uniqueKey: 'k' }), submit('a', [20, 30], joins('a'))]);
  });

  it('accepts an id submitted again, at once or after an answer that got lost', () => {
    accepts([submit('a', [0, 10]), submit('a', [20, 30], again)]);
    accepts([submit('a', [0, 20], again), submit('a', [5, 10])]);
    accepts([submit('a', [0, null]), submit('a', [20, 30], again)]);
    // The client's library said it twice by itself.
    accepts([submit('a', [0, 30], again)]);
    accepts([submit('a', [0, null]), submit('a', [20, 30])]);
  });

  it('accepts that an id joined the same job each time, also after that one ended', () => {
    accepts([
      submit('a', [0, 10], { uniqueKey: 'k' }),
      submit('b', [12, 13], joins('a')),
      lease('a', 15, 1),
      complete('a', [20, 25], 1),
      submit('b', [40, 50], joins('a')),
    ]);
  });
});

describe('all-or-nothing', () => {
  const whole = (job: string, end: number | null, more: Partial<Submit> = {}): Submit =>
    submit(job, [0, end], { call: 'c', allOrNothing: true, ...more });

  it('rejects that some were accepted and some refused', () => {
    rejects('all-or-nothing', [whole('a', 10), refused(whole('b', 10), 'LIMIT_REACHED')]);
  });

  it('rejects that one is there and the other is not, where nobody got an answer', () => {
    const [text] = rejects('all-or-nothing', [
      whole('a', null),
      whole('b', null),
      lease('a', 20, 1),
      read('b', [30, 40], 'absent'),
    ]);
    expect(text).toContain('yet b was not');
    rejects('all-or-nothing', [
      whole('a', null),
      whole('b', null),
      lease('a', 20, 1),
      complete('a', [25, 30], 1),
      last('b', 99, 'absent'),
    ]);
  });

  it('accepts that all are there, or none', () => {
    accepts([whole('a', 10), whole('b', 10), lease('a', 20, 1), lease('b', 21, 2)]);
    accepts([whole('a', null), whole('b', null), last('a', 99, 'absent'), last('b', 99, 'absent')]);
    accepts([refused(whole('a', 10)), refused(whole('b', 10)), last('a', 99, 'absent')]);
  });

  it('accepts one that is absent where it may have joined another, have been deleted, or come later', () => {
    const there: HistoryEvent[] = [whole('a', null), lease('a', 20, 1)];
    accepts([...there, whole('b', null, { uniqueKey: 'k' }), read('b', [30, 40], 'absent')]);
    accepts([...there, whole('b', null), change('delete', 'b', [22, null]), read('b', [30, 40], 'absent')]);
    accepts([...there, whole('b', null), read('b', [10, 40], 'absent')]);
  });

  it('accepts one of which another submission may have made the first', () => {
    accepts([
      whole('a', null),
      whole('b', null),
      submit('a', [5, null]),
      lease('a', 20, 1),
      read('b', [30, 40], 'absent'),
    ]);
  });

  it('judges nothing that was not submitted so', () => {
    accepts([submit('a', [0, 10], { call: 'c' }), refused(submit('b', [0, 10], { call: 'c' }))]);
  });
});
