import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { History } from '../../../src/checker/index.js';
import { readHistory, writeHistory } from '../../chaos/history-file.js';
import { SETTINGS } from '../../chaos/settings.js';
import { longestGap, spansWithMajority } from '../../chaos/summary.js';

describe('the longest time without an accepted job', () => {
  it('counts from the beginning and to the end, inside each interval', () => {
    expect(longestGap([], [[0, 100]])).toBe(100);
    expect(longestGap([10, 20, 90], [[0, 100]])).toBe(70);
    expect(longestGap([60, 80], [[0, 100]])).toBe(60);
    // What lies between two intervals is nobody's gap.
    expect(
      longestGap(
        [5, 95],
        [
          [0, 10],
          [90, 100],
        ],
      ),
    ).toBe(5);
    expect(longestGap([5], [])).toBe(0);
  });

  it('knows when there was a majority', () => {
    const spans = [
      { from: 0, majority: true },
      { from: 40, majority: false },
      { from: 60, majority: true },
    ];
    expect(spansWithMajority(spans, 10, 100)).toEqual([
      [10, 40],
      [60, 100],
    ]);
    expect(spansWithMajority(spans, 45, 55)).toEqual([]);
  });
});

describe('a history in a file', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'gearmesh-history-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  it('comes back as it was', async () => {
    const file = join(folder, 'history.jsonl');
    const history: History = {
      promises: SETTINGS.promises,
      events: [{ type: 'lease-lost', at: 1.5, worker: 'ä', token: 3 }],
    };
    await writeHistory(file, history);
    expect(await readHistory(file)).toEqual(history);
  });

  it('is refused when it does not say what was promised', async () => {
    const file = join(folder, 'other.jsonl');
    writeFileSync(file, '{"type":"lease-lost"}\n');
    await expect(readHistory(file)).rejects.toThrow('it is no history of a run');
  });
});
