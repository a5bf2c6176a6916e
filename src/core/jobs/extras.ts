import type { ByteReader, ByteWriter } from '../../base/bytes.js';
import { readBlobRef, writeBlobRef } from '../blob-refs.js';
import type { Attempt, BlobRef, JobError, RetryPolicy } from '../types.js';

/** Ended attempts that a record remembers; older ones are forgotten. */
export const ATTEMPTS_KEPT = 10;

/** What few jobs have. Attempts and errors in it never change once they are there. */
export interface Extras {
  uniqueKey: string;
  retry: RetryPolicy | null;
  startDeadlineWall: number;
  error: JobError | null;
  history: Attempt[];
  cancelReason: string;
  /** When a running job whose cancel was asked for loses its lease, elapsed µs. */
  cancelDueUs: number;
  numerator: number;
  denominator: number;
  message: string;
  /** Clients that wait for the end, by the life of the node that speaks for them. Never changed, only replaced. */
  waiters: readonly Waiter[];
  /** Only clients that wait have submitted it: without them it need not run. */
  droppable: boolean;
  /** Outside the log; null: none, or inline. */
  payloadBlob: BlobRef | null;
  resultBlob: BlobRef | null;
}

/** Clients of one life of a node that wait for a job. */
export interface Waiter {
  readonly incarnation: number;
  /** At least 1. */
  readonly count: number;
}

export const NOBODY: readonly Waiter[] = [];

export function newExtras(): Extras {
  return {
    uniqueKey: '',
    retry: null,
    startDeadlineWall: 0,
    error: null,
    history: [],
    cancelReason: '',
    cancelDueUs: 0,
    numerator: 0,
    denominator: 0,
    message: '',
    waiters: NOBODY,
    droppable: false,
    payloadBlob: null,
    resultBlob: null,
  };
}

export function copyExtras(extras: Extras): Extras {
  return { ...extras, history: extras.history.slice() };
}

export function writeExtras(writer: ByteWriter, extras: Extras): void {
  writer.string(extras.uniqueKey);
  writeRetry(writer, extras.retry);
  writer.f64(extras.startDeadlineWall);
  writeError(writer, extras.error);
  writer.u32(extras.history.length);
  for (const attempt of extras.history) {
    writer.f64(attempt.number);
    writer.string(attempt.worker);
    writer.string(attempt.node);
    writer.f64(attempt.startedWall);
    writer.f64(attempt.endedWall);
    writeError(writer, attempt.error);
  }
  writer.string(extras.cancelReason);
  writer.f64(extras.cancelDueUs);
  writer.f64(extras.numerator);
  writer.f64(extras.denominator);
  writer.string(extras.message);
  writer.u8(extras.droppable ? 1 : 0);
  writer.u32(extras.waiters.length);
  for (const { incarnation, count } of extras.waiters) {
    writer.f64(incarnation);
    writer.f64(count);
  }
  writeRef(writer, extras.payloadBlob);
  writeRef(writer, extras.resultBlob);
}

export function readExtras(reader: ByteReader): Extras {
  const uniqueKey = reader.string();
  const retry = readRetry(reader);
  const startDeadlineWall = reader.f64();
  const error = readError(reader);
  const history: Attempt[] = [];
  for (let count = reader.u32(); count > 0; count--) {
    history.push({
      number: reader.f64(),
      worker: reader.string(),
      node: reader.string(),
      startedWall: reader.f64(),
      endedWall: reader.f64(),
      error: readError(reader),
    });
  }
  return {
    uniqueKey,
    retry,
    startDeadlineWall,
    error,
    history,
    cancelReason: reader.string(),
    cancelDueUs: reader.f64(),
    numerator: reader.f64(),
    denominator: reader.f64(),
    message: reader.string(),
    droppable: reader.u8() === 1,
    waiters: readWaiters(reader),
    payloadBlob: readRef(reader),
    resultBlob: readRef(reader),
  };
}

export function writeRetry(writer: ByteWriter, retry: RetryPolicy | null): void {
  writer.u8(retry === null ? 0 : 1);
  if (retry === null) return;
  writer.f64(retry.maxAttempts);
  writer.f64(retry.initialBackoffMs);
  writer.f64(retry.maxBackoffMs);
  writer.f64(retry.multiplierPermille);
  writer.f64(retry.jitterPermille);
}

export function readRetry(reader: ByteReader): RetryPolicy | null {
  if (reader.u8() === 0) return null;
  return {
    maxAttempts: reader.f64(),
    initialBackoffMs: reader.f64(),
    maxBackoffMs: reader.f64(),
    multiplierPermille: reader.f64(),
    jitterPermille: reader.f64(),
  };
}

function readWaiters(reader: ByteReader): readonly Waiter[] {
  const waiters: Waiter[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    waiters.push({ incarnation: reader.f64(), count: reader.f64() });
  }
  return waiters.length === 0 ? NOBODY : waiters;
}

function writeError(writer: ByteWriter, error: JobError | null): void {
  writer.u8(error === null ? 0 : 1);
  if (error === null) return;
  writer.string(error.code);
  writer.string(error.message);
  writer.bytes(error.details);
}

function readError(reader: ByteReader): JobError | null {
  if (reader.u8() === 0) return null;
  return { code: reader.string(), message: reader.string(), details: Buffer.from(reader.bytes()) };
}

/** A byte that says whether there is one, then its form in the log. */
function writeRef(writer: ByteWriter, ref: BlobRef | null): void {
  writer.u8(ref === null ? 0 : 1);
  if (ref !== null) writeBlobRef(writer, ref);
}

function readRef(reader: ByteReader): BlobRef | null {
  return reader.u8() === 0 ? null : readBlobRef(reader);
}
