import type { ClientReadableStream } from '@grpc/grpc-js';
import { JobState as WireState } from '../../proto/gen/gearmesh/v1/common.js';
import {
  type JobEvent,
  JobEventKind,
  JobServiceService,
  type JobSpec,
} from '../../proto/gen/gearmesh/v1/job.js';
import { serverStream } from './calls.js';
import { timestampMs, toConsistency } from './convert.js';
import type { Cursor, Opened } from './endpoints.js';
import {
  AbortedError,
  closedError,
  GearmeshError,
  JobCancelledError,
  type JobEnd,
  type JobEndedError,
  JobExpiredError,
  JobFailedError,
  timedOut,
} from './errors.js';
import type { LargePayloads } from './large.js';
import type { PayloadStream } from './payload.js';
import { JobResult } from './result.js';
import { EventBuffer, type RunEvent } from './run-events.js';
import { EventReader } from './run-reader.js';
import { bytesSource, drawFrom, type Source } from './source.js';
import { type CallStatus, errorOfCall, worthRepeating } from './status.js';
import type { Change, ReadOptions, SubmitResult } from './types.js';
import type { IdSource } from './ulid.js';
import { uploadError, worthAnotherUpload } from './upload.js';

/** What a run needs from its client. */
export interface RunHost {
  readonly cursor: Cursor;
  readonly ids: IdSource;
  readonly namespace: string;
  readonly large: LargePayloads;
  /** `source`: of a payload that is uploaded. */
  submit(spec: JobSpec, source: Source | null, timeoutMs: number, signal: AbortSignal): Promise<SubmitResult>;
  cancel(jobId: string, reason: string): Promise<Change>;
  /** Forgets the run: it is over. */
  ended(run: Run): void;
}

export interface RunStart {
  /** Null: follow a job that exists. */
  readonly spec: JobSpec | null;
  /** The payload, where it is a stream. */
  readonly stream: PayloadStream | null;
  readonly jobId: string;
  readonly ownId: boolean;
  readonly read: ReadOptions;
  /** How long to go without an answer from any node before giving up. */
  readonly timeoutMs: number;
}

/**
 * A job that is followed: iterate over it for what happens, await `result` for what it gives.
 *
 * Should the connection or the node die, following goes on through another endpoint. The iterator then shows nothing
 * twice; data that was lost on the way shows as a `gap`. It ends after `ended`, whatever the end was; it throws only
 * when the job cannot be followed any longer.
 *
 * While nobody iterates, the newest 256 events are kept. A slow reader slows the stream, and with it `result`.
 */
export class Run implements AsyncIterable<RunEvent> {
  /** Rejects with JobFailedError, JobCancelledError, JobExpiredError, or whatever ended the following. */
  readonly result: Promise<JobResult>;
  readonly #host: RunHost;
  readonly #start: RunStart;
  readonly #buffer: EventBuffer;
  readonly #reader = new EventReader();
  readonly #stop = new AbortController();
  #resolve!: (result: JobResult) => void;
  #reject!: (error: GearmeshError) => void;
  #jobId: string;
  #accepted: boolean;
  #inDoubt = false;
  #sends = 0;
  #spec: JobSpec | null;
  /** Of a payload that is uploaded before each try to submit. */
  #source: Source | null = null;
  #stream: ClientReadableStream<JobEvent> | null = null;
  #settled = false;

