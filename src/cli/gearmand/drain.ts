import { type Client, GearmeshError, type SubmitResult } from '../../client/index.js';
import { TYPE } from '../../gearman/packets.js';
import { CliError } from '../exit-codes.js';
import {
  type AssignedJob,
  assignedJob,
  importId,
  sameJobPart,
  type Translated,
  translated,
} from './assigned.js';
import { relayForeground } from './foreground.js';
import { Link, unexpected } from './link.js';
import { askJobs, type JobsSeen, numberOf } from './look.js';

/** Jobs that may be on their way at once, at the beginning and once their size is known, and about how many bytes. */
const WINDOW_JOBS_FIRST = 4;
const WINDOW_JOBS = 512;
const WINDOW_BYTES = 32 << 20;
/** A large payload is expected again for about so many jobs. */
const SIZES_REMEMBERED = 64;
/** Foreground jobs that may wait for their workers here at once; further jobs are not fetched meanwhile. */
const FOREGROUND_MAX = 1_000;
/** Jobs that cannot be taken; with more of them something else is wrong. */
const REFUSED_MAX = 10_000;
/** Larger payloads are uploaded on their own, and would arrive behind jobs that were given out after them. */
const LARGE_BYTES = 256 << 10;
/** A job was cancelled there while it was on its way here. */
const GONE = Buffer.from('JOB_NOT_FOUND');
/** Reasons of the cluster that concern one job alone; any other ends the import. */
const OF_ONE_JOB: ReadonlySet<string> = new Set(['PAYLOAD_TOO_LARGE', 'INVALID_FIELD', 'ID_REUSED']);
/** As often as a worker may be lost: the port's own default is without limit. */
const RETRY = {
  maxAttempts: 10_000,
  initialBackoffMs: 1,
  maxBackoffMs: 1,
  multiplier: 1,
  jitter: 0,
} as const;

/** How far the jobs of one function are. */
interface Order {
  /** Resolves when all so far are here, or not taken. */
  all: Promise<unknown>;
  /** The same up to the last large one. */
  large: Promise<unknown> | undefined;
}

export interface DrainOptions {
  readonly address: string;
  readonly client: Client;
  /** Names one life of the gearmand. */
  readonly life: string;
  readonly functions: readonly string[];
  readonly seen: JobsSeen;
  /** Jobs that an earlier import left in doubt and that are here: their ids by `sameJobPart`. */
  readonly here: ReadonlyMap<string, string>;
  /** Go on when the queues are empty. */
  readonly follow: boolean;
  /** Aborted: fetch no more, finish what is on its way. */
  readonly signal: AbortSignal;
  readonly refused: (handle: string, why: string) => void;
}

export interface DrainCounts {
  /** Jobs that are here and complete there, of which … */
  imported: number;
  /** … a job with their unique key waited or ran here already, … */
  coalesced: number;
  /** … an earlier import had brought them, … */
  repeated: number;
  /** … somebody waited for them there, and got the result. */
  foreground: number;
  /** Foreground jobs that wait for their workers here now. */
  waiting: number;
  /** They stay in the gearmand. */
  refused: number;
}

/**
 * Takes the jobs out of a gearmand as a worker that completes each only once it is durable here.
 *
 *     GRAB_JOB_ALL ──▶ assigned ──▶ submitted here ──durable──▶ WORK_COMPLETE
 *                          └──▶ somebody waits: run here ──ended──▶ WORK_COMPLETE or WORK_FAIL
 *
 * One connection, so that jobs keep the order in which gearmand gives them: high before normal before low, oldest first.
 * For the same reason a large one goes alone among those of its function.
 */
export class Drain {
  readonly counts: DrainCounts = {
    imported: 0,
    coalesced: 0,
    repeated: 0,
    foreground: 0,
    waiting: 0,
    refused: 0,
  };
  readonly #options: DrainOptions;
  readonly #stopRuns = new AbortController();
  #link!: Link;
  #seen: JobsSeen;
  /** Assigned, and it is not known yet whether somebody waits for them. */
  #unknown: AssignedJob[] = [];
  readonly #order = new Map<string, Order>();
  #grabs = 0;
  #jobs = 0;
  /** What a payload is to be expected to have: that of the largest one lately. */
  #payloadBytes = 0;
  #dry = false;
  #asleep = false;
  #stopping = false;
  #failure: Error | null = null;
  #settled!: () => void;

