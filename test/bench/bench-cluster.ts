import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Client } from '../../src/client/index.js';
import type { RealCluster } from '../support/real-cluster.js';
import { cpuUs } from './gauge.js';

export const FUNCTION = 'bench';
export const payload = Buffer.alloc(100, 'x');
const CONNECTIONS = 8;
const IN_FLIGHT = 64;

/** A client whose connection number `i` goes to the nodes in turn. */
function client(cluster: RealCluster, i: number): Client {
  const { endpoints } = cluster;
  const first = endpoints[i % endpoints.length]!;
  return new Client({ endpoints: [first, ...endpoints.filter((one) => one !== first)], order: 'listed' });
}

export function clientsOf(cluster: RealCluster): Client[] {
  return Array.from({ length: CONNECTIONS }, (_, i) => client(cluster, i));
}

/** Keeps `IN_FLIGHT` submissions of each client under way for a while. Returns how long each waited, milliseconds. */
export async function submitFor(clients: readonly Client[], seconds: number): Promise<number[]> {
  const waits: number[] = [];
  const end = performance.now() + seconds * 1000;
  const loop = async (one: Client): Promise<void> => {
    for (let began = performance.now(); began < end; ) {
      await one.submit(FUNCTION, payload);
      const now = performance.now();
      waits.push(now - began);
      began = now;
    }
  };
  await Promise.all(clients.flatMap((one) => Array.from({ length: IN_FLIGHT }, () => loop(one))));
  return waits;
}

/** The same in calls of 100 jobs, 4 of each client. Returns the number of jobs. */
export async function submitManyFor(clients: readonly Client[], seconds: number): Promise<number> {
  const jobs = Array.from({ length: 100 }, () => ({ function: FUNCTION, payload }));
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
}

/** Removes what waits, and returns once nothing does. */
export async function purge(cluster: RealCluster): Promise<void> {
  const one = client(cluster, 0);
  await one.queues.purge(FUNCTION).catch(() => {});
  for (;;) {
    const queue = await one.queues.get(FUNCTION).catch(() => null);
    if (queue === null || queue.waiting.high + queue.waiting.normal + queue.waiting.low === 0) break;
  }
  await one.close();
}

/** A process with workers that do nothing: sessions, credits of each. */
export async function startWorkers(
  cluster: RealCluster,
  sessions: number,
  credits: number,
): Promise<ChildProcess> {
  const script = fileURLToPath(new URL('./worker.js', import.meta.url));
  const child = fork(script, [cluster.endpoints.join(','), String(sessions), String(credits)]);
  await once(child, 'message');
  return child;
}

/** Jobs that have succeeded so far, by a linearizable read. */
export async function succeeded(one: Client): Promise<number> {
  return (await one.queues.get(FUNCTION, { consistency: 'linearizable' })).totals.succeeded;
}

export async function followersOf(cluster: RealCluster): Promise<string[]> {
  const leader = await cluster.leader();
  return cluster.nodes.filter((node) => node !== leader).map((node) => node.grpc);
}

export async function appliedIndex(cluster: RealCluster): Promise<number> {
  return Math.max(...(await cluster.info()).nodes.map((node) => node.appliedIndex));
}

export function serversCpu(cluster: RealCluster): number {
  return cluster.nodes.reduce((sum, node) => sum + (node.running ? cpuUs(node.pid) : 0), 0);
}
