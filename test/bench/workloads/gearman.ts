import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { RawGearman } from '../../support/gearman.js';
import { Gearmand, gearmandMissing } from '../../support/gearmand.js';
import { type RealCluster, until } from '../../support/real-cluster.js';
import { appliedIndex, FUNCTION, payload, purge, serversCpu } from '../bench-cluster.js';
import { cpuUs, fdatasync, median, percentile, quiet, sorted, spin } from '../gauge.js';
import type { LoadOrder, LoadResult } from '../gearman-load.js';
import { surroundings } from '../peers/programs.js';
import { digits, type Report } from '../report.js';

/** The same number of connections to three nodes as to gearmand's one. */
const CLIENTS = 6;
const WINDOW = 256;
/** As many jobs at once as W2's workers take. */
const WORKERS = 510;
const BACKLOG = 4_096;
const ROUND_TRIPS = { warm: 1_000, counted: 600, paceMs: 2 } as const;
const SETTLED_MS = 30_000;
/** Servers run for weeks: what their engine compiles in the first seconds is no cost of a job. */
const WARM_SECONDS = 12;
/** Said once, when all runs are done. */
const NAMES = { a: 'submissions/s', b: 'whole cycles/s', c: 'foreground round trip, ms' } as const;
type Part = keyof typeof NAMES;
export const PARTS: readonly Part[] = ['a', 'b', 'c'];

export interface GearmanRun {
  readonly cluster: RealCluster;
  readonly report: Report;
  readonly run: number;
  readonly seconds: number;
  /** Beside a gearmand, where there is one. */
  readonly compare: boolean;
}

/** One side of the comparison. */
interface Side {
  readonly addresses: readonly string[];
  cpuUs(): number;
  /** Entries of the log so far; not there where there is none. */
  entries?(): Promise<number>;
}

interface Figures {
  readonly value: number;
  /** CPU of the servers per job, microseconds. */
  readonly serversUs: number;
  /** Cores that the load generator kept busy. */
  readonly generator: number;
  /** Jobs per log entry, 0 without a log. */
  readonly perEntry: number;
}

const gathered = new Map<Part, { ours: number[]; theirs: number[] }>();

/**
 * Gearman's packets against our three nodes, and in the same run against a gearmand with its jobs in memory, by turns:
 * W10a background submissions, W10b whole cycles, W10c the round trip of a foreground job, one at a time.
 */
export async function gearman(bench: GearmanRun, parts: readonly Part[]): Promise<void> {
  const { cluster, report, run, seconds, compare } = bench;
  const missing = compare ? gearmandMissing(surroundings()) : 'not wanted';
  if (missing !== '' && run === 1) report.add('W10', `gearmand: skipped: ${missing}`, {});
  const ours: Side = {
    addresses: cluster.nodes.map((node) => node.gearman),
    cpuUs: () => serversCpu(cluster),
    entries: () => appliedIndex(cluster),
  };
  await purge(cluster);
  if (run === 1) await load(ours, 'cycle', WARM_SECONDS);
  for (const part of parts) {
    const spinBefore = spin();
    const theirs = missing === '' ? await beside(part, seconds) : null;
    await quiet(cluster.nodes.map((node) => node.pid));
    const mine = await measured(ours, part, seconds);
    if (part === 'a') await purge(cluster);
    const spinAfter = spin();
    const before = gathered.get(part) ?? { ours: [], theirs: [] };
    before.ours.push(mine.value);
    if (theirs !== null) before.theirs.push(theirs.value);
    gathered.set(part, before);
    const disk = part === 'c' ? await fdatasync(300, ROUND_TRIPS.paceMs) : null;
    const figures: Record<string, number> = { value: mine.value, serversUs: mine.serversUs };
    if (theirs !== null) {
      figures.gearmand = theirs.value;
      figures.ratio = mine.value / theirs.value;
    }
    if (disk !== null) figures.fdatasyncP50 = disk.p50;
    const times = theirs === null ? '' : `; gearmand ${shown(part, theirs)}; ratio ${digits(figures.ratio!)}`;
    const sync = disk === null ? '' : `; fdatasync p50 ${disk.p50.toFixed(2)} ms`;
    report.add(`W10${part}`, `${NAMES[part]}: ${shown(part, mine)}${times}${sync}`, figures, {
      run,
      calm: { spinBefore, spinAfter },
    });
  }
}

