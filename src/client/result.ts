import type { JobEvent } from '../../proto/gen/gearmesh/v1/job.js';
import { decodeJson, decodePayload, decodeText } from './payload.js';

/** How a result that is too large for messages is got. */
export interface ResultHost {
  /** Rejects with PAYLOAD_TOO_LARGE when it is larger than the client takes into memory. */
  fetch(jobId: string, part: 'result', size: number): Promise<Uint8Array>;
  stream(jobId: string, part: 'result'): AsyncGenerator<Uint8Array, void, undefined>;
}

/**
 * What a job gave. A small result is here already; a large one is fetched when it is asked for, so ask before the job's
 * retention is over.
 */
export class JobResult {
  readonly jobId: string;
  /** Bytes. */
  readonly size: number;
  readonly contentType: string;
  /** Number of the attempt that succeeded. */
  readonly attempt: number;
  /** How many data chunks that attempt sent. */
  readonly dataCount: number;
  readonly #host: ResultHost;
  readonly #inline: Uint8Array | null;
  #fetched: Promise<Uint8Array> | null = null;

  /** Made by a run. */
  constructor(event: JobEvent, host: ResultHost) {
    this.jobId = event.jobId;
    this.contentType = event.resultContentType;
    this.attempt = event.attempt;
    this.dataCount = event.dataCount;
    this.size = event.resultBlob?.size ?? event.result.length;
    this.#inline = event.resultBlob === undefined ? event.result : null;
    this.#host = host;
  }

  /**
   * All of it. Rejects with PAYLOAD_TOO_LARGE when it is larger than the client's `payloadBytesMax`: there is `stream()`
   * then. A fetch that failed is tried again by the next call.
   */
  bytes(): Promise<Uint8Array> {
    if (this.#inline !== null) return Promise.resolve(this.#inline);
    this.#fetched ??= this.#host.fetch(this.jobId, 'result', this.size).catch((error: unknown) => {
      this.#fetched = null;
      throw error;
    });
    return this.#fetched;
  }

  /** As UTF-8. */
  async text(): Promise<string> {
    return decodeText(await this.bytes());
  }

  /** Parsed. Rejects with SyntaxError. */
  async json<T = unknown>(): Promise<T> {
    return decodeJson<T>(await this.bytes());
  }

  /** By its content type: a string, a JSON value, or the bytes. */
  async value(): Promise<unknown> {
    return decodePayload(await this.bytes(), this.contentType);
  }

  /** Its bytes as they come, whatever its size; goes on at another node should one be lost. */
  async *stream(): AsyncGenerator<Uint8Array, void, undefined> {
    if (this.#inline !== null) yield this.#inline;
    else yield* this.#host.stream(this.jobId, 'result');
  }
}
