import { describe, expect, it } from 'vitest';
import { accepts, change, complete, lease, read, rejects, seen, submit } from './bed.js';

const delayed = submit('a', [0, 10], { due: 1_000 });

describe('early', () => {
  it('rejects a delayed job that is given out before its time', () => {
    const [text] = rejects('early', [delayed, lease('a', 899, 1)]);
    expect(text).toContain('due at 1000 ms');
    accepts([delayed, lease('a', 900, 1)]);
  });

  it('rejects one that a reader sees running or done before its time', () => {
    rejects('early', [delayed, read('a', [100, 200], seen('a', 'running', 1))]);
    rejects('early', [delayed, read('a', [100, 200], seen('a', 'queued', 1))]);
  });

  it('rejects one whose token shows that it was granted before its time, though seen later', () => {
    rejects('early', [
      delayed,
      submit('b', [0, 10], { priority: 2 }),
      lease('b', 500, 7),
      lease('a', 1_200, 6, { worker: 'w2' }),
    ]);
  });

  it('accepts one that was cancelled and then retried, which starts at once', () => {
    accepts([
      delayed,
      change('cancel', 'a', [20, 30]),
      change('retry', 'a', [40, null]),
      lease('a', 50, 1),
      complete('a', [60, 70], 1),
    ]);
  });

  it('accepts one of which another submission, that may have made it, asked for no delay', () => {
    accepts([submit('a', [0, null], { due: 1_000 }), submit('a', [0, null]), lease('a', 50, 1)]);
  });
});

describe('late-start', () => {
  const limited = submit('a', [0, 10], { startDeadline: 1_000 });

  it('rejects a first attempt that was given out after the deadline, as a smaller token shows', () => {
    const [text] = rejects('late-start', [
      limited,
      submit('b', [1_101, 1_110], { priority: 0 }),
      lease('b', 1_120, 3),
      lease('a', 1_130, 4, { worker: 'w2' }),
    ]);
    expect(text).toContain('started by 1000 ms');
  });

  it('accepts one that is only seen late, and one within what clocks may be off', () => {
    accepts([limited, lease('a', 5_000, 4)]);
    accepts([
      limited,
      submit('b', [1_100, 1_110], { priority: 0 }),
      lease('b', 1_120, 3),
      lease('a', 1_130, 4),
    ]);
  });

  it('accepts a second attempt, and a retry, after it', () => {
    const after = [submit('b', [1_200, 1_210], { priority: 0 }), lease('b', 1_220, 3)];
    accepts([limited, lease('a', 20, 1), ...after, lease('a', 1_230, 4, { attempt: 2 })]);
    accepts([limited, ...after, change('retry', 'a', [1_221, null]), lease('a', 1_230, 4)]);
  });
});
