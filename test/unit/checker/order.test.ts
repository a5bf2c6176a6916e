import { describe, expect, it } from 'vitest';
import type { HistoryEvent, Submit } from '../../../src/checker/index.js';
import { accepts, change, fail, interrupted, lease, rejects, release, submit } from './bed.js';

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
      submit('b', [11, 20]),
      release('a', [13, 21], 1),
      lease('b', 30, 2),
      lease('a', 35, 3),
    ]);
    accepts([...overtaking(), change('retry', 'a', [40, null])]);
  });

  it('rejects a job that came back, and was given out before one that had waited since before', () => {
    for (const back of [release('a', [20, 21], 1), fail('a', [20, 21], 1)]) {
      const again = lease('a', 30, 2, { attempt: back.outcome === 'fail' ? 2 : 1 });
      const waits = [submit('b', [13, 19]), lease('b', 35, 3, { worker: 'w2' })];
      const [text] = rejects('order', [submit('a', [0, 10]), lease('a', 12, 1), back, ...waits, again]);
      expect(text).toContain('b was accepted before a came back');
    }
  });

  it('rejects it also of one whose lease was lost, as far as tokens tell when it had it', () => {
    const lives = [
      submit('a', [0, 10]),
      submit('b', [11, 20]),
      lease('a', 40, 2),
      lease('a', 60, 3, { worker: 'w2', attempt: 2 }),
      lease('b', 70, 4),
    ];
    // It may have come back before the other was there.
    accepts(lives);
    const later = [submit('c', [30, 31], { priority: 2 }), lease('c', 35, 1, { worker: 'w3' })];
    rejects('order', [...lives, ...later]);
  });

  it('rejects that one handed back is overtaken by one that came later', () => {
    const lives = [submit('a', [0, 10]), lease('a', 12, 1), release('a', [13, 14], 1), submit('b', [15, 20])];
    rejects('order', [...lives, lease('b', 30, 2), lease('a', 35, 3, { worker: 'w2' })]);
    accepts([...lives, lease('a', 30, 2), lease('b', 35, 3, { worker: 'w2' })]);
    // It was given out meanwhile, and lost again.
    accepts([...lives, lease('b', 30, 3), lease('a', 35, 4, { worker: 'w2', attempt: 2 })]);
    accepts([...lives, lease('b', 30, 2), lease('a', 35, 3, { worker: 'w2' }), interrupted('w3', 25)]);
  });

  it('rejects a delayed job that was given out before one that waited when it was not yet due', () => {
    const waits = [submit('b', [400, 500]), lease('b', 1_010, 2, { worker: 'w2' })];
    rejects('order', [submit('a', [0, 10], { due: 1_000 }), ...waits, lease('a', 1_005, 1)]);
    // As far as clocks may be wrong it was due by then.
    accepts([submit('a', [0, 10], { due: 550 }), ...waits, lease('a', 1_005, 1)]);
  });

  it('accepts it where a first lease may have got lost on its way', () => {
    accepts([...overtaking(), interrupted('w3', 25)]);
    rejects('order', [...overtaking(), interrupted('w3', 40)]);
    accepts([...overtaking(), interrupted('w3', 1, 25)]);
    accepts([...overtaking(), interrupted('w3', 1, 100)]);
    accepts([...overtaking(), interrupted('w3', 1, 100), interrupted('w4', 2)]);
    rejects('order', [...overtaking(), interrupted('w3', 40, 100)]);
    accepts(overtaking(), { unseenLeaseMs: 30 });
  });

  it('does not judge where workers do not note that they were cut off, or show no tokens', () => {
    accepts(overtaking(), { unseenLeaseMs: 0 });
    accepts([...overtaking(), submit('c', [0, 5]), lease('c', 36, 0, { attempt: 0, worker: 'g' })]);
  });
});
