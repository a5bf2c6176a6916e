import { type Client, GearmeshError, type JobOptions } from '../../src/client/index.js';
import { IdSource } from '../../src/client/ulid.js';
import type { RealCluster } from './real-cluster.js';

const RETENTION_MS = 3_600_000;

/** Submissions that flow until stopped; remembers what was acknowledged and when. */
export class Load {
  readonly acknowledged: string[] = [];
  /** Milliseconds (monotonic) of each acknowledgement. */
  readonly times: number[] = [];
  /** Milliseconds from each submission to its acknowledgement. */
  readonly waits: number[] = [];
  readonly failures: Error[] = [];
  /** Why each job was not acknowledged, by its id; also those that ended after the stop. */
  readonly refused = new Map<string, Error>();
  readonly #ids = new IdSource();
  readonly #loops: Promise<void>[] = [];
  readonly #options: JobOptions;
  #watchers: (() => void)[] = [];
  #stopped = false;

  /** `inFlight` submissions at a time through each client. */
  constructor(clients: readonly Client[], fn: string, inFlight: number, options: JobOptions = {}) {
    this.#options = { resultRetentionMs: RETENTION_MS, ...options };
    for (const client of clients) {
      for (let i = 0; i < inFlight; i++) this.#loops.push(this.#loop(client, fn));
    }
  }

  async #loop(client: Client, fn: string): Promise<void> {
    while (!this.#stopped) {
      const begin = performance.now();
      const id = this.#ids.next();
      try {
        const options = { ...this.#options, id };
        const { jobId } = await client.submit(fn, `job ${this.acknowledged.length}`, options);
        const now = performance.now();
        this.acknowledged.push(jobId);
        this.times.push(now);
        this.waits.push(now - begin);
        const watchers = this.#watchers;
        this.#watchers = [];
        for (const watcher of watchers) watcher();
      } catch (error) {
        if (!this.#stopped) this.failures.push(error as Error);
        this.refused.set(id, error as Error);
      }
    }
  }

  #acknowledgement(): Promise<void> {
    return new Promise((resolve) => this.#watchers.push(resolve));
  }

  /** Resolves with the time of the first acknowledgement of a submission that was sent at `from` or later. */
  async next(from = performance.now()): Promise<number> {
    for (let seen = 0; ; ) {
      for (; seen < this.times.length; seen++) {
        if (this.times[seen]! - this.waits[seen]! >= from) return this.times[seen]!;
      }
      await this.#acknowledgement();
    }
  }

  /** Resolves once so many were acknowledged in all. */
  async reached(count: number): Promise<void> {
    while (this.acknowledged.length < count) await this.#acknowledgement();
  }

  /** Resolves once so many more were acknowledged. */
  more(count: number): Promise<void> {
    return this.reached(this.acknowledged.length + count);
  }

  /** The longest time without an acknowledgement between two moments (monotonic milliseconds). */
  longestGap(from: number, to: number): number {
    let last = from;
    let longest = 0;
    for (const time of this.times) {
      if (time < from) continue;
      if (time > to) break;
      longest = Math.max(longest, time - last);
      last = time;
    }
    return Math.max(longest, to - last);
  }

  /** Lets what is under way end. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#loops);
  }
}

/** What a submission may fail with while nodes die: anything else, an INTERNAL above all, is a defect. */
const OUTAGE = new Set([
  'NO_LEADER',
  'SHUTTING_DOWN',
  'OUTCOME_UNKNOWN',
  'CONNECTION_FAILED',
  'CONNECTION_LOST',
  'TIMED_OUT',
]);

/** Every failure is one that an outage explains, and of what is said not to have been applied there is no job. */
export async function expectHonestFailures(cluster: RealCluster, load: Load): Promise<void> {
  const client = cluster.client();
  try {
    for (const [jobId, error] of load.refused) {
      if (!(error instanceof GearmeshError) || !OUTAGE.has(error.reason)) throw error;
      if (error.outcome !== 'NOT_APPLIED') continue;
      const found = await client.get(jobId).catch((refused: GearmeshError) => refused.reason);
      if (found !== 'NOT_FOUND')
        throw new Error(`${jobId} was said not to be applied, and is there`, { cause: error });
    }
  } finally {
    await client.close();
  }
}
