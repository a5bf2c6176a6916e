import { type Assignment, type JobOutcome, OutcomeKind } from '../../proto/gen/gearmesh/v1/worker.js';
import { toDuration } from '../client/convert.js';
import { GearmeshError } from '../client/errors.js';
import {
  type EncodedPayload,
  encodePayload,
  isStream,
  type PayloadInput,
  type PayloadStream,
  STREAM_TYPE,
} from '../client/payload.js';
import { bytesSource, drawFrom, PayloadStreamError } from '../client/source.js';
import { JobAbortedError, NonRetryableError, RetryAfter } from './errors.js';
import { Job, type JobContext } from './job.js';
import type { LargeResult, LargeTransfers } from './large.js';
import type { Outbox } from './outbox.js';

/** setTimeout counts in 31 bits. */
const TIMER_MS_MAX = 2 ** 31 - 1;
const TEXT_BYTES_MAX = 4_096;
const CODE_BYTES_MAX = 255;
const NOTHING = new Uint8Array(0);
const encoder = new TextEncoder();

/** What a running job needs from its worker. */
export interface RunningHost {
  readonly outbox: Outbox;
  /** Largest chunk, and largest result in a frame: bytes. */
  readonly payloadBytesMax: number;
  /** Largest result, bytes. */
  readonly blobBytesMax: number;
  /** Largest payload that is taken into memory, bytes. */
  readonly fetchBytesMax: number;
  readonly large: LargeTransfers;
  /** Something was put into the outbox. */
  produced(): void;
}

/** A job whose handler runs, whether or not its lease is still ours. */
export class Running implements JobContext {
  readonly job: Job;
  readonly leaseToken: number;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly deadline: Date | undefined;
  resultContentType: string | undefined;
  /** False once the lease is lost, or an outcome was given: nothing more may be said about the job. */
  live = true;
  /** Why the signal was aborted. */
  aborted: JobAbortedError | null = null;
  readonly #host: RunningHost;
  /** Made when somebody asks for its signal: most handlers never do, and one for each job is dear. */
  #abort: AbortController | null = null;
  /** Aborted when nothing more may be said about the job. */
  #gone: AbortController | null = null;
  readonly #timer: NodeJS.Timeout | null;
  #chunks = 0;

  /** @param serverNow the cluster's time, milliseconds since 1970-01-01 UTC */
  constructor(host: RunningHost, assignment: Assignment, deadlineMs: number | undefined, serverNow: number) {
    this.#host = host;
    this.job = new Job(assignment, {
      bytesMax: host.fetchBytesMax,
      open: () => host.large.payload(assignment, this.#goneSignal()),
    });
    this.leaseToken = assignment.leaseToken;
    this.attempt = assignment.attempt;
    this.maxAttempts = assignment.maxAttempts;
    const leftMs = deadlineMs === undefined ? Infinity : Math.max(0, deadlineMs - serverNow);
    this.deadline = leftMs === Infinity ? undefined : new Date(Date.now() + leftMs);
    this.#timer =
      leftMs > TIMER_MS_MAX
        ? null
        : setTimeout(() => this.abort('timeout', 'the run timeout of the job has passed'), leftMs);
  }

  get signal(): AbortSignal {
    this.#abort ??= aborted(this.aborted);
    return this.#abort.signal;
  }

  progress(numerator: number, denominator: number, message = ''): void {
    if (!isCount(numerator) || !isCount(denominator)) {
      throw new RangeError(`progress ${numerator}/${denominator}: whole numbers from 0 on are needed`);
    }
    if (!this.live) return;
    const { outbox } = this.#host;
    outbox.progress(this.leaseToken, numerator, denominator, cut(message, TEXT_BYTES_MAX));
    this.#host.produced();
  }

  data(chunk: Uint8Array | string): Promise<void> {
    const bytes = typeof chunk === 'string' ? encoder.encode(chunk) : chunk;
    const { outbox, payloadBytesMax } = this.#host;
    if (bytes.length > payloadBytesMax) {
      const message = `a chunk of ${bytes.length} bytes; the limit is ${payloadBytesMax}`;
      return Promise.reject(new GearmeshError('INVALID_ARGUMENT', 'PAYLOAD_TOO_LARGE', message));
    }
    if (!this.live) return Promise.resolve();
    outbox.data(this.leaseToken, this.#chunks++, bytes); // a lost chunk keeps its number: followers see the gap
    this.#host.produced();
    return outbox.room(this.signal);
  }

  abort(kind: JobAbortedError['kind'], message: string): void {
    if (kind === 'lease-lost') this.#forget();
    if (this.aborted !== null) return;
    this.aborted = new JobAbortedError(kind, message);
    this.#abort?.abort(this.aborted);
  }

  #forget(): void {
    this.live = false;
    this.#gone?.abort();
  }

  #goneSignal(): AbortSignal {
    this.#gone ??= new AbortController();
    if (!this.live) this.#gone.abort();
    return this.#gone.signal;
  }

