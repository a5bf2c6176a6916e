import type { RealCluster } from '../../support/real-cluster.js';
import { until } from '../../support/real-cluster.js';
import { fillQueue, payload, waiting } from '../bench-cluster.js';
import type { Context } from '../context.js';
import { peakBytes, percentile, residentBytes, sorted, spin } from '../gauge.js';
import { Gearmesh } from '../gearmesh.js';
import { Pace } from '../load.js';
import { shareOf } from '../options.js';
import { probe, probedCluster } from '../probe.js';
import type { Figures } from '../report.js';

const DEEP = 'deep';
const MIB = 1024 * 1024;
/** A snapshot comes with about as many jobs as wait: bytes of log for each of them. */
const SNAPSHOT_BYTES_PER_JOB = 64;
/** Settled: the memory of all nodes has moved by less than this share for so long; or so much time has passed. */
const STILL = 0.01;
const STILL_MS = 4_000;
const SETTLED_MS = 40_000;
const COLLECTIONS = 3;
const COLLECTED_MS = 4_000;
const READY_MS = 300_000;
const DEEPEST_FACTOR = 10;
/** Snapshots must come within this time for the comparison to be made. */
const SNAPSHOT_MS = 90_000;
const WARM_MS = 1_000;
/** Submissions below which no 99th percentile is told. */
const LEAST_WAITS = 100;

/** With many jobs that wait: the memory of each (W7), restarts, and submissions while snapshots are taken (W8). */
export async function deep(context: Context): Promise<void> {
  const { options, report } = context;
  const snapshotBytes = Math.max(MIB, options.scale * SNAPSHOT_BYTES_PER_JOB);
  const cluster = await probedCluster(['--snapshot-log-bytes', String(snapshotBytes)]);
  try {
    const isMeasured = options.only.has('W7');
    const unused = isMeasured ? await settled(cluster) : [];
    // What any work takes once, above all the young part of the heap, is no cost of jobs that wait.
    if (isMeasured) await worked(cluster, Math.min(2, options.seconds));
    const idle = isMeasured ? await collected(cluster, options.scale) : [];
    await fillQueue(cluster, DEEP, options.scale);
    if (isMeasured) await memory(context, cluster, unused, idle);
    if (options.only.has('W8')) {
      const spinBefore = spin();
      const restarts = await restart(cluster, options.scale);
      const during = await snapshots(context, cluster);
      report.add(
        'W8',
        `${options.scale} waiting jobs: ${restarts.text}; ${during.text}`,
        { ...restarts.figures, ...during.figures },
        { calm: { spinBefore, spinAfter: spin() } },
      );
    }
    const there = await waiting(cluster, [DEEP]);
    if (there !== options.scale) throw new Error(`${options.scale} jobs were accepted, ${there} wait`);
    await cluster.agreedHash();
  } finally {
    await cluster.remove();
  }
}

/** More jobs than memory has room for (W7d): most of them are on disk. */
export async function deepest({ options, report }: Context): Promise<void> {
  const jobs = options.scale * DEEPEST_FACTOR;
  const cluster = await probedCluster();
  try {
    const peaks = (): number[] => cluster.nodes.map((node) => peakBytes(node.pid) / MIB);
    const idle = peaks();
    const began = performance.now();
    await fillQueue(cluster, DEEP, jobs);
    const seconds = (performance.now() - began) / 1_000;
    const filled = peaks();
    const restarts = await restart(cluster, jobs);
    const restarted = peaks();
    const mib = (values: readonly number[]): string => values.map((value) => value.toFixed(0)).join(', ');
    report.add(
      'W7d',
      `${jobs} waiting jobs of ${payload.length} bytes, accepted in ${seconds.toFixed(0)} s: at most ${mib(filled)} MiB resident (${mib(idle)} idle), ${mib(restarted)} MiB since a restart; ${restarts.text}`,
      { peakMiB: Math.max(...filled, ...restarted), ...restarts.figures },
    );
    await cluster.agreedHash();
  } finally {
    await cluster.remove();
  }
}

async function memory(
  { report, options }: Context,
  cluster: RealCluster,
  unused: number[],
  idle: number[],
): Promise<void> {
  const raw = await settled(cluster);
  const full = await collected(cluster, options.scale);
  const jobs = options.scale;
  const perJob = full.map((bytes, i) => (bytes - idle[i]!) / jobs);
  const parts: string[] = [];
  for (const node of cluster.nodes) {
    const { heapUsed, heapTotal, external, arrayBuffers } = (await probe(cluster, node)).memory;
    const [used, total, outside, buffers] = [heapUsed, heapTotal, external, arrayBuffers].map((bytes) =>
      (bytes / MIB).toFixed(0),
    );
    parts.push(
      `${node.name} heap ${used} of ${total}, external ${outside}, of these array buffers ${buffers} MiB`,
    );
  }
  const bytesPerJob = Math.max(...perJob);
  const each = perJob.map((bytes) => bytes.toFixed(0)).join(', ');
  const mib = (values: readonly number[]): string =>
    values.map((bytes) => (bytes / MIB).toFixed(0)).join(', ');
  report.add(
    'W7',
    `${jobs} waiting jobs of ${payload.length} bytes: ${each} bytes of resident memory each (unused ${mib(unused)}, idle after work ${mib(idle)}, now ${mib(full)} MiB, ${mib(raw)} with garbage); ${parts.join('; ')}`,
    { bytesPerJob },
  );
}

