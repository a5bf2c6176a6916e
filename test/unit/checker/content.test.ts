import { describe, expect, it } from 'vitest';
import { accepts, complete, last, lease, local, read, rejects, seen, submit, succeeded } from './bed.js';

describe('altered', () => {
  it('rejects another payload than the one submitted, at a worker or a reader', () => {
    const [text] = rejects('altered', [submit('a', [0, 10]), lease('a', 20, 1, { payload: 'x' })]);
    expect(text).toContain('"payload of a"');
    rejects('altered', [submit('a', [0, 10]), local('a', [20, 30], seen('a', 'queued', 0, { payload: '' }))]);
  });

  it('rejects another function', () => {
    rejects('altered', [submit('a', [0, 10]), lease('a', 20, 1, { function: 'resize' })]);
  });

  it('rejects the payload of a submission that found the job made', () => {
    rejects('altered', [
      submit('a', [0, 10]),
      submit('a', [0, 12], { payload: 'x', answer: { job: 'a', disposition: 'same-id' } }),
      lease('a', 20, 1, { payload: 'x' }),
    ]);
  });

  it('rejects the payload of a submission that joined it', () => {
    rejects('altered', [
      submit('a', [0, 10], { uniqueKey: 'k' }),
      submit('b', [11, 12], {
        uniqueKey: 'k',
        payload: 'x',
        answer: { job: 'a', disposition: 'coalesced' },
      }),
      lease('a', 20, 1, { payload: 'x' }),
    ]);
  });

  it('accepts the payload of either of two submissions where nobody knows which one made the job', () => {
    const two = [submit('a', [0, null]), submit('a', [0, null], { payload: 'x' })];
    accepts([...two, lease('a', 20, 1)]);
    accepts([...two, lease('a', 20, 1, { payload: 'x' })]);
  });
});

describe('replicas-differ', () => {
  const life = [submit('a', [0, 10]), lease('a', 20, 1), complete('a', [30, 40], 1)];

  it('rejects nodes that have different things of one job at the end', () => {
    const [text] = rejects('replicas-differ', [
      ...life,
      last('a', 99, succeeded('a')),
      last('a', 99, succeeded('a', 2), { node: 'n2' }),
    ]);
    expect(text).toContain('at n2');
  });

  it('accepts nodes that have the same, or have it no more', () => {
    accepts([...life, last('a', 99, succeeded('a')), last('a', 99, succeeded('a'), { node: 'n2' })]);
    accepts([
      ...life,
      last('a', 20_000, succeeded('a')),
      last('a', 20_000, 'absent', { node: 'n2' }),
      read('a', [20_001, 20_002], 'absent'),
    ]);
  });
});
