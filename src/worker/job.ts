import type { Assignment } from '../../proto/gen/gearmesh/v1/worker.js';
import { fromPriority, fromTimestamp } from '../client/convert.js';
import { decodeJson, decodePayload, decodeText } from '../client/payload.js';
import type { Priority } from '../client/types.js';

/** A job as it came. */
export class Job {
  readonly id: string;
  readonly namespace: string;
  readonly function: string;
  readonly payload: Uint8Array;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly priority: Priority;
  readonly uniqueKey: string;
  readonly traceparent: string;
  readonly createdAt: Date | undefined;

  /** Made by the worker. */
  constructor(assignment: Assignment) {
    this.id = assignment.jobId;
    this.namespace = assignment.namespace;
    this.function = assignment.function;
    this.payload = assignment.payload;
    this.contentType = assignment.contentType;
    this.metadata = assignment.metadata;
    this.priority = fromPriority(assignment.priority);
    this.uniqueKey = assignment.uniqueKey;
    this.traceparent = assignment.traceparent;
    this.createdAt = fromTimestamp(assignment.createdAt);
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
