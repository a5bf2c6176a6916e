import { ByteReader, ByteWriter, MalformedBytesError } from '../base/bytes.js';
import type { Calendar } from '../base/calendar.js';
import type { BatchHead, NodeUp } from './interface.js';

/**
 * Form of an entry and of a batch:
 *
 *     entry   u8 version, f64 elapsed µs, f64 wall ms, u32 count, count × (u32 length, batch)
 *     batch   u8 version, u8 kind, f64 incarnation, f64 seq, u32 count, count × command
 *     command u8 kind, then what `batch-builder.ts` writes and `commands/` reads
 *
 * Little-endian, as in `src/base/bytes.ts`. A node stops at a version or kind it does not know.
 */
export const ENTRY_VERSION = 1;
export const BATCH_VERSION = 1;

export const BATCH_NODE_UP = 1;
export const BATCH_SEQUENCED = 2;

/** Bytes before the first command of a batch. */
export const BATCH_HEAD_BYTES = 1 + 1 + 8 + 8 + 4;

/** Kinds of commands within a batch. Numbers are part of the log: never reused. */
export const COMMAND = {
  submit: 1,
  submitAll: 2,
  outcomes: 3,
  credit: 4,
  acks: 5,
  progress: 6,
  sessionOpen: 7,
  sessionAttach: 8,
  sessionDetach: 9,
  sessionClose: 10,
  sessionFunctions: 11,
  leaseRequest: 12,
  leaseStop: 13,
  leaseExtend: 14,
  cancel: 15,
  retry: 16,
  delete: 17,
  pause: 18,
  purge: 19,
  settings: 20,
  nodeDown: 21,
  nodeStalled: 22,
  scheduleCreate: 23,
  scheduleDelete: 24,
  queueLimits: 26,
  queueCreate: 27,
  queueDrop: 28,
  waiters: 29,
  start: 30,
} as const;

/** Bits of a submission's flags: which optional parts follow. */
export const SPEC_FLAG = {
  /** Two bits: the priority. */
  priority: 3,
  foreground: 4,
  uniqueKey: 8,
  retry: 16,
  runAt: 32,
  delay: 64,
  runTimeout: 128,
  startDeadline: 256,
  retention: 512,
  /** Its submitter waits, and the job may be dropped when nobody does. */
  waits: 1024,
  payloadBlob: 4096,
  /** The policy is `ENDLESS_RETRY`; nothing is written for it. */
  endless: 8192,
} as const;

/** `completeBlob`: the result is a blob. */
export const OUTCOME = { complete: 1, fail: 2, release: 3, completeBlob: 4 } as const;

/** The log holds something that this version cannot apply: the node must stop and be replaced by a newer one. */
export class UnknownCommandError extends Error {
  constructor(what: string, value: number) {
    super(`${what} ${value} is not known to this version of Gearmesh: update this node`);
    this.name = 'UnknownCommandError';
  }
}

/** One log entry from batches; none at all makes a Tick, which only moves the clocks. Stamps: µs and ms. */
export function encodeEntry(elapsedUs: number, wall: number, batches: readonly Uint8Array[]): Buffer {
  let size = 1 + 8 + 8 + 4;
  for (const batch of batches) size += 4 + batch.length;
  const out = Buffer.allocUnsafeSlow(size);
  out[0] = ENTRY_VERSION;
  out.writeDoubleLE(elapsedUs, 1);
  out.writeDoubleLE(wall, 9);
  let at = out.writeUInt32LE(batches.length, 17);
  for (const batch of batches) {
    at = out.writeUInt32LE(batch.length, at);
    out.set(batch, at);
    at += batch.length;
  }
  return out;
}

/** The batch with which a node's life begins. */
export function encodeNodeUp(node: NodeUp): Buffer {
  const writer = new ByteWriter(256);
  writer.u8(BATCH_VERSION);
  writer.u8(BATCH_NODE_UP);
  writer.f64(0);
  writer.f64(0);
  writer.u32(1);
  writer.string(node.name);
  writer.f64(node.nonce);
  writer.string(node.grpc);
  writer.string(node.http);
  writer.string(node.version);
  return writer.take();
}

/** What a node needs of a batch without applying it. Throws MalformedBytesError or UnknownCommandError. */
export function readBatchHead(bytes: Uint8Array): BatchHead {
  const reader = new ByteReader(bytes);
  const kind = readBatchKind(reader);
  return { nodeUp: kind === BATCH_NODE_UP, incarnation: reader.f64(), seq: reader.f64() };
}

/**
 * What a leader asks of a batch before it goes into the log, where one that cannot be read stops every replica, again at
 * each start: that its head is what the frame says, and that what follows may be as many commands. Returns the name of
 * the node that a NodeUp is for, '' for other batches. Throws MalformedBytesError.
 */
export function checkBatch(bytes: Uint8Array, incarnation: number, seq: number): string {
  const reader = new ByteReader(bytes);
  const version = reader.u8();
  const kind = reader.u8();
  if (version !== BATCH_VERSION) throw new MalformedBytesError(`a batch of version ${version}`);
  if (kind !== (incarnation === 0 ? BATCH_NODE_UP : BATCH_SEQUENCED)) {
    throw new MalformedBytesError(`a batch of kind ${kind} under incarnation ${incarnation}`);
  }
  const [own, number, count] = [reader.f64(), reader.f64(), reader.u32()];
  if (own !== incarnation || number !== seq) {
    throw new MalformedBytesError(`batch ${number} of ${own} in the frame of batch ${seq} of ${incarnation}`);
  }
  if (kind === BATCH_SEQUENCED) {
    if (count === 0 || count > reader.left) {
      throw new MalformedBytesError(`a batch of ${count} commands in ${reader.left} bytes`);
    }
    return '';
  }
  const name = reader.string();
  readCount(reader);
  for (let texts = 3; texts > 0; texts--) reader.string();
  if (name === '' || count !== 1 || reader.left > 0)
    throw new MalformedBytesError('a NodeUp of another form');
  return name;
}

/** Version and kind at the front of a batch, both known. */
export function readBatchKind(reader: ByteReader): number {
  const version = reader.u8();
  if (version !== BATCH_VERSION) throw new UnknownCommandError('batch version', version);
  const kind = reader.u8();
  if (kind !== BATCH_NODE_UP && kind !== BATCH_SEQUENCED) throw new UnknownCommandError('batch kind', kind);
  return kind;
}

/** A whole number from 0 below 2^53, as all counters in the log are. */
export function readCount(reader: ByteReader): number {
  const value = reader.f64();
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new MalformedBytesError(`${value} is no whole number from 0`);
  }
  return value;
}

export function writeCalendar(writer: ByteWriter, calendar: Calendar): void {
  writer.u32(calendar.minutesLow);
  writer.u32(calendar.minutesHigh);
  writer.u32(calendar.hours);
  writer.u32(calendar.daysOfMonth);
  writer.u32(calendar.months);
  writer.u32(calendar.daysOfWeek);
}

export function readCalendar(reader: ByteReader): Calendar {
  return {
    minutesLow: reader.u32(),
    minutesHigh: reader.u32(),
    hours: reader.u32(),
    daysOfMonth: reader.u32(),
    months: reader.u32(),
    daysOfWeek: reader.u32(),
  };
}
