import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Client } from '../../src/client/index.js';
import { Worker } from '../../src/worker/index.js';
import { RealCluster } from '../support/real-cluster.js';
import { cpuUs, fdatasync, percentile, residentBytes, sorted, spin } from './gauge.js';

/**
 * Measures a three-node cluster of real processes on this machine, with real fdatasync, 100-byte jobs:
 *
 *     npm run bench                       all of it, the default form
 *     npm run bench -- --only W1,W3       some of it
 *     npm run bench -- --seconds 20       longer runs
 *     npm run bench -- --profile DIR      CPU profiles of the nodes, one file each
 *
 * W1 acknowledged submissions, one job a call; W1b in batches of 100; W2 whole cycles; W3 submit to start, one at a
 * time; W6 time from kill(2) of the leader to the answer of a submission sent after it.
 */
const { values: flags } = parseArgs({
  options: {
    only: { type: 'string', default: 'W1,W1b,W2,W3,W6' },
    seconds: { type: 'string', default: '5' },
    runs: { type: 'string', default: '3' },
    kills: { type: 'string', default: '20' },
    json: { type: 'boolean', default: false },
    profile: { type: 'string' },
  },
});
const only = new Set(flags.only.split(','));
const seconds = Number(flags.seconds);
const runs = Number(flags.runs);
const payload = Buffer.alloc(100, 'x');
const CONNECTIONS = 8;
const IN_FLIGHT = 64;

interface Row {
  readonly workload: string;
  readonly text: string;
  readonly figures: Readonly<Record<string, number>>;
}

const rows: Row[] = [];

function report(workload: string, text: string, figures: Record<string, number>): void {
  rows.push({ workload, text, figures });
  if (!flags.json) process.stdout.write(`${workload.padEnd(4)} ${text}\n`);
}

function serversCpu(cluster: RealCluster): number {
  return cluster.nodes.reduce((sum, node) => sum + (node.running ? cpuUs(node.pid) : 0), 0);
}

/** Measures `work` for its CPU: servers together and this process, per job. */
async function measured(
  cluster: RealCluster,
  work: () => Promise<number>,
): Promise<{
  jobs: number;
  perEntry: number;
  seconds: number;
  serversUs: number;
  clientUs: number;
  spin: number;
}> {
  const before = spin();
  const index = await appliedIndex(cluster);
  const servers = serversCpu(cluster);
  const own = process.cpuUsage();
  const began = performance.now();
  const jobs = await work();
  const took = (performance.now() - began) / 1000;
  const ownUsed = process.cpuUsage(own);
  const serversUs = (serversCpu(cluster) - servers) / jobs;
  const after = spin();
  const perEntry = jobs / Math.max(1, (await appliedIndex(cluster)) - index);
  return {
    perEntry,
    jobs,
    seconds: took,
    serversUs,
    clientUs: (ownUsed.user + ownUsed.system) / jobs,
    spin: Math.max(before, after),
  };
}

async function w1(cluster: RealCluster, run: number): Promise<void> {
  const clients = Array.from({ length: CONNECTIONS }, (_, i) => client(cluster, i));
  const m = await measured(cluster, () => submitFor(clients, seconds));
  report(
    'W1',
    `run ${run}: ${Math.round(m.jobs / m.seconds)} acknowledged submissions/s, CPU per job: servers ${m.serversUs.toFixed(1)} µs, client ${m.clientUs.toFixed(1)} µs, ${m.perEntry.toFixed(0)} jobs per log entry, spin ${m.spin.toFixed(0)} ms`,
    {
      perSecond: m.jobs / m.seconds,
      serversUs: m.serversUs,
      clientUs: m.clientUs,
      spinMs: m.spin,
    },
  );
  await Promise.all(clients.map((one) => one.close()));
}

async function appliedIndex(cluster: RealCluster): Promise<number> {
  return Math.max(...(await cluster.info()).nodes.map((node) => node.appliedIndex));
}

