import { Client } from '../../src/client/index.js';
import { Worker } from '../../src/worker/index.js';
import { RealCluster } from '../support/real-cluster.js';
import {
  appliedIndex,
  clientsOf,
  FUNCTION,
  followersOf,
  payload,
  purge,
  serversCpu,
  startWorkers,
  submitFor,
  submitManyFor,
  succeeded,
} from './bench-cluster.js';
import { cpuUs, fdatasync, percentile, sorted, spin } from './gauge.js';
import type { Calm, Report } from './report.js';

/** Jobs of W3 that are not counted: the code of client, nodes and worker is compiled by then. */
const WARM_CYCLES = 1_000;
const COUNTED_CYCLES = 600;
const PACE_MS = 2;

export interface Bench {
  readonly cluster: RealCluster;
  readonly report: Report;
  readonly run: number;
  readonly seconds: number;
}

interface Measured extends Calm {
  readonly jobs: number;
  readonly perEntry: number;
  readonly seconds: number;
  readonly serversUs: number;
  readonly clientUs: number;
}

/** Measures `work`, which returns a number of jobs: time, CPU of the servers together and of this process per job. */
async function measured(cluster: RealCluster, work: () => Promise<number>): Promise<Measured> {
  const spinBefore = spin();
  const index = await appliedIndex(cluster);
  const servers = serversCpu(cluster);
  const own = process.cpuUsage();
  const began = performance.now();
  const jobs = await work();
  const seconds = (performance.now() - began) / 1000;
  const ownUsed = process.cpuUsage(own);
  const serversUs = (serversCpu(cluster) - servers) / jobs;
  const spinAfter = spin();
  const perEntry = jobs / Math.max(1, (await appliedIndex(cluster)) - index);
  const clientUs = (ownUsed.user + ownUsed.system) / jobs;
  return { spinBefore, spinAfter, jobs, perEntry, seconds, serversUs, clientUs };
}

const cost = (m: Measured): string =>
  `CPU per job: servers ${m.serversUs.toFixed(1)} µs, client ${m.clientUs.toFixed(1)} µs`;

/** Acknowledged submissions, one job a call. */
export async function w1({ cluster, report, run, seconds }: Bench): Promise<void> {
  const clients = clientsOf(cluster);
  let waits: number[] = [];
  const m = await measured(cluster, async () => {
    waits = await submitFor(clients, seconds);
    return waits.length;
  });
  const ascending = sorted(waits);
  const [p50, p99, max] = [
    percentile(ascending, 50),
    percentile(ascending, 99),
    ascending.at(-1) ?? Number.NaN,
  ];
  report.add(
    'W1',
    run,
    `${Math.round(m.jobs / m.seconds)} acknowledged submissions/s, ${cost(m)}, ${m.perEntry.toFixed(0)} jobs per log entry; wait p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}, max ${max.toFixed(0)} ms`,
    { perSecond: m.jobs / m.seconds, serversUs: m.serversUs, clientUs: m.clientUs, p50, p99, max },
    m,
  );
  await Promise.all(clients.map((one) => one.close()));
}

/** The same in batches of 100. */
export async function w1b({ cluster, report, run, seconds }: Bench): Promise<void> {
  const clients = clientsOf(cluster);
  const m = await measured(cluster, () => submitManyFor(clients, seconds));
  report.add(
    'W1b',
    run,
    `${Math.round(m.jobs / m.seconds)} submissions/s in batches of 100, ${cost(m)}, ${m.perEntry.toFixed(0)} jobs per log entry`,
    { perSecond: m.jobs / m.seconds, serversUs: m.serversUs, clientUs: m.clientUs },
    m,
  );
  await Promise.all(clients.map((one) => one.close()));
}

/** Whole cycles: submitted, worked by 8 workers with 64 credits each, completed, nothing left. */
export async function w2({ cluster, report, run, seconds }: Bench): Promise<void> {
  await purge(cluster);
  const worker = await startWorkers(cluster, 8, 64);
  const clients = clientsOf(cluster);
  let workerUs = 0;
  const m = await measured(cluster, async () => {
    const before = cpuUs(worker.pid!);
    const jobs = await cycles(clients, seconds);
    workerUs = (cpuUs(worker.pid!) - before) / jobs;
    return jobs;
  });
  report.add(
    'W2',
    run,
    `${Math.round(m.jobs / m.seconds)} whole cycles/s, ${cost(m)}, workers ${workerUs.toFixed(1)} µs, ${m.perEntry.toFixed(0)} jobs per log entry`,
    { perSecond: m.jobs / m.seconds, serversUs: m.serversUs, clientUs: m.clientUs, workerUs },
    m,
  );
  worker.kill('SIGKILL');
  await Promise.all(clients.map((one) => one.close()));
}

