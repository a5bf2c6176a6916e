import { ENGINE_FLAGS } from '../../../src/cli/engine-flags.js';
import { fillQueue, functionNames, purge, succeeded, untilSucceeded, withClients } from '../bench-cluster.js';
import { startCluster } from '../clusters.js';
import type { Context } from '../context.js';
import { quiet, spin } from '../gauge.js';
import { Gearmesh, type OwnLoad } from '../gearmesh.js';
import { Workers } from '../load.js';
import { digits, type Figures, type Report } from '../report.js';

const SECONDS_MAX = 2;
const JOBS = [0, 100_000, 1_000_000, 5_000_000];
const FUNCTIONS = [1, 1_000, 10_000];
const WORKERS = [10, 1_000, 10_000];
/** Functions and workers are this much fewer than jobs. */
const PER_FUNCTION = 100;
const SESSIONS = 8;
const CREDITS = 64;
/** Credits of all workers together, as many as W2's have, where they are fewer than that. */
const CREDITS_IN_ALL = SESSIONS * CREDITS;
/** Jobs that wait while others are measured. */
const DEEP = 'deep';
/** What workers do that are there while submissions of another function are measured. */
const ELSEWHERE = ['elsewhere'];

/** One kind of growth: how far a step has come, and what each load cost there. */
interface Step {
  readonly size: number;
  readonly submitted: Cost;
  readonly cycled: Cost;
}

interface Cost {
  readonly jobs: number;
  readonly perSecond: number;
  readonly serversUs: number;
}

/** The loads of W1 and W2 as jobs, functions and workers get more: slowest against fastest, by CPU and by rate. */
export async function growth({ report, options }: Context): Promise<void> {
  const cluster = await startCluster({ nodeFlags: ENGINE_FLAGS });
  const system = new Gearmesh(cluster);
  try {
    const seconds = Math.min(SECONDS_MAX, options.seconds);
    // Code that is not compiled yet would make the first step the slowest.
    await system.cyclesFor(seconds);
    await system.submitFor(seconds);
    await system.purge();
    const kinds = [
      { name: 'W5j', what: 'waiting jobs', run: waitingJobs, sizes: upTo(JOBS, options.scale) },
      {
        name: 'W5f',
        what: 'functions',
        run: functions,
        sizes: upTo(FUNCTIONS, options.scale / PER_FUNCTION),
      },
      { name: 'W5w', what: 'workers', run: workers, sizes: upTo(WORKERS, options.scale / PER_FUNCTION) },
    ];
    for (const { name, what, run, sizes } of kinds) {
      if (!options.only.has(name)) continue;
      const spinBefore = spin();
      const steps = await run(system, seconds, sizes);
      tell(report, name, what, steps, { spinBefore, spinAfter: spin() });
    }
    await cluster.agreedHash();
  } finally {
    await system.stop();
  }
}

/** The sizes that are not above `most`; at least the first, and `most` itself where it lies below the second. */
function upTo(sizes: readonly number[], most: number): number[] {
  const fitting = sizes.filter((size, i) => i === 0 || size <= most);
  return fitting.length > 1 ? fitting : [sizes[0]!, Math.max(Math.floor(most), sizes[0]! + 1)];
}

/** Jobs of another function that wait; then none again, which shows what the machine did meanwhile. */
async function waitingJobs(system: Gearmesh, seconds: number, sizes: readonly number[]): Promise<Step[]> {
  const steps: Step[] = [];
  let there = 0;
  for (const size of [...sizes, 0]) {
    if (size < there) await purge(system.cluster, [DEEP]);
    else if (size > there) await fillQueue(system.cluster, DEEP, size - there);
    there = size;
    await quiet(system.pids);
    const cycled = costOf(await system.cyclesFor(seconds));
    await quiet(system.pids);
    const submitted = costOf(await system.submitFor(seconds));
    await system.purge();
    steps.push({ size, submitted, cycled });
  }
  return steps;
}

async function functions(system: Gearmesh, seconds: number, sizes: readonly number[]): Promise<Step[]> {
  const steps: Step[] = [];
  for (const size of [...sizes, sizes[0]!]) {
    const names = functionNames(size);
    const before = await withClients(system.cluster, ([one]) => succeeded(one!, names));
    await quiet(system.pids);
    const submitted = costOf(await system.submitFor(seconds, names));
    const options = { sessions: SESSIONS, credits: CREDITS, functions: names };
    const all = await Workers.start(system.cluster, options);
    try {
      // What was only submitted is done first.
      await withClients(system.cluster, ([one]) => untilSucceeded(one!, names, before + submitted.jobs));
      await quiet(system.pids);
      const cycled = costOf(await system.cyclesFor(seconds, all, names));
      steps.push({ size, submitted, cycled });
    } finally {
      all.kill();
    }
  }
  return steps;
}

async function workers(system: Gearmesh, seconds: number, sizes: readonly number[]): Promise<Step[]> {
  const steps: Step[] = [];
  for (const size of [...sizes, sizes[0]!]) {
    const credits = Math.max(1, Math.floor(CREDITS_IN_ALL / size));
    const options = { sessions: size, credits, functions: ELSEWHERE };
    const all = await Workers.startBare(system.cluster, options);
    try {
      await quiet(system.pids);
      const submitted = costOf(await system.submitFor(seconds));
      await system.purge();
      await quiet(system.pids);
      const cycled = costOf(await system.cyclesFor(seconds, all, ELSEWHERE));
      steps.push({ size, submitted, cycled });
    } finally {
      all.kill();
    }
  }
  return steps;
}

function costOf({ jobs, seconds, serversUs }: OwnLoad): Cost {
  return { jobs, perSecond: jobs / seconds, serversUs };
}

function tell(
  report: Report,
  name: string,
  what: string,
  steps: readonly Step[],
  calm: { readonly spinBefore: number; readonly spinAfter: number },
): void {
  const figures: Figures = {
    submitCpu: spread(steps, ({ submitted }) => submitted.serversUs),
    submitRate: spread(steps, ({ submitted }) => submitted.perSecond),
    cycleCpu: spread(steps, ({ cycled }) => cycled.serversUs),
    cycleRate: spread(steps, ({ cycled }) => cycled.perSecond),
  };
  const of = ({ perSecond, serversUs }: Cost): string =>
    `${Math.round(perSecond)}/s, ${digits(serversUs)} µs`;
  const lines = steps.map(
    ({ size, submitted, cycled }) => `${size}: submitted ${of(submitted)}, cycles ${of(cycled)}`,
  );
  const ratios = Object.entries(figures).map(([figure, value]) => `${figure} ${digits(value)}`);
  report.add(name, `${what}: ${lines.join('; ')}; worst against best: ${ratios.join(', ')}`, figures, {
    calm,
  });
}

/** Largest against smallest over the sizes; of a size that was measured twice, the middle. */
function spread(steps: readonly Step[], value: (step: Step) => number): number {
  const sizes = [...new Set(steps.map(({ size }) => size))];
  const each = sizes.map((size) => mean(steps.filter((step) => step.size === size).map(value)));
  return Math.max(...each) / Math.min(...each);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
