import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { RULES } from '../../../src/checker/index.js';

const here = new URL('.', import.meta.url);

describe('the rules', () => {
  it('each have a history, written by hand, that they must reject', () => {
    const tests = readdirSync(here).filter((name) => name.endsWith('.test.ts'));
    const text = tests.map((name) => readFileSync(new URL(name, here), 'utf8')).join('\n');
    const without = RULES.filter((rule) => !text.includes(`rejects('${rule}', `));
    expect(without).toEqual([]);
  });
});
