import { runPlan } from '../../../src/sim/run.js';
import type { FromChild, ToChild } from './messages.js';

/** A process that runs one plan after the other, as its parent asks, and ends with it. */
function tell(message: FromChild): void {
  process.send?.(message);
}

async function run({ plan }: ToChild): Promise<void> {
  const before = process.cpuUsage();
  const { history: _, ...report } = await runPlan(plan);
  const { user, system } = process.cpuUsage(before);
  tell({
    type: 'outcome',
    outcome: { ...report, cpuMs: (user + system) / 1_000 },
    residentBytes: process.memoryUsage.rss(),
  });
}

process.on('message', (message: ToChild) => {
  run(message).catch((error: unknown) => {
    tell({ type: 'broken', error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  });
});
process.on('disconnect', () => process.exit(0));
