import { describe, expect, it } from 'vitest';
import { accepts, change, complete, fail, lease, local, read, rejects, seen, submit } from './bed.js';

const key = { uniqueKey: 'k' };

describe('unique-key', () => {
  it('rejects two jobs of one key that were live at one time', () => {
    const [text] = rejects('unique-key', [
      submit('a', [0, 10], key),
      submit('b', [5, 15], key),
      read('a', [30, 40], seen('a', 'queued')),
      read('b', [50, 60], seen('b', 'queued')),
    ]);
    expect(text).toContain('"k"');
  });

  it('rejects one that was made while another one lived, whatever became of it', () => {
    rejects('unique-key', [
      submit('a', [0, 10], key),
      submit('b', [20, 30], key),
      read('a', [50, 60], seen('a', 'queued')),
    ]);
  });

  it('takes the outcome of a lease as a sign of life until it was said', () => {
    rejects('unique-key', [
      submit('a', [0, 10], key),
      submit('b', [20, 30], key),
      lease('a', 12, 1),
      complete('a', [50, 60], 1),
    ]);
  });

  it('accepts the second where the first may have ended before', () => {
    accepts([
      submit('a', [0, 10], key),
      lease('a', 12, 1),
      complete('a', [15, 40], 1),
      submit('b', [20, 30], key),
      read('b', [50, 60], seen('b', 'queued')),
    ]);
    accepts([
      submit('a', [0, 10], key),
      change('cancel', 'a', [11, null]),
      submit('b', [20, 30], key),
      local('a', [50, 60], seen('a', 'queued')),
    ]);
  });

  it('accepts that the first was retried after the second had ended', () => {
    accepts([
      submit('a', [0, 10], key),
      lease('a', 11, 1),
      fail('a', [12, 13], 1, { retryable: false }),
      submit('b', [20, 30], key),
      lease('b', 31, 2),
      complete('b', [35, 40], 2),
      change('retry', 'a', [41, null]),
      read('a', [50, 60], seen('a', 'queued')),
    ]);
  });

  it('accepts equal keys of different functions and namespaces', () => {
    const alive = [read('a', [30, 40], seen('a', 'queued')), read('b', [50, 60], seen('b', 'queued'))];
    accepts([submit('a', [0, 10], key), submit('b', [5, 15], { ...key, function: 'resize' }), ...alive]);
    accepts([submit('a', [0, 10], key), submit('b', [5, 15], { ...key, namespace: 'other' }), ...alive]);
  });
});
