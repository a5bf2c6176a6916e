import { version } from '../../src/cli/version.js';
import { Client } from '../../src/client/index.js';
import { Worker } from '../../src/worker/index.js';
import type { RealCluster } from '../support/real-cluster.js';
import {
  FUNCTION,
  followersOf,
  payload,
  purge,
  submitFor,
  submitManyFor,
  succeeded,
  untilSucceeded,
  waiting,
  withClients,
} from './bench-cluster.js';
import { cpuOf } from './gauge.js';
import { Pace, Workers } from './load.js';
import type { Load, RunningPeer, StartsOptions } from './peers/peer.js';
import type { Places } from './places.js';

const SESSIONS = 8;
const CREDITS = 64;
const LOOK_MS = 2;
/** Of the load beside jobs that are measured one at a time. */
const BESIDE = 'beside';

/** With what the servers took while it went on, without the looks at their counts before and after: µs per job. */
export interface OwnLoad extends Load {
  readonly serversUs: number;
}

/** A cluster of ours as one of the systems that are compared: the same loads, and every count checked behind them. */
export class Gearmesh implements RunningPeer {
  readonly cluster: RealCluster;
  readonly version = version();
  readonly batches = 'submitMany of 100 jobs';
  readonly #places: Places;
  #workers: Workers | null = null;

  constructor(cluster: RealCluster, places: Places = 'leader') {
    this.cluster = cluster;
    this.#places = places;
  }

  get pids(): number[] {
    return this.cluster.nodes.map((node) => node.pid);
  }