/** Keeps `IN_FLIGHT` submissions of each client under way for a while; returns how many were acknowledged. */
async function submitFor(clients: readonly Client[], duration: number): Promise<number> {
  let done = 0;
  const end = performance.now() + duration * 1000;
  const loop = async (one: Client): Promise<void> => {
    while (performance.now() < end) {
      await one.submit('bench', payload);
      done += 1;
    }
  };
  await Promise.all(clients.flatMap((one) => Array.from({ length: IN_FLIGHT }, () => loop(one))));
  return done;
}

async function w1b(cluster: RealCluster, run: number): Promise<void> {
  const clients = Array.from({ length: CONNECTIONS }, (_, i) => client(cluster, i));
  const jobs = Array.from({ length: 100 }, () => ({ function: 'bench', payload }));
  const m = await measured(cluster, async () => {
    let done = 0;
    const end = performance.now() + seconds * 1000;
    const loop = async (one: Client): Promise<void> => {
      while (performance.now() < end) {
        await one.submitMany(jobs);
        done += jobs.length;
      }
    };
    await Promise.all(clients.flatMap((one) => Array.from({ length: 4 }, () => loop(one))));
    return done;
  });
  report(
    'W1b',
    `run ${run}: ${Math.round(m.jobs / m.seconds)} submissions/s in batches of 100, CPU per job: servers ${m.serversUs.toFixed(1)} µs, client ${m.clientUs.toFixed(1)} µs, ${m.perEntry.toFixed(0)} jobs per log entry, spin ${m.spin.toFixed(0)} ms`,
    {
      perSecond: m.jobs / m.seconds,
      serversUs: m.serversUs,
      clientUs: m.clientUs,
      spinMs: m.spin,
    },
  );
  await Promise.all(clients.map((one) => one.close()));
}

async function w2(cluster: RealCluster, run: number): Promise<void> {
  await purge(cluster);
  const worker = await startWorkers(cluster, 8, 64);
  const clients = Array.from({ length: CONNECTIONS }, (_, i) => client(cluster, i));
  const before = await totals(clients[0]!);
  let workerUs = 0;
  const m = await measured(cluster, async () => {
    const workerBefore = cpuUs(worker.pid!);
    const submitted = await submitFor(clients, seconds);
    let now = await totals(clients[0]!);
    while (now - before < submitted) now = await totals(clients[0]!);
    workerUs = (cpuUs(worker.pid!) - workerBefore) / submitted;
    return submitted;
  });
  report(
    'W2',
    `run ${run}: ${Math.round(m.jobs / m.seconds)} whole cycles/s, CPU per job: servers ${m.serversUs.toFixed(1)} µs, client ${m.clientUs.toFixed(1)} µs, workers ${workerUs.toFixed(1)} µs, ${m.perEntry.toFixed(0)} jobs per log entry, spin ${m.spin.toFixed(0)} ms`,
    {
      perSecond: m.jobs / m.seconds,
      serversUs: m.serversUs,
      clientUs: m.clientUs,
      workerUs,
      spinMs: m.spin,
    },
  );
  worker.kill('SIGKILL');
  await Promise.all(clients.map((one) => one.close()));
}

async function totals(one: Client): Promise<number> {
  return (await one.queues.get('bench', { consistency: 'linearizable' })).totals.succeeded;
}

async function w3(cluster: RealCluster, run: number): Promise<void> {
  await purge(cluster);
  const followers = await followersOf(cluster);
  const one = new Client({ endpoints: followers[0]! });
  const worker = new Worker({ endpoints: followers[1]!, concurrency: 1 });
  let started: (at: number) => void = () => {};
  worker.handle('bench', () => {
    started(performance.now());
  });
  await worker.start();
  const times: number[] = [];
  const paceMs = 2;
  for (let i = 0; i < 600; i++) {
    const start = new Promise<number>((resolve) => {
      started = resolve;
    });
    const began = performance.now();
    const acknowledged = one.submit('bench', payload);
    const at = await start;
    await acknowledged;
    if (i >= 100) times.push(at - began);
    await new Promise((resolve) => setTimeout(resolve, paceMs));
  }
  const disk = await fdatasync(300, paceMs);
  const ascending = sorted(times);
  const p50 = percentile(ascending, 50);
  report(
    'W3',
    `run ${run}: submit to start p50 ${p50.toFixed(2)} ms, p99 ${percentile(ascending, 99).toFixed(2)} ms; fdatasync p50 ${disk.p50.toFixed(2)} ms; allowed p50 ${(2 * disk.p50 + 1.5).toFixed(2)} ms`,
    {
      p50,
      p99: percentile(ascending, 99),
      fdatasyncP50: disk.p50,
    },
  );
  await worker.stop();
  await one.close();
}

