import { describe, expect, it } from 'vitest';
import type { HistoryEvent, Submit } from '../../../src/checker/index.js';
import { accepts, change, interrupted, lease, rejects, release, submit } from './bed.js';

/** `second` is submitted after the first was accepted, and given out before it. */
function overtaking(first: Partial<Submit> = {}, second: Partial<Submit> = {}): HistoryEvent[] {
  return [
    submit('a', [0, 10], first),
    submit('b', [11, 20], second),
    lease('b', 30, 1),
    lease('a', 35, 2, { worker: 'w2' }),
  ];
}

describe('order', () => {
  it('rejects a job that was given out before one accepted earlier, as the tokens show', () => {
    const [text] = rejects('order', overtaking());
    expect(text).toContain('a was accepted before b');
  });

  it('rejects it within a stream, where the calls overlapped', () => {
    const stream = { stream: 's' };
    rejects('order', [
      submit('a', [0, 10], stream),
      submit('b', [0, 10], stream),
      lease('b', 30, 1),
      lease('a', 35, 2, { worker: 'w2' }),
    ]);
  });

  it('accepts it where nobody knows which was accepted first', () => {
    accepts([
      submit('a', [0, 10]),
      submit('b', [0, 10]),
      lease('b', 30, 1),
      lease('a', 35, 2, { worker: 'w2' }),
    ]);
    accepts([
      submit('a', [0, null]),
      submit('b', [11, 20]),
      lease('b', 30, 1),
      lease('a', 35, 2, { worker: 'w2' }),
    ]);
  });

  it('accepts that the leases are seen in another order than they were granted in', () => {
    accepts([submit('a', [0, 10]), submit('b', [11, 20]), lease('b', 30, 2), lease('a', 35, 1)]);
  });

  it('judges nothing across functions, namespaces and priorities, nor what is delayed', () => {
    accepts(overtaking({ priority: 2 }, { priority: 1 }));
    accepts(overtaking({ namespace: 'other' }));
    accepts(overtaking({ due: 5 }));
  });

  it('accepts a job that was handed back and so went to the tail', () => {
    accepts([
      submit('a', [0, 10]),
      lease('a', 12, 1),
      release('a', [13, 14], 1),
      submit('b', [15, 20]),
      lease('b', 30, 2),
      lease('a', 35, 3),
    ]);
    accepts([...overtaking(), change('retry', 'a', [40, null])]);
  });

  it('accepts it where a first lease may have got lost on its way', () => {
    accepts([...overtaking(), interrupted('w3', 25)]);
    rejects('order', [...overtaking(), interrupted('w3', 40)]);
    accepts(overtaking(), { unseenLeaseMs: 30 });
  });

  it('does not judge where workers do not note that they were cut off, or show no tokens', () => {
    accepts(overtaking(), { unseenLeaseMs: 0 });
    accepts([...overtaking(), submit('c', [0, 5]), lease('c', 36, 0, { attempt: 0, worker: 'g' })]);
  });
});