/** Medians and ranges of all runs. */
export function gearmanSummary(report: Report): void {
  for (const [part, { ours, theirs }] of gathered) {
    const line = (values: readonly number[]): string => {
      const all = sorted(values);
      return `median ${digits(percentile(all, 50))} (${digits(all[0]!)} to ${digits(all.at(-1)!)})`;
    };
    const ratio = median(ours) / median(theirs);
    const beside = theirs.length === 0 ? '' : `, gearmand ${line(theirs)}, ratio ${digits(ratio)}`;
    report.add('W10', `${part} ${NAMES[part]}: ${line(ours)}${beside}`, {});
  }
}

/** A gearmand of its own for each measurement: nothing of another is in its memory. */
async function beside(part: Part, seconds: number): Promise<Figures> {
  const gearmand = await Gearmand.start(surroundings());
  try {
    return await measured({ addresses: [gearmand.address], cpuUs: () => cpuUs(gearmand.pid) }, part, seconds);
  } finally {
    await gearmand.stop();
  }
}

async function measured(side: Side, part: Part, seconds: number): Promise<Figures> {
  const before = side.cpuUs();
  const entries = await side.entries?.();
  const kind = part === 'a' ? 'submit' : part === 'b' ? 'cycle' : 'round-trip';
  const { result, settledSeconds } = await load(side, kind, seconds);
  const jobs = result.accepted;
  return {
    value: part === 'c' ? percentile(result.times, 50) : jobs / (result.seconds + settledSeconds),
    serversUs: (side.cpuUs() - before) / jobs,
    generator: result.cpuUs / 1e6 / result.seconds,
    perEntry: entries === undefined ? 0 : jobs / Math.max(1, (await side.entries!()) - entries),
  };
}

/** Runs the load generator, and checks its counts against the servers'. */
async function load(
  side: Side,
  kind: LoadOrder['kind'],
  seconds: number,
): Promise<{ result: LoadResult; settledSeconds: number }> {
  const order: LoadOrder = {
    kind,
    addresses: side.addresses,
    fn: FUNCTION,
    payloadBytes: payload.length,
    seconds,
    clients: CLIENTS,
    window: WINDOW,
    workers: kind === 'cycle' ? WORKERS : 0,
    backlog: BACKLOG,
    ...ROUND_TRIPS,
  };
  const child = fork(fileURLToPath(new URL('../gearman-load.js', import.meta.url)), [JSON.stringify(order)]);
  const failed = once(child, 'exit').then(([code]) => {
    throw new Error(`the load generator ended with ${code} and said nothing`);
  });
  const [result] = (await Promise.race([once(child, 'message'), failed])) as [LoadResult];
  failed.catch(() => {});
  const began = performance.now();
  const left = kind === 'submit' ? result.accepted : 0;
  // What was said to be complete has to be complete at the server as well.
  const raw = await RawGearman.open(side.addresses[0]!);
  let last = '';
  await until(SETTLED_MS, async () => {
    last = await raw.text('status', 'list');
    const total = new RegExp(`^${FUNCTION}\\t(\\d+)\\t`, 'm').exec(last)?.[1] ?? '0';
    return Number(total) === left;
  }).catch(() => {
    throw new Error(`${result.accepted} accepted, ${result.worked} worked, ${left} should be left:\n${last}`);
  });
  raw.end();
  if (kind !== 'submit' && result.worked !== result.accepted) {
    throw new Error(`${result.accepted} jobs were accepted, ${result.worked} worked`);
  }
  return { result, settledSeconds: (performance.now() - began) / 1_000 };
}

function shown(part: Part, { value, serversUs, generator, perEntry }: Figures): string {
  const unit = part === 'c' ? ' ms (p50)' : '/s';
  const cost = `servers ${serversUs.toFixed(1)} µs of CPU a job`;
  const batch = perEntry === 0 ? '' : `, ${perEntry.toFixed(1)} jobs per log entry`;
  return `${digits(value)}${unit}, ${cost}${batch}, load generator ${(generator * 100).toFixed(0)} % of a core`;
}
