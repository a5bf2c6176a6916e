import { defineConfig } from 'vitest/config';

const project = (name: string, more: Record<string, unknown> = {}) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], environment: 'node' as const, ...more },
});

/** Unit tests run side by side; those that start processes run one file at a time: they measure and load the machine. */
export default defineConfig({
  test: {
    projects: [
      project('unit'),
      project('simulation', { testTimeout: 240_000 }),
      project('integration', { testTimeout: 120_000, hookTimeout: 120_000, fileParallelism: false }),
      project('fault', { testTimeout: 600_000, hookTimeout: 120_000, fileParallelism: false }),
      project('compat', { testTimeout: 300_000, hookTimeout: 300_000, fileParallelism: false }),
    ],
  },
});