  /** Made by `client.run` and `client.watch`. */
  constructor(host: RunHost, start: RunStart) {
    this.#host = host;
    this.#start = start;
    this.#spec = start.spec;
    this.#jobId = start.jobId;
    this.#accepted = start.spec === null;
    this.#buffer = new EventBuffer(
      () => this.#stream?.pause(),
      () => this.#stream?.resume(),
    );
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.result.catch(() => {}); // who only iterates need not look at it
    const { signal } = start.read;
    if (signal !== undefined) {
      const onAbort = (): void => this.#fail(new AbortedError(signal, this.#outcome()));
      if (signal.aborted) queueMicrotask(onAbort);
      else {
        signal.addEventListener('abort', onAbort, { once: true });
        this.#stop.signal.addEventListener('abort', () => signal.removeEventListener('abort', onAbort));
      }
    }
    void this.#follow();
  }

  /** The job's id; another one than asked for once a submission was coalesced. */
  get jobId(): string {
    return this.#jobId;
  }

  /** Asks to cancel the job. Its end still comes as an event. */
  cancel(reason = ''): Promise<Change> {
    return this.#host.cancel(this.#jobId, reason);
  }

  /** Stops following; the job goes on. `result` rejects with CLOSED. */
  close(): void {
    this.#fail(closedError(this.#outcome()));
  }

  [Symbol.asyncIterator](): AsyncIterator<RunEvent> {
    return this.#buffer.iterate();
  }

  #outcome(): 'NOT_APPLIED' | 'UNKNOWN' {
    return this.#sends > 0 ? 'UNKNOWN' : 'NOT_APPLIED';
  }

  async #follow(): Promise<void> {
    const { timeoutMs } = this.#start;
    await this.#draw();
    let until = performance.now() + timeoutMs;
    let tries = 0;
    while (!this.#settled) {
      let opened: Opened | null = null;
      try {
        opened = await this.#host.cursor.open(until, tries, this.#stop.signal);
        if (this.#settled) return;
        const { error, heard } = await this.#attempt(opened, until, (moved) => {
          until = moved;
        });
        if (this.#settled) return;
        if (heard) {
          until = performance.now() + timeoutMs;
          tries = 0;
        }
        const sent = !this.#accepted && this.#sends > 0;
        if (sent && error.outcome === 'UNKNOWN') this.#inDoubt = true;
        if (this.#wrongClock(error)) await this.#submitFirst(timeoutMs);
        else if (this.#tooLargeInline(error)) continue;
        else if (!this.#worthRepeating(error) || performance.now() >= until) this.#fail(this.#told(error));
        else {
          tries++;
          this.#host.cursor.failed(opened.endpoint);
        }
      } catch (error) {
        this.#fail(error as GearmeshError);
      }
    }
  }

  /** A stream that ends early is no upload. */
  async #draw(): Promise<void> {
    const { stream } = this.#start;
    if (stream === null) {
      const { payload } = this.#spec ?? {};
      if (payload !== undefined && payload.length > this.#host.large.inlineBytesMax) this.#uploading(payload);
      return;
    }
    try {
      const patience = { idleMs: this.#start.timeoutMs, signal: this.#stop.signal };
      const drawn = await drawFrom(stream, this.#host.large.inlineBytesMax, patience);
      if (drawn instanceof Uint8Array) this.#spec = { ...this.#spec!, payload: drawn };
      else this.#source = drawn;
      // It ended while the last bytes came.
      if (this.#settled) this.#source?.close();
    } catch (error) {
      this.#fail(error as GearmeshError);
    }
  }

  #uploading(payload: Uint8Array): void {
    this.#source = bytesSource(payload);
    this.#spec = { ...this.#spec!, payload: NOTHING };
  }

  /** Uploads the payload if that is to be done, then submits or watches. `moved` is told a new end of patience. */
  async #attempt(
    opened: Opened,
    until: number,
    moved: (until: number) => void,
  ): Promise<{ error: GearmeshError; heard: boolean }> {
    const source = this.#source;
    if (this.#accepted || source === null) return this.#listen(opened, until);
    const { timeoutMs } = this.#start;
    const patience = { timeoutMs, signal: this.#stop.signal };
    try {
      const later = (): void => moved(performance.now() + timeoutMs);
      const payloadBlob = await this.#host.large.upload(opened, source, patience, later);
      this.#spec = { ...this.#spec!, payloadBlob };
      later();
    } catch (error) {
      return { error: (error as GearmeshError).certain(), heard: false };
    }
    return this.#listen(opened, performance.now() + timeoutMs);
  }

  #worthRepeating(error: GearmeshError): boolean {
    if (this.#accepted || this.#source === null) return worthRepeating(error);
    return worthAnotherUpload(error, this.#source);
  }

  #told(error: GearmeshError): GearmeshError {
    if (this.#accepted || this.#source === null) return error;
    return uploadError(this.#inDoubt ? error.inDoubt() : error, this.#source);
  }

  /** The cluster takes less in a message than was thought: from now on it is uploaded. */
  #tooLargeInline(error: GearmeshError): boolean {
    if (this.#accepted || this.#source !== null || !this.#host.large.learn(error)) return false;
    this.#uploading(this.#spec!.payload);
    return true;
  }

  /** One stream, until it ends. `heard`: it brought at least one event. */
  #listen(opened: Opened, until: number): Promise<{ error: GearmeshError; heard: boolean }> {
    const { namespace, cursor } = this.#host;
    const { read } = this.#start;
    const spec = this.#accepted ? null : this.#spec;
    let stream: ClientReadableStream<JobEvent>;
    if (spec === null) {
      const minRevision = read.minRevision ?? '';
      const request = { namespace, jobId: this.#jobId, consistency: toConsistency(read), minRevision };
      stream = serverStream(opened.client, JobServiceService.watchJob, request);
    } else {
      this.#sends++;
      stream = serverStream(opened.client, JobServiceService.runJob, { namespace, job: spec });
    }
    this.#stream = stream;
    return new Promise((resolve) => {
      let heard = false;
      const timer = setTimeout(
        () => {
          end(timedOut('the first event', 'UNKNOWN'));
          stream.cancel();
        },
        Math.max(1, until - performance.now()),
      );
      const end = (error: GearmeshError): void => {
        clearTimeout(timer);
        this.#stop.signal.removeEventListener('abort', onStop);
        if (this.#stream === stream) this.#stream = null;
        resolve({ error, heard });
      };
      const onStop = (): void => {
        end(closedError('UNKNOWN'));
        stream.cancel();
      };
      this.#stop.signal.addEventListener('abort', onStop, { once: true });
      stream.on('data', (event: JobEvent) => {
        if (this.#stream !== stream) return;
        if (!heard) {
          heard = true;
          clearTimeout(timer);
          cursor.succeeded(opened.endpoint);
        }
        this.#take(event);
      });
      stream.on('error', () => {}); // 'status' says the same and comes always
      stream.on('status', (status: CallStatus) => {
        if (this.#stream !== stream) return;
        if (status.code !== 0) return end(errorOfCall(status));
        end(
          new GearmeshError('UNAVAILABLE', 'CONNECTION_LOST', 'the stream ended before the job', {
            outcome: 'UNKNOWN',
          }),
        );
      });
    });
  }

  #take(event: JobEvent): void {
    if (event.kind === JobEventKind.ACCEPTED) {
      this.#accepted = true;
      this.#jobId = event.jobId;
      if (event.serverTime !== undefined) this.#host.ids.observe(timestampMs(event.serverTime));
    }
    this.#reader.read(event, (shown) => this.#buffer.push(shown));
    if (event.kind === JobEventKind.ENDED) this.#ended(event);
  }

  #ended(event: JobEvent): void {
    if (event.state === WireState.SUCCEEDED)
      this.#settle(() => this.#resolve(new JobResult(event, this.#host.large)));
    else {
      const error = endError(event);
      this.#settle(() => this.#reject(error));
    }
    this.#buffer.end(null);
  }

  #fail(error: GearmeshError): void {
    if (this.#settled) return;
    const said = this.#inDoubt ? error.inDoubt() : error;
    this.#settle(() => this.#reject(said));
    this.#buffer.end(said);
  }

  #settle(how: () => void): void {
    if (this.#settled) return;
    this.#settled = true;
    how();
    this.#stop.abort();
    this.#source?.close();
    this.#host.ended(this);
  }

  /** The first answer says that the id's time is wrong, and the id was the SDK's own. */
  #wrongClock(error: GearmeshError): boolean {
    return (
      (error.reason === 'ID_TOO_OLD' || error.reason === 'ID_IN_FUTURE') &&
      this.#start.ownId &&
      this.#sends === 1
    );
  }

  /** Submits by the stream of submissions, whose answers tell the time and which corrects ids; then follows. */
  async #submitFirst(timeoutMs: number): Promise<void> {
    const result = await this.#host.submit(this.#spec!, this.#source, timeoutMs, this.#stop.signal);
    this.#jobId = result.jobId;
    this.#accepted = true;
  }
}

const NOTHING = new Uint8Array(0);

function endError(event: JobEvent): JobEndedError {
  const end: JobEnd = {
    jobId: event.jobId,
    attempt: event.attempt,
    errorCode: event.error?.code ?? '',
    errorMessage: event.error?.message ?? '',
    details: event.error?.details ?? new Uint8Array(0),
  };
  if (event.state === WireState.CANCELLED) return new JobCancelledError(end);
  if (event.state === WireState.EXPIRED) return new JobExpiredError(end);
  return new JobFailedError(end);
}
