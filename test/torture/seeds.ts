/**
 * TORTURE_SEED repeats one seed. TORTURE_MINUTES goes on for so long with seeds that were not tried before; the first of
 * them is TORTURE_FROM where that is set.
 */
const one = process.env.TORTURE_SEED;
const minutes = Number(process.env.TORTURE_MINUTES ?? 0);

/** A test's time limit in milliseconds. */
export const LIMIT_MS = 240_000 + minutes * 60_000;

/** Seeds 1 to `count`, unless the environment says otherwise. `share`: of the minutes. */
export function* seeds(count: number, share = 1): Generator<number> {
  if (one !== undefined) {
    yield Number(one);
    return;
  }
  for (let seed = 1; seed <= count; seed++) yield seed;
  if (minutes <= 0) return;
  const until = performance.now() + minutes * share * 60_000;
  let seed = Number(process.env.TORTURE_FROM ?? 1_000 + (Date.now() % 1_000_000_000));
  while (performance.now() < until) yield seed++;
}

/** What a test tried, for whoever reads the log of a run. */
export function report(title: string, figures: Readonly<Record<string, number>>): void {
  const lines = Object.entries(figures).map(([name, count]) => `  ${String(count).padStart(9)}  ${name}`);
  console.log([title, ...lines].join('\n'));
}
