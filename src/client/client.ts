import { credentials } from '@grpc/grpc-js';
import { JobView } from '../../proto/gen/gearmesh/v1/common.js';
import { JobServiceService, type JobSpec } from '../../proto/gen/gearmesh/v1/job.js';
import { type Calls, unary } from './calls.js';
import { Cluster } from './cluster.js';
import { fromJob, toConsistency, toDuration, toSpec, toState } from './convert.js';
import { Cursor, EndpointPool } from './endpoints.js';
import { AbortedError, closedError, GearmeshError } from './errors.js';
import { LargePayloads, PAYLOAD_BYTES_MAX } from './large.js';
import { routeOf } from './leader.js';
import { isStream, type PayloadInput, type PayloadStream, STREAM_TYPE } from './payload.js';
import { Group, Member, type Pending, Single } from './pending.js';
import { Queues } from './queues.js';
import { Run, type RunHost } from './run.js';
import { Schedules } from './schedules.js';
import { bytesSource, drawFrom, type Source } from './source.js';
import { Submitter } from './submitter.js';
import type {
  CallOptions,
  Change,
  ClientOptions,
  JobInfo,
  JobOptions,
  JobState,
  ReadOptions,
  SubmitOptions,
  SubmitResult,
} from './types.js';
import { IdSource } from './ulid.js';

/** One of `submitMany`. */
export interface JobInput extends JobOptions {
  readonly function: string;
  readonly payload?: PayloadInput;
}

export interface SubmitManyOptions extends CallOptions {
  /** Either all jobs exist afterwards or none is created. All must fit one entry of the log: 768 KiB, see `SubmitJobs`. */
  readonly allOrNothing?: boolean;
}

export interface GetOptions extends ReadOptions {
  /** `full` brings payload, result and error details too. Default `basic`. */
  readonly view?: 'basic' | 'full';
}

export interface ListOptions extends GetOptions {
  readonly function?: string;
  /** Any of these; absent: all. */
  readonly states?: readonly JobState[];
  readonly uniqueKey?: string;
  /** Jobs per request; 1 to 1,000. */
  readonly pageSize?: number;
}

export interface CancelOptions extends CallOptions {
  /** For the worker and for people. */
  readonly reason?: string;
  /** How long a running job's worker may still go on. Absent: the cluster's default. */
  readonly graceMs?: number;
}

export interface WatchOptions extends ReadOptions {}

/** A payload up to this size is taken by every server. */
const SURELY_INLINE_BYTES = 1_024;
const NOTHING = new Uint8Array(0);
const TIMEOUT_MS = 30_000;
const CONNECT_TIMEOUT_MS = 1_000;

/**
 * A client of a Gearmesh cluster. One for a whole program is enough; it holds its connections until `close()`.
 *
 * Every method rejects with a `GearmeshError`. Submissions are repeated with the same job id through the other
 * endpoints until `timeoutMs` is over, so that one that resolved is kept by the cluster exactly once.
 *
 * @example
 * const client = new Client({ endpoints: ['n1:7730', 'n2:7730', 'n3:7730'] });
 * const { jobId } = await client.submit('resize', { file: 'a.png', width: 200 });
 * const run = client.run('reverse', 'Hello World!');
 * for await (const event of run) if (event.type === 'progress') console.log(event.numerator);
 * console.log(await (await run.result).text());
 * await client.close();
 */
export class Client {
  readonly namespace: string;
  readonly queues: Queues;
  readonly schedules: Schedules;
  readonly cluster: Cluster;
  readonly #pool: EndpointPool;
  readonly #calls: Calls;
  readonly #ids = new IdSource();
  readonly #lanes: Submitter[];
  readonly #large: LargePayloads;
  readonly #runs = new Set<Run>();
  readonly #timeoutMs: number;
  #turnLane: Submitter | null = null;
  #closed = false;

