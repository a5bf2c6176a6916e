import type { ClientDuplexStream } from '@grpc/grpc-js';
import {
  JobServiceService,
  type SubmitFrame,
  type SubmitFrameResult,
} from '../../proto/gen/gearmesh/v1/job.js';
import { duplex } from './calls.js';
import { timestampMs } from './convert.js';
import type { Cursor, Opened } from './endpoints.js';
import { closedError, GearmeshError, timedOut } from './errors.js';
import type { Batch, Pending } from './pending.js';
import { type CallStatus, errorOfCall, errorOfStatus, worthRepeating } from './status.js';
import type { IdSource } from './ulid.js';

/** A frame holds at most this many jobs, and about this many bytes unless one job alone is larger. */
const FRAME_JOBS_MAX = 1_000;
const FRAME_BYTES_MAX = 512 << 10;
/** Frames that may wait for their answer: more would only wait in the node. */
const FRAMES_IN_FLIGHT_MAX = 32;
/** An endpoint that answers pings but no frame for this long is left for another. */
const ANSWER_MS_MAX = 10_000;

interface Frame {
  readonly batch: Batch;
  readonly sentAt: number;
}

type Stream = ClientDuplexStream<SubmitFrame, SubmitFrameResult>;

/**
 * One lane of submissions: a long-lived SubmitStream to one endpoint.
 *
 * What is added in one turn of the event loop goes out in one frame (or a few, when it is much) at the turn's end;
 * frames are pipelined. When the stream breaks, all that has no answer is sent again in its order, with the same job
 * ids, to the next endpoint: an id that was accepted answers as it did.
 *
 *   idle --add--> scheduled --turn ends--> opening --connected--> open --broken--> opening …
 */
export class Submitter {
  readonly #cursor: Cursor;
  readonly #ids: IdSource;
  readonly #namespace: string;
  /** Not sent, or to be sent again; atomic batches stand by themselves. */
  #queue: Batch[] = [];
  readonly #inFlight = new Map<number, Frame>();
  #inFlightJobs = 0;
  #queuedJobs = 0;
  #stream: Stream | null = null;
  #endpoint = 0;
  #opening = false;
  #blocked = false;
  #scheduled = false;
  #closed = false;
  #nextFrameId = 1;
  #timer: NodeJS.Timeout | null = null;
  #timerAt = Infinity;
  #idle: (() => void)[] = [];

  constructor(cursor: Cursor, ids: IdSource, namespace: string) {
    this.#cursor = cursor;
    this.#ids = ids;
    this.#namespace = namespace;
  }

  /** Jobs that were added and are not answered. */
  get load(): number {
    return this.#queuedJobs + this.#inFlightJobs;
  }

  add(job: Pending): void {
    const last = this.#queue[this.#queue.length - 1];
    if (last !== undefined && !last.atomic) last.jobs.push(job);
    else this.#queue.push({ jobs: [job], atomic: false });
    this.#added(1, job.until);
  }

  /** All in one frame, all or nothing. */
  addAtomic(jobs: Pending[]): void {
    this.#queue.push({ jobs, atomic: true });
    this.#added(jobs.length, jobs[0]!.until);
  }

