import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { examine } from '../../../src/checker/index.js';
import { Reference } from './reference.js';

describe('histories of a cluster that keeps its promises', () => {
  it('are accepted, whatever overlaps and gets lost', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 150 }), (seed, submissions) => {
        const found = examine(new Reference(seed).run(submissions));
        expect(found.violations.map((one) => `${one.rule}: ${one.text}`)).toEqual([]);
        expect(found.undecided).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
