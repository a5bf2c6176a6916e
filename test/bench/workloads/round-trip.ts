import { FUNCTION, payload } from '../bench-cluster.js';
import { fdatasync, percentile, sorted, spin } from '../gauge.js';
import type { Gearmesh } from '../gearmesh.js';
import type { Report } from '../report.js';
import { PACE_MS } from '../turn.js';

const WARM = 300;
const COUNTED = 400;
const GAUGE_SYNCS = 300;

/** Foreground jobs by gRPC, one at a time: from the submission to the result. */
export async function roundTrip(system: Gearmesh, report: Report, run: number): Promise<void> {
  const times: number[] = [];
  let worked = 0;
  const handler = (): void => {
    worked++;
  };
  const spinBefore = spin();
  await system.withPair(handler, async (client) => {
    for (let i = 0; i < WARM + COUNTED; i++) {
      const began = performance.now();
      await client.run(FUNCTION, payload).result;
      if (i < WARM) continue;
      times.push(performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, PACE_MS));
    }
  });
  if (worked < WARM + COUNTED) throw new Error(`${WARM + COUNTED} jobs have a result, ${worked} were worked`);
  const calm = { spinBefore, spinAfter: spin() };
  const disk = await fdatasync(GAUGE_SYNCS, PACE_MS);
  const ascending = sorted(times);
  const [p50, p99] = [percentile(ascending, 50), percentile(ascending, 99)];
  report.add(
    'W3f',
    `foreground round trip p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms; fdatasync p50 ${disk.p50.toFixed(2)} ms`,
    { p50, p99, fdatasyncP50: disk.p50 },
    { run, calm },
  );
}