  /** The handler is over, or its work does not count any more. */
  finish(): void {
    this.#forget();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /**
   * The outcome of a handler that returned; null when it was given already, as a large result is. Throws or rejects when
   * the result cannot be encoded, is larger than the cluster takes, or cannot be uploaded.
   */
  complete(result: PayloadInput | PayloadStream | undefined): JobOutcome | Promise<JobOutcome | null> {
    if (isStream(result)) return this.#draw(result).then((drawn) => this.#completed(drawn));
    return this.#completed(this.#encode(result));
  }

  #completed(result: EncodedPayload | LargeResult): JobOutcome | Promise<null> {
    if (!('source' in result)) {
      const { bytes, contentType } = result;
      return { ...this.#outcome(OutcomeKind.COMPLETE), result: bytes, resultContentType: contentType };
    }
    const leased = { jobId: this.job.id, leaseToken: this.leaseToken };
    const { large } = this.#host;
    return large.complete(leased, this.#chunks, result, this.#goneSignal()).then(() => null);
  }

  #encode(result: PayloadInput | undefined): EncodedPayload | LargeResult {
    const encoded = encodePayload(result, this.resultContentType);
    const { bytes, contentType } = encoded;
    const { payloadBytesMax, blobBytesMax } = this.#host;
    if (bytes.length <= payloadBytesMax) return encoded;
    if (bytes.length > blobBytesMax) {
      const message = `a result of ${bytes.length} bytes; the limit is ${blobBytesMax}`;
      throw new NonRetryableError(message, { code: 'PAYLOAD_TOO_LARGE' });
    }
    return { source: bytesSource(bytes), contentType };
  }

  async #draw(stream: PayloadStream): Promise<EncodedPayload | LargeResult> {
    const contentType = this.resultContentType ?? STREAM_TYPE;
    const drawn = await drawFrom(stream, this.#host.payloadBytesMax, { signal: this.#goneSignal() });
    return drawn instanceof Uint8Array ? { bytes: drawn, contentType } : { source: drawn, contentType };
  }

  fail(given: unknown): JobOutcome {
    // What a stream threw is the handler's own word.
    const thrown = given instanceof PayloadStreamError ? given.cause : given;
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    const { code, details } = error as { code?: unknown; details?: unknown };
    let word = typeof code === 'string' && code !== '' ? code : error.name;
    const tooLarge = error instanceof GearmeshError && error.reason === 'PAYLOAD_TOO_LARGE';
    if (tooLarge) word = error.reason;
    let retryable = !(error instanceof NonRetryableError || tooLarge);
    if (this.aborted?.kind === 'cancelled') {
      word = 'CANCELLED';
      retryable = false;
    } else if (this.aborted?.kind === 'timeout') {
      word = 'TIMEOUT';
    }
    return {
      ...this.#outcome(OutcomeKind.FAIL),
      error: {
        code: cut(word.replace(/\p{Cc}/gu, ' ') || 'ERROR', CODE_BYTES_MAX),
        message: cut(error.message, TEXT_BYTES_MAX),
        details: details instanceof Uint8Array && this.#fits(details) ? details : NOTHING,
      },
      retryable,
      retryAfter: error instanceof RetryAfter ? toDuration(error.delayMs) : undefined,
    };
  }

  /** Message and details share the limit. */
  #fits(details: Uint8Array): boolean {
    return details.length + TEXT_BYTES_MAX <= this.#host.payloadBytesMax;
  }

  release(reason: string): JobOutcome {
    return { ...this.#outcome(OutcomeKind.RELEASE), reason, dataCount: 0 };
  }

  #outcome(kind: OutcomeKind): JobOutcome {
    return bareOutcome(this.leaseToken, this.job.id, kind, this.#chunks);
  }
}

/** A controller that was aborted already, where there is a reason. */
function aborted(reason: Error | null): AbortController {
  const controller = new AbortController();
  if (reason !== null) controller.abort(reason);
  return controller;
}

export function bareOutcome(
  leaseToken: number,
  jobId: string,
  kind: OutcomeKind,
  dataCount: number,
): JobOutcome {
  return {
    leaseToken,
    jobId,
    kind,
    result: NOTHING,
    resultContentType: '',
    error: undefined,
    retryable: false,
    retryAfter: undefined,
    reason: '',
    dataCount,
    resultBlob: undefined,
  };
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** The text, or as much of its beginning as fits. */
function cut(text: string, bytesMax: number): string {
  if (text.length * 3 <= bytesMax) return text;
  const bytes = new Uint8Array(bytesMax);
  const { read } = encoder.encodeInto(text, bytes);
  return text.slice(0, read);
}
