import type { Gearmesh } from '../gearmesh.js';
import type { Report } from '../report.js';

const SLICE_SECONDS = 30;

/**
 * Whole cycles for so long that the window in which finished jobs are remembered (setting `dedupe_window_ms`) is full:
 * what is measured afterwards carries its full weight.
 */
export async function fill(system: Gearmesh, report: Report, seconds: number): Promise<void> {
  const began = performance.now();
  const passed = (): number => (performance.now() - began) / 1_000;
  let all = 0;
  while (passed() < seconds) {
    const { jobs, seconds: took } = await system.cyclesFor(Math.min(SLICE_SECONDS, seconds));
    all += jobs;
    const perSecond = jobs / took;
    report.add('fill', `${Math.round(passed())} s: ${Math.round(perSecond)} whole cycles/s`, { perSecond });
  }
  report.add('fill', `${all} jobs worked before the first run`, { jobs: all });
}
