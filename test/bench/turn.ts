import { cpuOf, fdatasync, percentile, quiet, sorted, spin } from './gauge.js';
import type { Load, RunningPeer } from './peers/peer.js';
import type { Calm, Figures, Report } from './report.js';

/** Jobs of W3 that are not counted: the code of client, nodes and worker is compiled by then. */
const WARM_STARTS = 1_000;
const COUNTED_STARTS = 600;
/** Between two jobs of W3. */
export const PACE_MS = 2;
const GAUGE_SYNCS = 300;

/** One system's turn in one run. */
export interface Turn {
  readonly report: Report;
  /** '' is ours. */
  readonly side: string;
  readonly running: RunningPeer;
  readonly run: number;
  readonly seconds: number;
  /** Log entries so far, of a system that can say so. */
  readonly entries?: () => Promise<number>;
}

/** The workloads that every system does, in their order. */
export const TURN = ['W3', 'W2', 'W3h', 'W1', 'W1b'] as const;
export type TurnWorkload = (typeof TURN)[number];

export async function takeTurn(turn: Turn, only: ReadonlySet<string>): Promise<void> {
  for (const workload of TURN) if (only.has(workload)) await WORKLOADS[workload](turn);
  await turn.running.purge();
}

const WORKLOADS: Readonly<Record<TurnWorkload, (turn: Turn) => Promise<void>>> = {
  /** Submit to start, one at a time. */
  W3: async (turn) => {
    await turn.running.purge();
    await turn.running.starts({ count: WARM_STARTS, paceMs: 0 });
    await starts(turn, 'W3', 0);
  },
  /** Whole cycles: submitted, worked by 8 workers with 64 credits each, completed, nothing left. */
  W2: async (turn) => {
    await turn.running.purge();
    await load(turn, 'W2', 'whole cycles/s', (seconds) => turn.running.cyclesFor(seconds));
  },
  /** Submit to start beside whole cycles at half of the rate that W2 had. */
  W3h: async (turn) => {
    const { report, running, side, seconds } = turn;
    await running.purge();
    let most = report.values('W2', 'perSecond', side).at(-1);
    if (most === undefined) {
      const { jobs, seconds: took } = await running.cyclesFor(seconds);
      most = jobs / took;
    }
    await starts(turn, 'W3h', Math.max(1, Math.floor(most / 2)));
  },
  /** Acknowledged submissions, one job a call. */
  W1: async (turn) => {
    await load(turn, 'W1', 'acknowledged submissions/s', (seconds) => turn.running.submitFor(seconds));
  },
  /** The same in batches of 100. */
  W1b: async (turn) => {
    await load(turn, 'W1b', `submissions/s (${turn.running.batches})`, (seconds) =>
      turn.running.submitManyFor(seconds),
    );
  },
};

async function starts(turn: Turn, workload: TurnWorkload, background: number): Promise<void> {
  const { report, run, side, running } = turn;
  await quiet(running.pids);
  const spinBefore = spin();
  const cpu = cpuOf(running.pids);
  const times = sorted(await running.starts({ count: COUNTED_STARTS, paceMs: PACE_MS, background }));
  const serversUs = (cpuOf(running.pids) - cpu) / COUNTED_STARTS;
  const calm: Calm = { spinBefore, spinAfter: spin() };
  const disk = await fdatasync(GAUGE_SYNCS, PACE_MS);
  const [p50, p99] = [percentile(times, 50), percentile(times, 99)];
  const beside = background === 0 ? '' : ` beside ${background} whole cycles/s`;
  const each = background === 0 ? `, CPU per job: servers ${Math.round(serversUs)} µs` : '';
  report.add(
    workload,
    `submit to start${beside}: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms${each}; fdatasync p50 ${disk.p50.toFixed(2)} ms`,
    { p50, p99, background, fdatasyncP50: disk.p50 },
    { run, side, calm },
  );
}

async function load(
  turn: Turn,
  workload: TurnWorkload,
  unit: string,
  work: (seconds: number) => Promise<Load>,
): Promise<void> {
  const { report, run, side, running, seconds } = turn;
  await quiet(running.pids);
  const spinBefore = spin();
  const entries = await turn.entries?.();
  const cpu = cpuOf(running.pids);
  const done = await work(seconds);
  const serversUs = (cpuOf(running.pids) - cpu) / done.jobs;
  const calm: Calm = { spinBefore, spinAfter: spin() };
  const perSecond = done.jobs / done.seconds;
  const { clientUs, busiestClient } = done;
  // Near the whole of a core the client would be the bottleneck, not the servers.
  let text =
    `${Math.round(perSecond)} ${unit}, CPU per job: servers ${serversUs.toFixed(1)} µs, ` +
    `clients ${clientUs.toFixed(1)} µs (the busiest ${(busiestClient * 100).toFixed(0)} % of a core)`;
  if (entries !== undefined) {
    text += `, ${(done.jobs / Math.max(1, (await turn.entries!()) - entries)).toFixed(0)} jobs per log entry`;
  }
  const figures: Figures = { perSecond, serversUs, clientUs, busiestClient };
  if (done.waits === undefined) {
    report.add(workload, text, figures, { run, side, calm });
    return;
  }
  const waits = sorted(done.waits);
  const [p50, p99, max] = [percentile(waits, 50), percentile(waits, 99), waits.at(-1) ?? Number.NaN];
  text += `; wait p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}, max ${max.toFixed(0)} ms`;
  report.add(workload, text, { ...figures, p50, p99, max }, { run, side, calm });
}
