import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

const project = (name: string, order: number, more: Record<string, unknown> = {}) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    environment: 'node' as const,
    sequence: { groupOrder: order },
    ...more,
  },
});

/** Tests that start processes run one file at a time: they measure and load the machine. */
const processes = (name: string, order: number, testTimeout: number) =>
  project(name, order, {
    testTimeout,
    hookTimeout: 120_000,
    fileParallelism: false,
    globalSetup: 'test/support/build.ts',
  });

/**
 * What starts processes runs after the rest, one project after the other: a loaded machine would fail what waits for
 * events within a time. Simulated time does not mind.
 */
export default defineConfig({
  test: {
    // By itself one core would stay free, which is half of a small machine.
    maxWorkers: availableParallelism(),
    projects: [
      project('unit', 0, { testTimeout: 60_000, hookTimeout: 60_000 }),
      project('simulation', 0, { testTimeout: 240_000 }),
      project('torture', 0, { testTimeout: 240_000 }),
      processes('integration', 1, 120_000),
      processes('examples', 2, 120_000),
      processes('compat', 3, 300_000),
      processes('fault', 4, 300_000),
    ],
  },
});
