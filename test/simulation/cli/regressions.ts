import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FAULT_KINDS, planOf, type SimPlan } from '../../../src/sim/plan.js';
import { ROOT } from '../../support/root.js';
import type { Overrides } from './flags.js';

/** A life that once broke a promise, as small as it was made, and what the reason was. */
export interface Regression {
  readonly was: string;
  readonly plan: SimPlan;
}

const FILE = 'test/simulation/regressions.json';
const NUMBERS = ['nodes', 'clients', 'workers', 'operations', 'chaosMs'] as const;

/** @throws Error that names what is wrong with the file */
export function regressions(): Regression[] {
  return regressionsOf(readFileSync(join(ROOT, FILE), 'utf8'));
}

/** Each names its seed, and what does not follow from it. */
export function regressionsOf(text: string): Regression[] {
  const list: unknown = JSON.parse(text);
  if (!Array.isArray(list)) throw new Error(`${FILE} is a list`);
  return list.map((one: unknown, i) => {
    const wrong = (what: string): Error => new Error(`${FILE}, number ${i + 1}: ${what}`);
    if (typeof one !== 'object' || one === null) throw wrong('is no object');
    const { was, seed, faults, ...rest } = one as Record<string, unknown>;
    if (typeof was !== 'string' || was === '') throw wrong('"was" tells in a line what it was');
    if (!Number.isSafeInteger(seed)) throw wrong('"seed" is a whole number');
    const overrides: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(rest)) {
      if (!NUMBERS.some((known) => known === name)) throw wrong(`there is no "${name}" in a plan`);
      if (!Number.isSafeInteger(value)) throw wrong(`"${name}" is a whole number`);
      overrides[name] = value;
    }
    if (faults !== undefined) {
      if (!Array.isArray(faults)) throw wrong('"faults" is a list');
      const unknown = faults.find((kind) => !FAULT_KINDS.some((known) => known === kind));
      if (unknown !== undefined) throw wrong(`there is no fault "${String(unknown)}"`);
      overrides.faults = faults;
    }
    return { was, plan: { ...planOf(seed as number), ...(overrides as Overrides) } };
  });
}