  submitFor(seconds: number, functions: readonly string[] = [FUNCTION]): Promise<OwnLoad> {
    let waits: readonly number[] = [];
    return this.#submitted(functions, async (clients) => {
      waits = await submitFor(clients, seconds, functions);
      return waits.length;
    }).then((load) => ({ ...load, waits }));
  }

  submitManyFor(seconds: number): Promise<OwnLoad> {
    return this.#submitted([FUNCTION], (clients) => submitManyFor(clients, seconds));
  }

  /** With workers of its own, or with `workers`, which can do these functions. */
  async cyclesFor(
    seconds: number,
    workers: Workers | null = null,
    functions: readonly string[] = [FUNCTION],
  ): Promise<OwnLoad> {
    if (workers !== null) return await this.#cycles(seconds, workers, functions);
    // Opened for each load, in a process that is warm from the one before, as the clients' is.
    this.#workers ??= Workers.of(this.cluster);
    await this.#workers.open({ sessions: SESSIONS, credits: CREDITS, functions, places: this.#places });
    const load = await this.#cycles(seconds, this.#workers, functions);
    await this.#workers.close();
    return load;
  }

  async starts(options: StartsOptions): Promise<number[]> {
    const { background = 0 } = options;
    if (background === 0) return await this.#starts(options);
    return (await this.beside(background, () => this.#starts(options))).result;
  }

  /** Runs `work` while whole cycles of other jobs go on at a steady pace. Resolves with the pace that was held, too. */
  async beside<T>(perSecond: number, work: () => Promise<T>): Promise<{ result: T; perSecond: number }> {
    const functions = [BESIDE];
    const places = this.#places;
    const options = { sessions: SESSIONS, credits: CREDITS, functions, places };
    const workers = await Workers.start(this.cluster, options);
    let pace: Pace | null = null;
    try {
      return await withClients(this.cluster, async ([one]) => {
        const before = await succeeded(one!, functions);
        pace = await Pace.start(this.cluster, { perSecond, fn: BESIDE, places });
        const result = await work();
        const { accepted, seconds } = await pace.stop();
        await untilSucceeded(one!, functions, before + accepted);
        expectCounts(accepted, await workers.worked(), (await succeeded(one!, functions)) - before);
        return { result, perSecond: accepted / seconds };
      });
    } finally {
      (pace as Pace | null)?.kill();
      workers.kill();
    }
  }

  /** A client and a worker (one job at a time): both at the leader, or at a follower each, which is the longest way. */
  async withPair<T>(handler: () => void, work: (client: Client) => Promise<T>): Promise<T> {
    await this.purge();
    const { endpoints } = this.cluster;
    const [here, there] =
      this.#places === 'leader' ? [endpoints, endpoints] : await followersOf(this.cluster);
    // Where one endpoint is all there is, they stay there.
    const one = new Client({ endpoints: here!, order: 'leader' });
    const worker = new Worker({ endpoints: there!, order: 'leader', concurrency: 1 });
    worker.handle(FUNCTION, handler);
    await worker.start();
    try {
      return await work(one);
    } finally {
      await worker.stop();
      await one.close();
    }
  }

  purge(): Promise<void> {
    return purge(this.cluster);
  }

  /** Its workers end; the cluster stays. */
  endWorkers(): void {
    this.#workers?.kill();
  }

  stop(): Promise<void> {
    this.endWorkers();
    return this.cluster.remove();
  }

  async #starts({ count, paceMs }: StartsOptions): Promise<number[]> {
    let started: (at: number) => void = () => {};
    const times: number[] = [];
    await this.withPair(
      () => started(performance.now()),
      async (one) => {
        for (let i = 0; i < count; i++) {
          const start = new Promise<number>((resolve) => {
            started = resolve;
          });
          const began = performance.now();
          const acknowledged = one.submit(FUNCTION, payload);
          times.push((await start) - began);
          await acknowledged;
          if (paceMs > 0) await pause(paceMs);
        }
      },
    );
    return times;
  }

  async #submitted(
    functions: readonly string[],
    submit: (clients: readonly Client[]) => Promise<number>,
  ): Promise<OwnLoad> {
    const before = await waiting(this.cluster, functions);
    const submitted = (clients: readonly Client[]): Promise<OwnLoad> => this.#timed(() => submit(clients));
    const load = await withClients(this.cluster, submitted, this.#places);
    const there = (await waiting(this.cluster, functions)) - before;
    if (there !== load.jobs) throw new Error(`${load.jobs} jobs were accepted, ${there} wait`);
    return load;
  }

  async #timed(work: () => Promise<number>): Promise<OwnLoad> {
    const servers = cpuOf(this.pids);
    const cpu = process.cpuUsage();
    const began = performance.now();
    const jobs = await work();
    const seconds = (performance.now() - began) / 1_000;
    const { user, system } = process.cpuUsage(cpu);
    const used = user + system;
    return {
      jobs,
      seconds,
      clientUs: used / jobs,
      busiestClient: used / 1e6 / seconds,
      serversUs: (cpuOf(this.pids) - servers) / jobs,
    };
  }

  #cycles(seconds: number, workers: Workers, functions: readonly string[]): Promise<OwnLoad> {
    return withClients(
      this.cluster,
      async (clients) => {
        const before = await succeeded(clients[0]!, functions);
        const worked = await workers.worked();
        const workersUs = workers.cpuUs;
        let waits: readonly number[] = [];
        const load = await this.#timed(async () => {
          waits = await submitFor(clients, seconds, functions);
          while ((await workers.worked()) - worked < waits.length) await pause(LOOK_MS);
          // To look through thousands of queues would cost more than the last jobs.
          if (functions.length === 1) await untilSucceeded(clients[0]!, functions, before + waits.length);
          return waits.length;
        });
        const workersUsed = workers.cpuUs - workersUs;
        await untilSucceeded(clients[0]!, functions, before + load.jobs);
        const done = (await succeeded(clients[0]!, functions)) - before;
        expectCounts(load.jobs, (await workers.worked()) - worked, done);
        return {
          ...load,
          waits,
          clientUs: load.clientUs + workersUsed / load.jobs,
          busiestClient: Math.max(load.busiestClient, workersUsed / 1e6 / load.seconds),
        };
      },
      this.#places,
    );
  }
}

/** Every job that was accepted was worked (a job may be worked again, it is never lost) and has succeeded once. */
function expectCounts(accepted: number, worked: number, completed: number): void {
  if (worked < accepted || completed !== accepted) {
    throw new Error(`${accepted} jobs were accepted, ${worked} worked, ${completed} completed`);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
