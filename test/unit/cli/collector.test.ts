import { describe, expect, it } from 'vitest';
import { growingPercent } from '../../../src/cli/collector.js';

const MIB = 1024 * 1024;

describe('slack of the collector', () => {
  it('grants the same number of bytes to heaps of every size', () => {
    for (const live of [20, 32, 64, 128, 256]) {
      const slack = (live * growingPercent(live * MIB)) / 100;
      expect(slack).toBeGreaterThan(125);
      expect(slack).toBeLessThanOrEqual(128);
    }
  });

  it('leaves large heaps to V8, which grants them more', () => {
    expect(growingPercent(400 * MIB)).toBe(32);
    expect(growingPercent(500 * MIB)).toBe(0);
    expect(growingPercent(4_000 * MIB)).toBe(0);
  });

  it('stays in bounds for an empty heap', () => {
    expect(growingPercent(0)).toBe(1_000);
    expect(growingPercent(MIB)).toBe(1_000);
  });
});