  constructor(options: ClientOptions) {
    const endpoints = endpointList(options.endpoints);
    this.namespace = options.namespace ?? '';
    this.#timeoutMs = positive('timeoutMs', options.timeoutMs ?? TIMEOUT_MS);
    this.#pool = new EndpointPool({
      endpoints,
      credentials: options.credentials ?? credentials.createInsecure(),
      channelOptions: options.channelOptions ?? {},
      connectTimeoutMs: positive('connectTimeoutMs', options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS),
    });
    const route = routeOf(this.#pool, options.order);
    this.#calls = { cursor: new Cursor(this.#pool, 0, route), timeoutMs: this.#timeoutMs };
    const connections = positive('connections', options.connections ?? 1);
    this.#lanes = Array.from(
      { length: connections },
      (_, lane) => new Submitter(new Cursor(this.#pool, lane, route, lane), this.#ids, this.namespace),
    );
    this.#large = new LargePayloads(
      new Cursor(this.#pool, connections, route),
      this.#ids,
      this.namespace,
      this.#timeoutMs,
      positive('payloadBytesMax', options.payloadBytesMax ?? PAYLOAD_BYTES_MAX),
    );
    this.queues = new Queues(this.#calls, this.namespace);
    this.schedules = new Schedules(this.#calls, this.#ids, this.namespace);
    this.cluster = new Cluster(this.#calls);
  }

  /**
   * Submits a job and resolves once it is on disk on a majority of the nodes. All that is submitted in one turn of the
   * event loop travels together.
   *
   * What is too large for messages is uploaded first, and again through another node when one is lost; `timeoutMs` bounds
   * then for how long nothing may move, a stream's silence included. A stream that was read already cannot be sent again: PayloadLostError.
   *
   * @param payload bytes, a string, or a JSON value; it sets the content type. Or a stream of bytes, such as a `Readable`
   */
  submit(
    fn: string,
    payload?: PayloadInput | PayloadStream,
    options: SubmitOptions = {},
  ): Promise<SubmitResult> {
    let spec: JobSpec;
    try {
      spec = this.#spec(options.id ?? this.#ids.next(), fn, payload, options);
    } catch (error) {
      return Promise.reject(error);
    }
    const ownId = options.id === undefined;
    if (isStream(payload)) return this.#submitStream(spec, ownId, payload, options);
    return this.#submitEither(spec, ownId, options);
  }

  /**
   * Submits many jobs behind one promise; results stand by position. Without `allOrNothing` each job has its own
   * outcome: those that were not accepted stand as a `GearmeshError` in the array. With it the promise rejects unless
   * all are accepted.
   */
  async submitMany(
    jobs: readonly JobInput[],
    options: SubmitManyOptions & { readonly allOrNothing: true },
  ): Promise<SubmitResult[]>;
  async submitMany(
    jobs: readonly JobInput[],
    options?: SubmitManyOptions,
  ): Promise<(SubmitResult | GearmeshError)[]>;
  async submitMany(
    jobs: readonly JobInput[],
    options: SubmitManyOptions = {},
  ): Promise<(SubmitResult | GearmeshError)[]> {
    if (jobs.length === 0) return [];
    const { signal, allOrNothing = false } = options;
    if (this.#closed) throw closedError('NOT_APPLIED');
    if (signal?.aborted) throw new AbortedError(signal, 'NOT_APPLIED');
    const until = performance.now() + (options.timeoutMs ?? this.#timeoutMs);
    const lane = this.#lane();
    const group = new Group(jobs.length);
    const members: Pending[] = [];
    for (const [i, job] of jobs.entries()) {
      const spec = this.#spec(job.id ?? this.#ids.next(), job.function, job.payload, job);
      const ownId = job.id === undefined;
      if (allOrNothing || spec.payload.length <= this.#large.inlineBytesMax) {
        members.push(new Member(spec, until, ownId, group, i));
        continue;
      }
      this.#submitLarge(spec, ownId, bytesSource(spec.payload), options).then(
        (result) => group.put(i, result),
        (error: GearmeshError) => group.put(i, error),
      );
    }
    if (allOrNothing) lane.addAtomic(members);
    else for (const member of members) lane.add(member);
    const stop = (): void => {
      for (const member of members) lane.abandon(member, (outcome) => new AbortedError(signal!, outcome));
    };
    signal?.addEventListener('abort', stop, { once: true });
    const results = await group.results;
    signal?.removeEventListener('abort', stop);
    if (allOrNothing || signal?.aborted) {
      const refused = firstRefusal(results);
      if (refused !== null) throw refused;
    }
    return results;
  }

  /**
   * Submits a job and follows it to its end.
   *
   * `timeoutMs` bounds the submission, and how long no node at all may be reachable, not the job. Throws at once what
   * cannot be encoded, and after `close()`.
   */
  run(fn: string, payload?: PayloadInput | PayloadStream, options: SubmitOptions = {}): Run {
    const id = options.id ?? this.#ids.next();
    const spec = this.#spec(id, fn, payload, options);
    return this.#run(spec, isStream(payload) ? payload : null, id, options.id === undefined, options);
  }

  /** Follows a job that exists, from its state now. */
  watch(jobId: string, options: WatchOptions = {}): Run {
    return this.#run(null, null, jobId, false, options);
  }

  /**
   * The payload or the result of a job as it comes, whatever its size, at the reader's pace. Should the node be lost it
   * goes on at another one. `timeoutMs` bounds for how long nothing may come. Throws NOT_FOUND where there is none.
   */
  download(
    jobId: string,
    part: 'payload' | 'result',
    options: CallOptions = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    return this.#large.stream(jobId, part, options);
  }

  /** A job as it stands. Rejects with NOT_FOUND. */
  async get(jobId: string, options: GetOptions = {}): Promise<JobInfo> {
    const request = {
      namespace: this.namespace,
      jobId,
      view: toView(options),
      consistency: toConsistency(options),
      minRevision: options.minRevision ?? '',
    };
    return fromJob(await unary(this.#calls, JobServiceService.getJob, request, options, 'read'));
  }

  /** Jobs, oldest first; pages are fetched as the iteration goes on. `timeoutMs` holds for each page. */
  async *list(options: ListOptions = {}): AsyncGenerator<JobInfo, void, undefined> {
    let pageToken = '';
    do {
      const page = await unary(
        this.#calls,
        JobServiceService.listJobs,
        {
          namespace: this.namespace,
          function: options.function ?? '',
          states: (options.states ?? []).map(toState),
          uniqueKey: options.uniqueKey ?? '',
          pageSize: options.pageSize ?? 0,
          pageToken,
          view: toView(options),
          consistency: toConsistency(options),
          minRevision: options.minRevision ?? '',
        },
        options,
        'read',
      );
      for (const job of page.jobs) yield fromJob(job);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
  }

  /** Cancels a job: at once when it waits; a running one's worker is told first. */
  cancel(jobId: string, options: CancelOptions = {}): Promise<Change> {
    const { reason = '', graceMs } = options;
    const request = { namespace: this.namespace, jobId, reason, grace: toDuration(graceMs) };
    return unary(this.#calls, JobServiceService.cancelJob, request, options, 'repeatable');
  }

  /** Queues a failed, cancelled or expired job again. Not repeated when its outcome is unknown. */
  retry(jobId: string, options: CallOptions = {}): Promise<Change> {
    const request = { namespace: this.namespace, jobId };
    return unary(this.#calls, JobServiceService.retryJob, request, options, 'once');
  }

  /** Deletes a job that has ended. */
  delete(jobId: string, options: CallOptions = {}): Promise<Change> {
    const request = { namespace: this.namespace, jobId };
    return unary(this.#calls, JobServiceService.deleteJob, request, options, 'repeatable');
  }

  /** Waits for submissions under way, ends what is followed, and closes the connections. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const run of [...this.#runs]) run.close();
    await Promise.all([this.#large.drained(), ...this.#lanes.map((lane) => lane.drained())]);
    for (const lane of this.#lanes) lane.close();
    this.#pool.close();
  }

  #spec(
    id: string,
    fn: string,
    payload: PayloadInput | PayloadStream | undefined,
    options: JobOptions,
  ): JobSpec {
    try {
      if (!isStream(payload)) return toSpec(id, fn, payload, options);
      return toSpec(id, fn, NOTHING, { ...options, contentType: options.contentType ?? STREAM_TYPE });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new GearmeshError('INVALID_ARGUMENT', 'INVALID_FIELD', message, { cause: error });
    }
  }

  async #submitStream(
    spec: JobSpec,
    ownId: boolean,
    stream: PayloadStream,
    options: CallOptions,
  ): Promise<SubmitResult> {
    const { timeoutMs = this.#timeoutMs, signal } = options;
    const drawn = await drawFrom(stream, this.#large.inlineBytesMax, { idleMs: timeoutMs, signal });
    if (drawn instanceof Uint8Array) return this.#submitEither({ ...spec, payload: drawn }, ownId, options);
    return this.#submitLarge(spec, ownId, drawn, options);
  }

  /** In a message, or as an upload, as the size and the cluster's limit have it. */
  #submitEither(spec: JobSpec, ownId: boolean, options: CallOptions): Promise<SubmitResult> {
    const { payload } = spec;
    const large = (): Promise<SubmitResult> => this.#submitLarge(spec, ownId, bytesSource(payload), options);
    if (payload.length > this.#large.inlineBytesMax) return large();
    const done = this.#submitSpec(spec, ownId, options.timeoutMs, options.signal);
    if (payload.length <= SURELY_INLINE_BYTES) return done;
    return done.catch((error: unknown) => {
      if (this.#large.learn(error)) return large();
      throw error;
    });
  }

  #submitLarge(spec: JobSpec, ownId: boolean, source: Source, options: CallOptions): Promise<SubmitResult> {
    if (this.#closed) {
      source.close();
      return Promise.reject(closedError('NOT_APPLIED'));
    }
    const { timeoutMs = this.#timeoutMs, signal } = options;
    return this.#large.submit(spec, ownId, source, { timeoutMs, signal });
  }

  #submitSpec(
    spec: JobSpec,
    ownId: boolean,
    timeoutMs: number | undefined,
    signal: AbortSignal | undefined,
  ): Promise<SubmitResult> {
    if (this.#closed) return Promise.reject(closedError('NOT_APPLIED'));
    if (signal?.aborted) return Promise.reject(new AbortedError(signal, 'NOT_APPLIED'));
    const until = performance.now() + (timeoutMs ?? this.#timeoutMs);
    return new Promise((resolve, reject) => {
      const job = new Single(spec, until, ownId, resolve, reject);
      const lane = this.#lane();
      lane.add(job);
      if (signal === undefined) return;
      const stop = (): void => lane.abandon(job, (outcome) => new AbortedError(signal, outcome));
      signal.addEventListener('abort', stop, { once: true });
      job.onSettled = () => signal.removeEventListener('abort', stop);
    });
  }

  /** All of one turn goes the same way, so that it stays one frame; the next turn takes the lane with least to do. */
  #lane(): Submitter {
    if (this.#lanes.length === 1) return this.#lanes[0]!;
    if (this.#turnLane !== null) return this.#turnLane;
    let best = this.#lanes[0]!;
    for (const lane of this.#lanes) if (lane.load < best.load) best = lane;
    this.#turnLane = best;
    setImmediate(() => {
      this.#turnLane = null;
    });
    return best;
  }

  #run(
    spec: JobSpec | null,
    stream: PayloadStream | null,
    jobId: string,
    ownId: boolean,
    read: ReadOptions,
  ): Run {
    if (this.#closed) throw closedError('NOT_APPLIED');
    const host: RunHost = {
      cursor: this.#calls.cursor,
      ids: this.#ids,
      namespace: this.namespace,
      large: this.#large,
      submit: (again, source, timeoutMs, signal) =>
        source === null
          ? this.#submitSpec({ ...again, id: this.#ids.next() }, true, timeoutMs, signal)
          : this.#submitLarge(again, true, source, { timeoutMs, signal }),
      cancel: (id, reason) => this.cancel(id, { reason }),
      ended: (run) => this.#runs.delete(run),
    };
    const timeoutMs = read.timeoutMs ?? this.#timeoutMs;
    const run = new Run(host, { spec, stream, jobId, ownId, read, timeoutMs });
    this.#runs.add(run);
    return run;
  }
}

function firstRefusal(results: readonly (SubmitResult | GearmeshError)[]): GearmeshError | null {
  let refused: GearmeshError | null = null;
  for (const result of results) {
    if (!(result instanceof GearmeshError)) continue;
    // In an all-or-nothing group the others are refused only because of this one.
    if (refused === null || (refused.code === 'ABORTED' && result.code !== 'ABORTED')) refused = result;
  }
  return refused;
}

function toView(options: GetOptions): JobView {
  return options.view === 'full' ? JobView.FULL : JobView.BASIC;
}

/** Checks and copies; throws TypeError for an empty list. */
export function endpointList(endpoints: string | readonly string[]): string[] {
  const list = (typeof endpoints === 'string' ? endpoints.split(',') : [...endpoints])
    .map((endpoint) => endpoint.trim())
    .filter((endpoint) => endpoint !== '');
  if (list.length === 0) throw new TypeError('endpoints: at least one host:port is needed');
  return list;
}

/** Throws RangeError unless it is a positive number. */
export function positive(name: string, value: number): number {
  if (!(value > 0 && Number.isFinite(value))) throw new RangeError(`${name}: ${value} is not positive`);
  return value;
}