async function w6(): Promise<void> {
  const times: number[] = [];
  const cluster = await RealCluster.start();
  try {
    const kills = Number(flags.kills);
    for (let i = 0; i < kills; i++) {
      const leader = await cluster.leader();
      const others = cluster.nodes.filter((node) => node !== leader);
      const one = new Client({ endpoints: others.map((node) => node.grpc) });
      await one.submit('bench', payload);
      const gone = leader.end('SIGKILL');
      const began = performance.now();
      await one.submit('bench', payload);
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
  report(
    'W6',
    `leader killed to next acknowledged submission, ${times.length} times: p50 ${percentile(ascending, 50).toFixed(0)} ms, max ${ascending.at(-1)!.toFixed(0)} ms (${ascending.map((ms) => ms.toFixed(0)).join(' ')})`,
    {
      p50: percentile(ascending, 50),
      max: ascending.at(-1)!,
    },
  );
}

function client(cluster: RealCluster, i: number): Client {
  const { endpoints } = cluster;
  const first = endpoints[i % endpoints.length]!;
  return new Client({ endpoints: [first, ...endpoints.filter((one) => one !== first)], order: 'listed' });
}

async function purge(cluster: RealCluster): Promise<void> {
  const one = client(cluster, 0);
  await one.queues.purge('bench').catch(() => {});
  for (;;) {
    const queue = await one.queues.get('bench').catch(() => null);
    if (queue === null || queue.waiting.high + queue.waiting.normal + queue.waiting.low === 0) break;
  }
  await one.close();
}

async function followersOf(cluster: RealCluster): Promise<string[]> {
  const leader = await cluster.leader();
  return cluster.nodes.filter((node) => node !== leader).map((node) => node.grpc);
}

async function startWorkers(cluster: RealCluster, sessions: number, credits: number): Promise<ChildProcess> {
  const script = fileURLToPath(new URL('./worker.js', import.meta.url));
  const child = fork(script, [cluster.endpoints.join(','), String(sessions), String(credits)]);
  await once(child, 'message');
  return child;
}

async function main(): Promise<void> {
  const disk = await fdatasync(200, 1);
  report(
    'disk',
    `fdatasync of 4 KiB, preallocated: p50 ${disk.p50.toFixed(2)} ms, p99 ${disk.p99.toFixed(2)} ms; ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}; Node ${process.version}`,
    disk,
  );
  if (['W1', 'W1b', 'W2', 'W3'].some((one) => only.has(one))) {
    const nodeFlags = flags.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${flags.profile}`];
    const cluster = await RealCluster.start({ nodeFlags });
    try {
      for (let run = 1; run <= runs; run++) {
        if (only.has('W3')) await w3(cluster, run);
        if (only.has('W2')) await w2(cluster, run);
        if (only.has('W1')) await w1(cluster, run);
        if (only.has('W1b')) await w1b(cluster, run);
        await purge(cluster);
      }
      const rss = cluster.nodes.map((node) => Math.round(residentBytes(node.pid) / 1024 / 1024));
      report('mem', `resident memory of the nodes at the end: ${rss.join(', ')} MiB`, {
        max: Math.max(...rss),
      });
      await cluster.agreedHash();
      report('hash', 'all replicas agree', { agree: 1 });
    } catch (error) {
      process.stderr.write(`${cluster.logs()}\n`);
      throw error;
    } finally {
      if (flags.profile !== undefined) await Promise.all(cluster.nodes.map((node) => node.end('SIGTERM')));
      await cluster.remove();
    }
  }
  if (only.has('W6')) await w6();
  if (flags.json) process.stdout.write(`${JSON.stringify(rows)}\n`);
}

await main();
