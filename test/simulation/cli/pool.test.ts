import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { planOf } from '../../../src/sim/plan.js';
import { Pool } from './pool.js';

const directory = mkdtempSync(join(tmpdir(), 'gearmesh-pool-'));
let pool: Pool | null = null;
let programs = 0;

/** Processes of a program that does this with `plan` and `tell`. */
function poolOf(work: string, more: { jobs?: number; limitSeconds?: number } = {}): Pool {
  const program = join(directory, `${programs++}.mjs`);
  writeFileSync(
    program,
    `let runs = 0;
    const tell = (more) => process.send({ type: 'outcome', residentBytes: 1, outcome: { violations: [], ...more } });
    process.on('message', ({ plan }) => { runs += 1; ${work} });
    process.on('disconnect', () => process.exit(0));`,
  );
  pool = new Pool({ program, jobs: 1, limitSeconds: 60, ...more });
  return pool;
}

afterEach(() => pool?.close());
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('processes that run plans', () => {
  it('run one after the other, and each of them many', async () => {
    const of = poolOf('tell({ plan, states: { pid: process.pid, runs } });', { jobs: 2 });
    const outcomes = await Promise.all([1, 2, 3, 4, 5, 6].map((seed) => of.run(planOf(seed))));
    expect(outcomes.map(({ plan }) => plan.seed)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(new Set(outcomes.map(({ states }) => states.pid)).size).toBe(2);
    expect(Math.max(...outcomes.map(({ states }) => states.runs!))).toBeGreaterThan(1);
  });

  it('fail the run that ends one of them, and go on with another', async () => {
    const of = poolOf(
      "if (plan.seed !== 2) tell({ plan }); else { console.error('out of memory'); process.exit(7); }",
    );
    const outcomes = await Promise.all([1, 2, 3].map((seed) => of.run(planOf(seed))));
    expect(outcomes.map(({ violations }) => violations.length)).toEqual([0, 1, 0]);
    expect(outcomes[1]!.violations[0]).toMatchObject({ seenBy: 'inside', rule: 'run' });
    expect(outcomes[1]!.violations[0]!.text).toMatch(/ended with 7: out of memory/);
  });

  it('fail a run in which the simulator throws', async () => {
    const of = poolOf("process.send({ type: 'broken', error: 'no such node' });");
    expect((await of.run(planOf(1))).violations).toEqual([
      { seenBy: 'inside', rule: 'run', text: 'no such node' },
    ]);
  });

  it('fail a run that has no end', async () => {
    const of = poolOf('for (;;);', { limitSeconds: 1 });
    expect((await of.run(planOf(1))).violations[0]!.text).toBe('no end after 1 s');
  });
});
