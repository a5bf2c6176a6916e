import { describe, expect, it } from 'vitest';
import type { SimCluster } from '../../src/sim/cluster.js';
import { planOf, type SimPlan } from '../../src/sim/plan.js';
import type { SimViolation } from '../../src/sim/report.js';
import { type RunOptions, runPlan } from '../../src/sim/run.js';

/**
 * Goal: nothing that was promised is broken, whatever happens. Whole clusters of the code that ships run in one process
 * under virtual time, while processes die, disks fail, clocks jump and connections break.
 * Repeat one seed by hand: SEED=7 npx vitest run --project simulation
 */

/** Bytes of an entry before its wall stamp: version and elapsed time (`src/core/codec.ts`). */
const WALL_AT = 1 + 8;

/** One follower, while it lives, applies a millisecond later than the others do, as an apply that reads a clock would. */
function readAClock(cluster: SimCluster): void {
  const core = cluster.nodes.find((node) => node !== cluster.leader)!.node!.parts!.core;
  const apply = core.apply.bind(core);
  core.apply = (index, entry, effects) => {
    const other = Buffer.from(entry);
    other.writeDoubleLE(other.readDoubleLE(WALL_AT) + 1, WALL_AT);
    apply(index, other, effects);
  };
}

/** A shorter life than that of the seed. */
function brief(seed: number, changes: Partial<SimPlan> = {}): SimPlan {
  return { ...planOf(seed), chaosMs: 8_000, operations: 300, ...changes };
}

async function brokenIn(plan: SimPlan, options: RunOptions): Promise<readonly SimViolation[]> {
  return (await runPlan(plan, options)).violations;
}

const SEEDS =
  process.env.SEED === undefined ? Array.from({ length: 3 }, (_, i) => i + 1) : [Number(process.env.SEED)];

describe('a cluster under faults', () => {
  it.each(SEEDS)('seed %i keeps every promise', async (seed) => {
    const plan = planOf(seed);
    const report = await runPlan(plan);
    expect(report.violations).toEqual([]);
    expect(report.operations).toBeGreaterThanOrEqual(plan.operations);
    expect(report.virtualMs).toBeGreaterThan(plan.chaosMs);
    expect(report.acknowledged, 'acknowledged jobs').toBeGreaterThan(100);
    const injected = Object.values(report.faults).reduce((sum, one) => sum + one.injected, 0);
    expect(injected, 'faults').toBeGreaterThan(10);
    expect(report.states.elections, 'elections').toBeGreaterThan(0);
  });

  it('gives the same report for the same seed', async () => {
    const [first, second] = [await runPlan(brief(4711)), await runPlan(brief(4711))];
    expect(second).toEqual(first);
    expect((await runPlan(brief(4712))).traceHash).not.toBe(first.traceHash);
  });

  it('notices from outside and from inside when nodes acknowledge before the sync', async () => {
    const seen: string[] = [];
    for (let seed = 1; seed <= 3; seed++) {
      const plan = brief(seed, { nodes: 3, faults: ['power-loss', 'torn-write', 'power-loss-all'] });
      const found = await brokenIn(plan, { plant: 'acknowledge-before-sync' });
      expect(found.length, `seed ${seed}`).toBeGreaterThan(0);
      seen.push(...found.map(({ seenBy, rule }) => `${seenBy} ${rule}`));
    }
    expect(seen).toContain('inside durable');
    expect(seen).toContain('history lost');
  });

  it('notices a replica that applied something else, although nothing of it is left at the end', async () => {
    for (let seed = 1; seed <= 2; seed++) {
      const found = await brokenIn(brief(seed, { faults: ['power-loss'] }), { plan: readAClock });
      const texts = found.map(({ rule, text }) => `${rule}: ${text}`).join('\n');
      expect(texts, `seed ${seed}`).toMatch(/replicas-differ: at index \d+ n\d has state/);
    }
  });
});