/** Whole cycles for a while, until none is left. Returns their number. */
async function cycles(clients: readonly Client[], seconds: number): Promise<number> {
  const before = await succeeded(clients[0]!);
  const submitted = (await submitFor(clients, seconds)).length;
  while ((await succeeded(clients[0]!)) - before < submitted);
  return submitted;
}

/**
 * Whole cycles for so long that the window in which finished jobs are remembered (setting `dedupe_window_ms`) is full:
 * what is measured afterwards carries its full weight.
 */
export async function fill({ cluster, report, seconds }: Bench): Promise<void> {
  const worker = await startWorkers(cluster, 8, 64);
  const clients = clientsOf(cluster);
  const began = performance.now();
  let jobs = 0;
  while (performance.now() - began < seconds * 1000) {
    const slice = Math.min(30, seconds);
    const sliceBegan = performance.now();
    const done = await cycles(clients, slice);
    jobs += done;
    const rate = done / ((performance.now() - sliceBegan) / 1000);
    report.add(
      'fill',
      0,
      `${Math.round((performance.now() - began) / 1000)} s: ${Math.round(rate)} whole cycles/s`,
      {
        perSecond: rate,
      },
    );
  }
  report.add('fill', 0, `${jobs} jobs worked before the first run`, { jobs });
  worker.kill('SIGKILL');
  await Promise.all(clients.map((one) => one.close()));
}

/** Submit to start, one at a time; client and worker at the two followers. */
export async function w3({ cluster, report, run }: Bench): Promise<void> {
  await purge(cluster);
  const followers = await followersOf(cluster);
  const one = new Client({ endpoints: followers[0]! });
  const worker = new Worker({ endpoints: followers[1]!, concurrency: 1 });
  let started: (at: number) => void = () => {};
  worker.handle(FUNCTION, () => {
    started(performance.now());
  });
  await worker.start();
  const times: number[] = [];
  const cycle = async (): Promise<number> => {
    const start = new Promise<number>((resolve) => {
      started = resolve;
    });
    const began = performance.now();
    const acknowledged = one.submit(FUNCTION, payload);
    const at = await start;
    await acknowledged;
    return at - began;
  };
  for (let i = 0; i < WARM_CYCLES; i++) await cycle();
  const spinBefore = spin();
  for (let i = 0; i < COUNTED_CYCLES; i++) {
    times.push(await cycle());
    await new Promise((resolve) => setTimeout(resolve, PACE_MS));
  }
  const spinAfter = spin();
  const disk = await fdatasync(300, PACE_MS);
  const ascending = sorted(times);
  const [p50, p99] = [percentile(ascending, 50), percentile(ascending, 99)];
  report.add(
    'W3',
    run,
    `submit to start p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms; fdatasync p50 ${disk.p50.toFixed(2)} ms; allowed p50 ${(2 * disk.p50 + 1.5).toFixed(2)} ms`,
    { p50, p99, fdatasyncP50: disk.p50 },
    { spinBefore, spinAfter },
  );
  await worker.stop();
  await one.close();
}

/** The leader is killed; time from kill(2) to the answer of a submission that was sent after it. */
export async function w6(report: Report, kills: number): Promise<void> {
  const times: number[] = [];
  const cluster = await RealCluster.start();
  const spinBefore = spin();
  try {
    for (let i = 0; i < kills; i++) {
      const leader = await cluster.leader();
      const others = cluster.nodes.filter((node) => node !== leader);
      const one = new Client({ endpoints: others.map((node) => node.grpc) });
      await one.submit(FUNCTION, payload);
      const gone = leader.end('SIGKILL');
      const began = performance.now();
      await one.submit(FUNCTION, payload);
      times.push(performance.now() - began);
      await gone;
      await one.close();
      leader.start();
      await cluster.ready();
    }
  } finally {
    await cluster.remove();
  }
  const ascending = sorted(times);
  report.add(
    'W6',
    0,
    `leader killed to next acknowledged submission, ${times.length} times: p50 ${percentile(ascending, 50).toFixed(0)} ms, max ${ascending.at(-1)!.toFixed(0)} ms (${ascending.map((ms) => ms.toFixed(0)).join(' ')})`,
    { p50: percentile(ascending, 50), max: ascending.at(-1)! },
    { spinBefore, spinAfter: spin() },
  );
}