/**
 * Resident memory without garbage: what V8 collects when, and how much of the young part of the heap it keeps for later,
 * differs from run to run by more than a quarter of what the jobs take. It gives that part back only after a quiet time.
 */
async function collected(cluster: RealCluster, scale: number): Promise<number[]> {
  // With few jobs nobody looks at their memory.
  const pauseMs = COLLECTED_MS * shareOf(scale);
  for (let i = 0; i < COLLECTIONS; i++) {
    for (const node of cluster.nodes) node.signal('SIGURG');
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  return await settled(cluster);
}

/** Resident memory of the nodes once it moves no more. */
async function settled(cluster: RealCluster): Promise<number[]> {
  const read = (): number[] => cluster.nodes.map((node) => residentBytes(node.pid));
  const end = performance.now() + SETTLED_MS;
  let last = read();
  let since = performance.now();
  while (performance.now() < end && performance.now() - since < STILL_MS) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    const now = read();
    if (now.some((bytes, i) => Math.abs(bytes / last[i]! - 1) > STILL)) {
      last = now;
      since = performance.now();
    }
  }
  return read();
}

async function worked(cluster: RealCluster, seconds: number): Promise<void> {
  const system = new Gearmesh(cluster);
  await system.cyclesFor(seconds);
  system.endWorkers();
}

interface Part {
  readonly text: string;
  readonly figures: Figures;
}

async function restart(cluster: RealCluster, jobs: number): Promise<Part> {
  const [follower] = await cluster.followers();
  await follower!.end('SIGTERM');
  const oneSeconds = await untilReady(cluster, () => follower!.start());
  await Promise.all(cluster.nodes.map((node) => node.end('SIGKILL')));
  const allSeconds = await untilReady(cluster, () => {
    for (const node of cluster.nodes) node.start();
  });
  const there = await waiting(cluster, [DEEP]);
  if (there !== jobs) throw new Error(`${jobs} jobs waited before the restart, now ${there}`);
  return {
    text: `one node ready ${oneSeconds.toFixed(1)} s after its start, all three after a kill in ${allSeconds.toFixed(1)} s`,
    figures: { oneSeconds, allSeconds },
  };
}

async function untilReady(cluster: RealCluster, start: () => void): Promise<number> {
  const began = performance.now();
  start();
  for (const node of cluster.nodes) {
    await until(READY_MS, async () => (await node.probe('/readyz')) === 200);
  }
  return (performance.now() - began) / 1_000;
}

/** Submissions at half of the most, until each node has taken a snapshot meanwhile: those that met one against the rest. */
async function snapshots({ options }: Context, cluster: RealCluster): Promise<Part> {
  const system = new Gearmesh(cluster);
  const { jobs, seconds } = await system.submitFor(Math.min(2, options.seconds));
  const perSecond = Math.max(1, Math.floor(jobs / seconds / 2));
  const from = Date.now();
  const pace = await Pace.start(cluster, { perSecond });
  try {
    const deadline = Date.now() + SNAPSHOT_MS;
    const least = from + Math.max(2 * WARM_MS, options.seconds * 1_000);
    const all = (): boolean => cluster.nodes.every((node) => taken(node.log(), from + WARM_MS).length > 0);
    while (Date.now() < deadline && !(Date.now() > least && all())) {
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    const { at, waits, accepted } = await pace.stop();
    const there = await waiting(cluster);
    if (there !== jobs + accepted) throw new Error(`${jobs + accepted} jobs were accepted, ${there} wait`);
    await system.purge();
    const spans = cluster.nodes.flatMap((node) => taken(node.log(), from + WARM_MS));
    const [during, without] = [[] as number[], [] as number[]];
    for (const [i, sent] of at.entries()) {
      if (sent < from + WARM_MS) continue;
      const met = spans.some((span) => sent <= span.to && sent + waits[i]! >= span.from);
      (met ? during : without).push(waits[i]!);
    }
    return compared(during, without, spans, perSecond);
  } finally {
    pace.kill();
  }
}

function compared(
  during: readonly number[],
  without: readonly number[],
  spans: readonly Span[],
  perSecond: number,
): Part {
  const longest = Math.max(0, ...spans.map((span) => span.to - span.from));
  const what = `${spans.length} snapshots of up to ${longest} ms at ${perSecond} submissions/s`;
  if (Math.min(during.length, without.length) < LEAST_WAITS) {
    return {
      text: `${what}: too few submissions during them (${during.length}) or without (${without.length}) to compare`,
      figures: {},
    };
  }
  const [with99, without99] = [percentile(sorted(during), 99), percentile(sorted(without), 99)];
  const snapshotRatio = with99 / without99;
  return {
    text: `${what}: p99 of ${during.length} submissions that met one ${with99.toFixed(1)} ms, of the other ${without.length} ${without99.toFixed(1)} ms`,
    figures: { snapshotRatio, p99During: with99, p99Without: without99 },
  };
}

/** Wall clock, milliseconds. */
interface Span {
  readonly from: number;
  readonly to: number;
}

/** The snapshots that a node's log says it has finished since a moment. */
function taken(log: string, since: number): Span[] {
  const spans: Span[] = [];
  for (const line of log.split('\n')) {
    if (!line.includes('"snapshot taken"')) continue;
    const { time, ms } = JSON.parse(line) as { time: string; ms: number };
    const to = Date.parse(time);
    if (to >= since) spans.push({ from: to - ms, to });
  }
  return spans;
}
