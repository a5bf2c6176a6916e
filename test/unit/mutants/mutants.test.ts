import { describe, expect, it } from 'vitest';
import { type Mutant, mutated, mutatedFile } from '../../mutants/mutant.js';
import { MUTANTS } from '../../mutants/planted/index.js';

const sample = (text: string): Mutant => ({
  name: 'sample',
  breaks: 'nothing',
  edits: [{ file: 'a.ts', text, replacement: '$& twice' }],
});

describe('planted bugs', () => {
  it.each(MUTANTS.map((mutant) => [mutant.name, mutant] as const))(
    '"%s" still has its place',
    (_, mutant) => {
      for (const file of new Set(mutant.edits.map((edit) => edit.file))) {
        expect(mutatedFile(mutant, file)).not.toBe('');
      }
    },
  );

  it('have names of their own, and so have the files of their bundles', () => {
    const names = MUTANTS.map(({ name }) => name.replaceAll(/[^A-Za-z0-9]+/g, '-'));
    expect(new Set(names).size).toBe(names.length);
    expect(names.length).toBeGreaterThanOrEqual(18);
  });

  it('are planted word for word', () => {
    expect(mutated(sample('one'), 'a.ts', 'zero one two')).toBe('zero $& twice two');
    expect(mutated(sample('one'), 'b.ts', 'zero one two')).toBe('zero one two');
  });

  it.each([
    ['gone', 0],
    ['o', 3],
  ])('whose text "%s" is there %i times are refused', (text, times) => {
    expect(() => mutated(sample(text), 'a.ts', 'zero one two')).toThrow(
      `mutant sample: its text is ${times} times in a.ts, not once:\n${text}`,
    );
  });
});
