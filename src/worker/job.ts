import type { Assignment } from '../../proto/gen/gearmesh/v1/worker.js';
import { fromPriority, fromTimestamp } from '../client/convert.js';
import { collect } from '../client/download.js';
import { tooLargeForMemory } from '../client/large.js';
import { decodeJson, decodePayload, decodeText } from '../client/payload.js';
import type { Priority } from '../client/types.js';

/** How a payload that is too large for frames is got. */
export interface PayloadHost {
  /** Larger ones are not taken into memory. */
  readonly bytesMax: number;
  open(): AsyncGenerator<Uint8Array, void, undefined>;
}

/** A job as it came. */
export class Job {
  readonly id: string;
  readonly namespace: string;
  readonly function: string;
  /** Bytes. */
  readonly payloadSize: number;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly priority: Priority;
  readonly uniqueKey: string;
  readonly traceparent: string;
  readonly createdAt: Date | undefined;
  readonly #host: PayloadHost;
  #payload: Uint8Array | null;

  /** Made by the worker. */
  constructor(assignment: Assignment, host: PayloadHost) {
    const { payload, payloadBlob } = assignment;
    this.#host = host;
    this.#payload = payloadBlob === undefined ? payload : null;
    this.payloadSize = payloadBlob?.size ?? payload.length;
    this.id = assignment.jobId;
    this.namespace = assignment.namespace;
    this.function = assignment.function;
    this.contentType = assignment.contentType;
    this.metadata = assignment.metadata;
    this.priority = fromPriority(assignment.priority);
    this.uniqueKey = assignment.uniqueKey;
    this.traceparent = assignment.traceparent;
    this.createdAt = fromTimestamp(assignment.createdAt);
  }

  /**
   * What the job is called with. Throws PAYLOAD_TOO_LARGE when it is larger than the worker's `payloadBytesMax`: there is
   * `stream()` then.
   */
  get payload(): Uint8Array {
    if (this.#payload === null) throw tooLargeForMemory('payload', this.payloadSize, this.#host.bytesMax);
    return this.#payload;
  }

  /** The payload as it comes, whatever its size; goes on at another node should one be lost. */
  async *stream(): AsyncGenerator<Uint8Array, void, undefined> {
    if (this.#payload === null) yield* this.#host.open();
    else if (this.#payload.length > 0) yield this.#payload;
  }

  /** The payload is not here, and may be taken into memory. */
  get isAway(): boolean {
    return this.#payload === null && this.payloadSize <= this.#host.bytesMax;
  }

  /** Takes the payload into memory. Called by the worker. */
  async fetch(): Promise<void> {
    this.#payload = await collect(this.#host.open());
  }

  /** The payload as UTF-8. */
  text(): string {
    return decodeText(this.payload);
  }

  /** The payload parsed. Throws SyntaxError. */
  json<T = unknown>(): T {
    return decodeJson<T>(this.payload);
  }

  /** The payload by its content type: a string, a JSON value, or the bytes. */
  value(): unknown {
    return decodePayload(this.payload, this.contentType);
  }
}

/** What a handler may do beside returning. */
export interface JobContext {
  /** Aborted when the job is cancelled, its time is over, its lease is lost, or the worker stops: see JobAbortedError. */
  readonly signal: AbortSignal;
  /** Grows with every lease of the whole cluster: hand it to other systems so that they refuse an older one. */
  readonly leaseToken: number;
  /** From 1. */
  readonly attempt: number;
  /** After so many attempts there is no other. */
  readonly maxAttempts: number;
  /** When the run timeout ends, by this machine's clock; undefined: never. */
  readonly deadline: Date | undefined;
  /** Replaces the media type that follows from the result's type. */
  resultContentType: string | undefined;
  /** Says how far the job is: whole numbers, `denominator` 0 when nobody knows. Only the last of a turn is sent. */
  progress(numerator: number, denominator: number, message?: string): void;
  /**
   * Sends a chunk to those who follow the job. It is not kept. Await it: it resolves when more may be sent. Rejects
   * for a chunk larger than the cluster's limit for payloads.
   */
  data(chunk: Uint8Array | string): Promise<void>;
}