  /** Nobody waits for this job any longer: rejects it with what is known of its outcome. */
  abandon(job: Pending, error: (outcome: 'NOT_APPLIED' | 'UNKNOWN') => GearmeshError): void {
    if (job.settled) return;
    let inFlight = false;
    for (const frame of this.#inFlight.values()) inFlight ||= frame.batch.jobs.includes(job);
    job.fail(error(job.outcome(inFlight)));
  }

  /** Resolves once nothing is queued or in flight. */
  drained(): Promise<void> {
    if (this.load === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Rejects what is left. */
  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const stream = this.#stream;
    this.#stream = null;
    stream?.end();
    for (const frame of this.#inFlight.values()) {
      for (const job of frame.batch.jobs) job.fail(closedError('UNKNOWN'));
    }
    for (const batch of this.#queue) {
      for (const job of batch.jobs) job.fail(closedError(job.outcome(false)));
    }
    this.#inFlight.clear();
    this.#queue = [];
    this.#inFlightJobs = this.#queuedJobs = 0;
    this.#tellIdle();
  }

  #added(count: number, until: number): void {
    this.#queuedJobs += count;
    if (until < this.#timerAt) this.#watch(until);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(this.#flush);
  }

  readonly #flush = (): void => {
    this.#scheduled = false;
    if (this.#closed || this.#queue.length === 0) return;
    if (this.#stream === null) {
      void this.#open();
      return;
    }
    if (this.#cursor.isAstray) {
      // Jobs keep their order: what is under way is answered first.
      if (this.#inFlight.size === 0) this.#move();
      return;
    }
    while (this.#stream !== null && !this.#blocked && this.#inFlight.size < FRAMES_IN_FLIGHT_MAX) {
      const batch = this.#cut();
      if (batch === null) break;
      this.#send(this.#stream, batch);
    }
    if (this.load === 0) this.#tellIdle();
  };

  #move(): void {
    this.#stream?.end();
    this.#stream = null;
    void this.#open();
  }

  /** Takes the next frame's jobs from the queue, without those that were settled meanwhile. */
  #cut(): Batch | null {
    const jobs: Pending[] = [];
    let bytes = 0;
    while (this.#queue.length > 0) {
      const head = this.#queue[0]!;
      if (head.atomic) {
        if (jobs.length > 0) break;
        this.#queue.shift();
        this.#queuedJobs -= head.jobs.length;
        if (head.jobs.every((job) => job.settled)) continue;
        return head;
      }
      let taken = 0;
      let full = false;
      for (const job of head.jobs) {
        if (!job.settled) {
          full = jobs.length > 0 && (jobs.length >= FRAME_JOBS_MAX || bytes + job.bytes > FRAME_BYTES_MAX);
          if (full) break;
          jobs.push(job);
          bytes += job.bytes;
        }
        taken++;
      }
      this.#queuedJobs -= taken;
      if (!full) this.#queue.shift();
      else if (taken > 0) this.#queue[0] = { jobs: head.jobs.slice(taken), atomic: false };
      if (full) break;
    }
    return jobs.length === 0 ? null : { jobs, atomic: false };
  }

  #send(stream: Stream, batch: Batch): void {
    const { jobs } = batch;
    const frameId = this.#nextFrameId++;
    const specs = new Array<SubmitFrame['jobs'][number]>(jobs.length);
    for (let i = 0; i < jobs.length; i++) {
      const job = jobs[i]!;
      job.sends++;
      specs[i] = job.spec;
    }
    const sentAt = performance.now();
    this.#inFlight.set(frameId, { batch, sentAt });
    this.#inFlightJobs += jobs.length;
    if (sentAt + ANSWER_MS_MAX < this.#timerAt) this.#watch(sentAt + ANSWER_MS_MAX);
    this.#blocked = !stream.write({
      frameId,
      namespace: this.#namespace,
      jobs: specs,
      allOrNothing: batch.atomic,
    });
  }

  async #open(): Promise<void> {
    if (this.#opening) return;
    this.#opening = true;
    let opened: Opened | null = null;
    while (opened === null && !this.#closed && this.#queuedJobs > 0) {
      try {
        // Whoever waits longest decides for how long to try; the others fail in #sweep.
        opened = await this.#cursor.open(this.#lastUntil(), 0);
      } catch (thrown) {
        const error = thrown as GearmeshError;
        if (!worthRepeating(error) && error.reason !== 'TIMED_OUT') this.#failQueued(error);
        else this.#sweep();
      }
    }
    this.#opening = false;
    if (this.#closed || opened === null) return;
    this.#attach(opened);
    this.#flush();
  }

  #lastUntil(): number {
    let until = 0;
    for (const batch of this.#queue) {
      for (const job of batch.jobs) if (!job.settled && job.until > until) until = job.until;
    }
    return until;
  }

  #attach({ client, endpoint }: Opened): void {
    const stream = duplex(client, JobServiceService.submitStream);
    this.#stream = stream;
    this.#endpoint = endpoint;
    this.#blocked = false;
    stream.on('data', (result: SubmitFrameResult) => {
      if (this.#stream === stream) this.#answered(result);
    });
    stream.on('drain', () => {
      if (this.#stream !== stream) return;
      this.#blocked = false;
      this.#flush();
    });
    stream.on('error', () => {}); // 'status' says the same and comes always
    stream.on('status', (status: CallStatus) => {
      if (this.#stream !== stream) return;
      if (status.code === 0) this.#broken(null);
      else this.#broken(errorOfCall(status));
    });
  }

  #answered(result: SubmitFrameResult): void {
    if (result.serverTime !== undefined) this.#ids.observe(timestampMs(result.serverTime));
    const frame = this.#inFlight.get(result.frameId);
    if (frame === undefined) return;
    const error = result.error === undefined ? null : errorOfStatus(result.error);
    this.#inFlight.delete(result.frameId);
    const { jobs, atomic } = frame.batch;
    this.#inFlightJobs -= jobs.length;
    if (error !== null && worthRepeating(error)) {
      if (error.outcome === 'UNKNOWN') doubt(frame.batch);
      this.#broken(error, frame.batch);
      return;
    }
    if (error !== null) {
      this.#cursor.succeeded(this.#endpoint);
      for (const job of jobs) job.fail(error);
    } else {
      this.#settle(jobs, atomic, result);
    }
    if (this.#queue.length > 0) this.#schedule();
    else if (this.#inFlightJobs === 0) this.#tellIdle();
  }

  #settle(jobs: Pending[], atomic: boolean, result: SubmitFrameResult): void {
    let again: Pending[] | null = null;
    let why: GearmeshError | null = null;
    for (let i = 0; i < jobs.length; i++) {
      const job = jobs[i]!;
      const answer = result.results[i];
      if (answer?.error === undefined && answer !== undefined) {
        job.succeed(answer);
        continue;
      }
      const error =
        answer?.error === undefined
          ? new GearmeshError('INTERNAL', 'INTERNAL', 'the answer names fewer jobs than the frame', {
              outcome: 'UNKNOWN',
            })
          : errorOfStatus(answer.error);
      if (worthRepeating(error)) {
        job.inDoubt ||= error.outcome === 'UNKNOWN';
        why = error;
        again ??= [];
        again.push(job);
      } else if (this.#correctId(job, error, atomic)) {
        again ??= [];
        again.push(job);
      } else {
        job.fail(error);
      }
    }
    const back = again === null ? null : { jobs: atomic ? jobs : again, atomic };
    if (why !== null) {
      this.#broken(why, back);
      return;
    }
    this.#cursor.succeeded(this.#endpoint);
    if (back === null) return;
    this.#queue.unshift(back);
    this.#queuedJobs += back.jobs.length;
  }

  /**
   * A clock that is wrong makes ids that are refused. The answer brought the right time: an id that the SDK chose and
   * that was sent only once was certainly not accepted, so another one may take its place.
   */
  #correctId(job: Pending, error: GearmeshError, atomic: boolean): boolean {
    if (error.reason !== 'ID_TOO_OLD' && error.reason !== 'ID_IN_FUTURE') return false;
    if (atomic || !job.ownId || job.sends !== 1) return false;
    job.spec = { ...job.spec, id: this.#ids.next() };
    return true;
  }

  /**
   * Leaves the stream; what has no answer goes to the head of the queue and out through the next endpoint, and before
   * it `first`: what was answered, but is to be said again.
   */
  #broken(error: GearmeshError | null, first: Batch | null = null): void {
    const stream = this.#stream;
    this.#stream = null;
    stream?.cancel();
    this.#cursor.failed(this.#endpoint);
    const final = error !== null && !worthRepeating(error);
    // A message over the server's limit ends the stream: only the job that made it so large is to blame.
    const tooLarge = final && error.code === 'RESOURCE_EXHAUSTED' && this.#oversized();
    const back: Batch[] = first === null ? [] : [first];
    this.#queuedJobs += first?.jobs.length ?? 0;
    for (const { batch } of this.#inFlight.values()) {
      if (final && (!tooLarge || sizeOf(batch) > FRAME_BYTES_MAX)) {
        for (const job of batch.jobs) job.fail(error);
        continue;
      }
      // The stream's end says nothing certain of a frame that was under way.
      doubt(batch);
      back.push(batch);
      this.#queuedJobs += batch.jobs.length;
    }
    this.#inFlight.clear();
    this.#inFlightJobs = 0;
    this.#queue = back.concat(this.#queue);
    if (this.#queue.length > 0) void this.#open();
    else this.#tellIdle();
  }

  #oversized(): boolean {
    for (const { batch } of this.#inFlight.values()) if (sizeOf(batch) > FRAME_BYTES_MAX) return true;
    return false;
  }

  #failQueued(error: GearmeshError): void {
    for (const batch of this.#queue) for (const job of batch.jobs) job.fail(error);
    this.#queue = [];
    this.#queuedJobs = 0;
    this.#tellIdle();
  }

  #watch(at: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.#timerAt = Infinity;
        this.#sweep();
      },
      Math.max(1, at - performance.now()),
    );
  }

  /** Rejects what has waited too long, leaves an endpoint that does not answer, and sets the timer anew. */
  #sweep(): void {
    const cause = this.#cursor.lastError;
    const now = performance.now();
    let next = Infinity;
    let stalled = false;
    for (const { batch, sentAt } of this.#inFlight.values()) {
      stalled ||= now >= sentAt + ANSWER_MS_MAX;
      next = Math.min(next, sentAt + ANSWER_MS_MAX, expire(batch, now, true, cause));
    }
    for (const batch of this.#queue) next = Math.min(next, expire(batch, now, false, cause));
    if (next < Infinity) this.#watch(Math.max(next, now + 1));
    if (this.#queue.every((batch) => batch.jobs.every((job) => job.settled))) {
      this.#queue = [];
      this.#queuedJobs = 0;
    }
    if (stalled) this.#broken(null);
    else if (this.load === 0) this.#tellIdle();
  }

  #tellIdle(): void {
    const waiting = this.#idle;
    if (waiting.length === 0) return;
    this.#idle = [];
    for (const resolve of waiting) resolve();
  }
}

function sizeOf(batch: Batch): number {
  let bytes = 0;
  for (const job of batch.jobs) bytes += job.bytes;
  return bytes;
}

function doubt(batch: Batch): void {
  for (const job of batch.jobs) job.inDoubt = true;
}

/** Rejects the jobs whose time is over; gives when the next one's is. */
function expire(batch: Batch, now: number, inFlight: boolean, cause?: GearmeshError): number {
  let next = Infinity;
  for (const job of batch.jobs) {
    if (job.settled) continue;
    if (job.until <= now) job.fail(timedOut('the submission', job.outcome(inFlight), cause));
    else if (job.until < next) next = job.until;
  }
  return next;
}