  constructor(options: DrainOptions) {
    this.#options = options;
    this.#seen = options.seen;
  }

  /** Resolves when the queues are empty, or the signal asked to stop. Rejects with what made it end early. */
  async run(): Promise<void> {
    const { address, functions, signal } = this.#options;
    const settled = new Promise<void>((resolve) => {
      this.#settled = resolve;
    });
    this.#link = await Link.open(address, {
      packet: (type, body) => this.#packet(type, body),
      lost: (error) => {
        this.#fail(error);
        // Without the connection nothing more can be said there.
        this.#settled();
      },
    });
    const stop = (): void => this.#stop();
    signal.addEventListener('abort', stop, { once: true });
    try {
      for (const name of functions) this.#link.send(TYPE.CAN_DO, [name]);
      if (signal.aborted) this.#stop();
      this.#fill();
      await settled;
    } finally {
      signal.removeEventListener('abort', stop);
      this.#link.end();
    }
    if (this.#failure !== null) throw this.#failure;
  }

  #packet(type: number, body: Buffer): void {
    if (type === TYPE.NO_JOB) {
      this.#grabs--;
      this.#dry = true;
    } else if (type === TYPE.NOOP) {
      this.#asleep = this.#dry = false;
    } else if (type === TYPE.ECHO_RES) {
      // All that was completed has been read there.
      this.#settled();
      return;
    } else if (type !== TYPE.ERROR || !body.subarray(0, GONE.length).equals(GONE)) {
      const job = assignedJob(type, body);
      if (job === null) {
        this.#fail(unexpected(type, body));
        return;
      }
      this.#grabs--;
      // What comes after a stop goes back with the connection.
      if (!this.#stopping) this.#assigned(job);
    }
    this.#fill();
  }

  /** Asks for as many jobs as there is room for; at the end says good-bye. */
  #fill(): void {
    if (!this.#dry && !this.#stopping && this.counts.waiting < FOREGROUND_MAX) {
      const bySize = WINDOW_JOBS_FIRST + Math.floor(WINDOW_BYTES / (this.#payloadBytes + 1));
      const most = Math.min(WINDOW_JOBS, WINDOW_JOBS_FIRST + this.counts.imported, bySize);
      for (; this.#jobs + this.#grabs < most; this.#grabs++) this.#link.send(TYPE.GRAB_JOB_ALL);
    }
    if (this.#grabs > 0 || this.#jobs > 0) return;
    if (!this.#stopping && this.#options.follow) {
      if (!this.#asleep && this.#dry) {
        this.#asleep = true;
        this.#link.send(TYPE.PRE_SLEEP);
      }
    } else if (this.#stopping || (this.#dry && this.counts.waiting === 0)) {
      this.#stopping = true;
      this.#link.send(TYPE.ECHO_REQ, ['']);
    }
  }

  #assigned(job: AssignedJob): void {
    this.#jobs++;
    const size = job.payload.length;
    this.#payloadBytes = Math.max(size, this.#payloadBytes - (this.#payloadBytes - size) / SIZES_REMEMBERED);
    if (numberOf(job.handle) <= this.#seen.lastNumber) {
      this.#take(job);
      return;
    }
    // It came after the last look.
    this.#unknown.push(job);
    if (this.#unknown.length === 1) void this.#lookAgain();
  }

  async #lookAgain(): Promise<void> {
    try {
      const seen = await askJobs(this.#options.address);
      this.#seen = { ...seen, lastNumber: Math.max(seen.lastNumber, this.#seen.lastNumber) };
    } catch (error) {
      this.#fail(new CliError('FAILED', (error as Error).message, 'run it again to go on'));
      return;
    }
    const jobs = this.#unknown;
    this.#unknown = [];
    for (const job of jobs) {
      if (numberOf(job.handle) <= this.#seen.lastNumber) this.#take(job);
      else this.#unknown.push(job);
    }
    if (this.#unknown.length > 0) void this.#lookAgain();
  }

  #take(job: AssignedJob): void {
    const spec = translated(job);
    if (typeof spec === 'string') {
      this.#refuse(job, spec);
      return;
    }
    const id = importId(this.#options.life, job, Date.now());
    const before = this.#seen.lost.has(job.handle) ? this.#options.here.get(sameJobPart(id)) : undefined;
    if (this.#seen.foreground.has(job.handle)) void this.#relay(job, spec, id, before);
    else if (before !== undefined) this.#complete(job, 'repeated');
    else this.#inOrder(spec.function, job.payload.length > LARGE_BYTES, () => this.#submit(job, spec, id));
  }

  #inOrder(name: string, large: boolean, submit: () => Promise<void>): void {
    const order = this.#order.get(name);
    const before = large ? order?.all : order?.large;
    const done = before === undefined ? submit() : before.then(submit);
    const all = order === undefined ? done : Promise.all([order.all, done]);
    const next = { all, large: large ? done : order?.large };
    this.#order.set(name, next);
    void all.then(() => {
      if (this.#order.get(name) === next) this.#order.delete(name);
    });
  }

  async #submit(job: AssignedJob, spec: Translated, id: string): Promise<void> {
    if (this.#failure !== null) {
      // One before it may not be here.
      this.#done();
      this.#fill();
      return;
    }
    const { client } = this.#options;
    const options = { uniqueKey: spec.uniqueKey, metadata: spec.metadata, retry: RETRY, contentType: '' };
    try {
      let result: SubmitResult;
      try {
        result = await client.submit(spec.function, job.payload, { ...options, id });
      } catch (error) {
        if (!wrongClock(error)) throw error;
        // This machine's clock is off by minutes: the SDK knows the cluster's.
        result = await client.submit(spec.function, job.payload, options);
      }
      const { disposition } = result;
      this.#complete(
        job,
        disposition === 'same-id' ? 'repeated' : disposition === 'coalesced' ? 'coalesced' : null,
      );
    } catch (error) {
      this.#notTaken(job, error as Error);
    }
  }

  /** Somebody waits for it at the gearmand: it is run here, and what it gives goes back. */
  async #relay(job: AssignedJob, spec: Translated, id: string, before: string | undefined): Promise<void> {
    const { client } = this.#options;
    const signal = this.#stopRuns.signal;
    this.#done();
    this.counts.waiting++;
    this.#fill();
    try {
      await this.#order.get(spec.function)?.large;
      const run =
        before !== undefined
          ? client.watch(before, { signal })
          : client.run(spec.function, job.payload, {
              id,
              uniqueKey: spec.uniqueKey,
              metadata: spec.metadata,
              retry: RETRY,
              contentType: '',
              signal,
            });
      await relayForeground(run, job.handle, this.#link, signal);
      this.counts.foreground++;
      this.counts.imported++;
    } catch (error) {
      if (!signal.aborted) this.#notTakenRun(job, error as Error);
    } finally {
      this.counts.waiting--;
      this.#fill();
    }
  }

  #complete(job: AssignedJob, how: 'coalesced' | 'repeated' | null): void {
    this.#link.send(TYPE.WORK_COMPLETE, [job.handle, '']);
    this.counts.imported++;
    if (how !== null) this.counts[how]++;
    this.#done();
    this.#fill();
  }

  #notTaken(job: AssignedJob, error: Error): void {
    if (error instanceof GearmeshError && OF_ONE_JOB.has(error.reason)) {
      this.#refuse(job, error.message);
      return;
    }
    this.#done();
    this.#fail(error);
  }

  #notTakenRun(job: AssignedJob, error: Error): void {
    if (error instanceof GearmeshError && OF_ONE_JOB.has(error.reason)) {
      this.#options.refused(job.handle, error.message);
      this.counts.refused++;
    } else {
      this.#fail(error);
    }
  }

  /** It is held to the end, so that it is not given out again, and goes back with the connection. */
  #refuse(job: AssignedJob, why: string): void {
    this.counts.refused++;
    this.#options.refused(job.handle, why);
    this.#done();
    if (this.counts.refused > REFUSED_MAX) {
      this.#fail(new CliError('FAILED', `more than ${REFUSED_MAX} jobs cannot be taken`));
    } else {
      this.#fill();
    }
  }

  #done(): void {
    this.#jobs--;
  }

  #stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#stopRuns.abort();
    for (const _ of this.#unknown.splice(0)) this.#done();
    this.#grabs = 0;
    this.#fill();
  }

  /** The first failure counts. What is on its way here is still completed there. */
  #fail(error: Error): void {
    this.#failure ??= error;
    this.#stop();
  }
}

function wrongClock(error: unknown): boolean {
  return error instanceof GearmeshError && (error.reason === 'ID_TOO_OLD' || error.reason === 'ID_IN_FUTURE');
}
