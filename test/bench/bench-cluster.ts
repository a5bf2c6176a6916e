import { Client, GearmeshError, type QueueInfo } from '../../src/client/index.js';
import type { RealCluster } from '../support/real-cluster.js';
import { cpuUs } from './gauge.js';
import { type Places, placed } from './places.js';

export const FUNCTION = 'bench';
export const payload = Buffer.alloc(100, 'x');
export const CONNECTIONS = 8;
export const IN_FLIGHT = 64;
const BATCH = 100;
const BATCHES_IN_FLIGHT = 4;
/** Jobs of one call that fills a queue. */
const FILL_BATCH = 1_000;
/** Between two looks at a queue that empties, and at jobs that end. */
const ASK_MS = 20;
const LOOK_MS = 2;

/** Opens clients for `work`, and closes them behind it. */
export async function withClients<T>(
  cluster: RealCluster,
  work: (clients: readonly Client[]) => Promise<T>,
  places: Places = 'leader',
): Promise<T> {
  const clients = Array.from(
    { length: CONNECTIONS },
    (_, i) => new Client(placed(cluster.endpoints, i, places)),
  );
  try {
    return await work(clients);
  } finally {
    await Promise.all(clients.map((one) => one.close()));
  }
}

/** Names of so many functions; one alone is the one that everything else uses. */
export function functionNames(count: number): string[] {
  return count === 1 ? [FUNCTION] : Array.from({ length: count }, (_, i) => `${FUNCTION}-${i}`);
}

/**
 * Keeps `IN_FLIGHT` submissions of each client under way for a while, of the functions in turn. Returns how long each
 * waited, milliseconds.
 */
export async function submitFor(
  clients: readonly Client[],
  seconds: number,
  functions: readonly string[] = [FUNCTION],
): Promise<number[]> {
  const waits: number[] = [];
  const end = performance.now() + seconds * 1000;
  let next = 0;
  const loop = async (one: Client): Promise<void> => {
    for (let began = performance.now(); began < end; ) {
      await one.submit(functions[next++ % functions.length]!, payload);
      const now = performance.now();
      waits.push(now - began);
      began = now;
    }
  };
  await Promise.all(clients.flatMap((one) => Array.from({ length: IN_FLIGHT }, () => loop(one))));
  return waits;
}

/** The same in calls of 100 jobs, 4 of each client. Returns the number of jobs. Throws when one was not accepted. */
export async function submitManyFor(clients: readonly Client[], seconds: number): Promise<number> {
  const jobs = Array.from({ length: BATCH }, () => ({ function: FUNCTION, payload }));
  let done = 0;
  const end = performance.now() + seconds * 1000;
  const loop = async (one: Client): Promise<void> => {
    while (performance.now() < end) {
      accepted(await one.submitMany(jobs));
      done += jobs.length;
    }
  };
  await Promise.all(clients.flatMap((one) => Array.from({ length: BATCHES_IN_FLIGHT }, () => loop(one))));
  return done;
}

function accepted(results: readonly object[]): void {
  const refused = results.find((one) => one instanceof GearmeshError);
  if (refused !== undefined) throw refused;
}

/** Lets so many more jobs of `fn` wait. */
export async function fillQueue(cluster: RealCluster, fn: string, count: number): Promise<void> {
  const before = await waiting(cluster, [fn]);
  let left = count;
  await withClients(cluster, async (clients) => {
    const loop = async (one: Client): Promise<void> => {
      while (left > 0) {
        const size = Math.min(FILL_BATCH, left);
        left -= size;
        accepted(await one.submitMany(Array.from({ length: size }, () => ({ function: fn, payload }))));
      }
    };
    await Promise.all(clients.map(loop));
  });
  const more = (await waiting(cluster, [fn])) - before;
  if (more !== count) throw new Error(`${count} jobs were accepted, ${more} wait`);
}

/** What the queues of these functions hold and have done, by a linearizable read. */
async function queuesOf(one: Client, functions: readonly string[]): Promise<QueueInfo[]> {
  const consistency = 'linearizable';
  if (functions.length > 1) {
    const wanted = new Set(functions);
    return (await one.queues.list({ consistency })).filter((queue) => wanted.has(queue.function));
  }
  try {
    return [await one.queues.get(functions[0]!, { consistency })];
  } catch (error) {
    if (error instanceof GearmeshError && error.reason === 'NOT_FOUND') return [];
    throw error;
  }
}

async function waitingOf(one: Client, functions: readonly string[]): Promise<number> {
  const queues = await queuesOf(one, functions);
  return queues.reduce((sum, { waiting: w }) => sum + w.high + w.normal + w.low, 0);
}

async function asking<T>(cluster: RealCluster, ask: (one: Client) => Promise<T>): Promise<T> {
  const one = new Client({ endpoints: cluster.endpoints });
  try {
    return await ask(one);
  } finally {
    await one.close();
  }
}

/** Jobs that wait for a worker. */
export function waiting(cluster: RealCluster, functions: readonly string[] = [FUNCTION]): Promise<number> {
  return asking(cluster, (one) => waitingOf(one, functions));
}

/** Removes what waits, and returns once nothing does. */
export function purge(cluster: RealCluster, functions: readonly string[] = [FUNCTION]): Promise<void> {
  return asking(cluster, async (one) => {
    for (const queue of await queuesOf(one, functions)) {
      const { high, normal, low } = queue.waiting;
      if (high + normal + low > 0) await one.queues.purge(queue.function);
    }
    while ((await waitingOf(one, functions)) > 0) await new Promise((resolve) => setTimeout(resolve, ASK_MS));
  });
}

/** Jobs that have succeeded so far. */
export async function succeeded(one: Client, functions: readonly string[] = [FUNCTION]): Promise<number> {
  return (await queuesOf(one, functions)).reduce((sum, queue) => sum + queue.totals.succeeded, 0);
}

/** Resolves once so many jobs in all have succeeded. */
export async function untilSucceeded(
  one: Client,
  functions: readonly string[],
  count: number,
): Promise<void> {
  // Each look costs the servers as much as some jobs.
  while ((await succeeded(one, functions)) < count)
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
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
