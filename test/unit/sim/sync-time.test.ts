import { describe, expect, it } from 'vitest';
import { SyncTime } from '../../../src/sim/sync-time.js';

describe('what a disk takes for a sync', () => {
  it('is the slowest of what was done to it', () => {
    const time = new SyncTime([0.1, 2]);
    expect(time.ms).toEqual([0.1, 2]);
    time.slow([300, 1_500]);
    time.slow([50, 300]);
    expect(time.ms).toEqual([300, 1_500]);
  });

  it('is as usual again once all of that is over, whatever ended first', () => {
    const time = new SyncTime([0.1, 2]);
    const first = time.slow([1_500, 4_000]);
    const second = time.slow([8_000, 8_000]);
    first();
    expect(time.ms).toEqual([8_000, 8_000]);
    first();
    const third = time.slow([8_000, 8_000]);
    second();
    expect(time.ms).toEqual([8_000, 8_000]);
    third();
    expect(time.ms).toEqual([0.1, 2]);
  });
});
