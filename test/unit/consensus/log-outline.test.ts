import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LogOutline } from '../../../src/base/log-outline.js';

type Step =
  | { readonly kind: 'add'; readonly back: number; readonly count: number; readonly newTerm: boolean }
  | { readonly kind: 'drop'; readonly ahead: number }
  | { readonly kind: 'part'; readonly from: number; readonly less: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('add' as const),
    back: fc.nat({ max: 6 }),
    count: fc.integer({ min: 1, max: 6 }),
    newTerm: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('drop' as const), ahead: fc.integer({ min: -2, max: 8 }) }),
  fc.record({ kind: fc.constant('part' as const), from: fc.nat({ max: 3 }), less: fc.nat({ max: 3 }) }),
);

describe('the outline of a log', () => {
  test('tells the terms and changes of exactly the entries that are left', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        let outline = new LogOutline(10);
        let first = 10;
        let last = 9;
        let term = 1;
        const known = new Map<number, { term: number; changes: boolean }>();
        for (const one of steps) {
          if (one.kind === 'add') {
            if (one.newTerm) term++;
            let index = Math.max(1, last + 1 - one.back);
            first = Math.min(first, index);
            for (const old of [...known.keys()]) if (old >= index) known.delete(old);
            for (let i = 0; i < one.count; i++, index++) {
              const changes = index % 3 === 0 && term % 2 === 0;
              outline.add(index, term, changes);
              known.set(index, { term, changes });
              last = index;
            }
          } else if (one.kind === 'drop') {
            const from = first + one.ahead;
            outline.dropBefore(from);
            first = Math.max(first, from);
            last = Math.max(last, first - 1);
          } else {
            const before = outline;
            const to = Math.max(first + one.from - 1, last - one.less);
            outline = outline.part(first + one.from, to);
            before.add(before.last + 1, 99, true);
            first += one.from;
            last = Math.max(Math.min(last, to), first - 1);
          }
          for (const index of [...known.keys()]) if (index < first || index > last) known.delete(index);
          expect([outline.first, outline.last]).toEqual([first, last]);
          const changes = [...known].filter(([, entry]) => entry.changes).map(([index]) => index);
          for (let index = first - 2; index <= last + 2; index++) {
            expect(outline.termAt(index)).toBe(known.get(index)?.term ?? null);
            const near = changes.some((at) => at >= index && at <= index + 2);
            expect(outline.changesMembership(index, index + 2)).toBe(near);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});
