import { crc32 } from 'node:zlib';
import { ByteWriter } from '../base/bytes.js';
import { invariant } from '../base/invariant.js';
import { isUlid, ULID_BYTES, ulidToBytes } from '../base/ulid.js';
import { writeClaim, writeOutcome } from './batch-outcome.js';
import { writeSubmission } from './blobs.js';
import {
  BATCH_HEAD_BYTES,
  BATCH_SEQUENCED,
  BATCH_VERSION,
  COMMAND,
  SPEC_FLAG,
  writeCalendar,
} from './codec.js';
import type { BatchBuilder } from './interface.js';
import { isEndless } from './jobs/retry-policy.js';
import { SETTING_KEYS } from './settings.js';
import {
  type BlobCount,
  type BlobRef,
  type FunctionSpec,
  JOB_STATES,
  type JobSpec,
  type JobState,
  type Outcome,
  type ScheduleSpec,
  type Settings,
} from './types.js';

const id = new Uint8Array(ULID_BYTES);

class Builder implements BatchBuilder {
  readonly #out = new ByteWriter(64 * 1024);
  readonly #unique = new ByteWriter(1024);
  #commands = 0;
  #positions = 0;
  /** The submission header that is still open: further jobs of the same function only raise its count. */
  #groupNamespace = '';
  #groupFunction = '';
  #groupCountAt = -1;
  #groupCount = 0;
  /** Checksum of the last header's names. */
  #namesNamespace = '';
  #namesFunction = '';
  #namesCrc = 0;
  /** The place to go back to; the group is the one that was open there. */
  readonly #marked = { length: 0, commands: 0, positions: 0, namespace: '', fn: '', countAt: -1, count: 0 };

  readonly #countOf: (ref: BlobRef) => BlobCount | null;

  constructor(countOf: (ref: BlobRef) => BlobCount | null) {
    this.#countOf = countOf;
  }

  get length(): number {
    return this.#out.length + BATCH_HEAD_BYTES;
  }

  get positions(): number {
    return this.#positions;
  }

  get commands(): number {
    return this.#commands;
  }

  submit(namespace: string, spec: JobSpec): number {
    const out = this.#out;
    if (
      this.#groupCountAt < 0 ||
      spec.function !== this.#groupFunction ||
      namespace !== this.#groupNamespace
    ) {
      this.#begin(COMMAND.submit);
      out.string(namespace);
      out.string(spec.function);
      this.#groupCountAt = out.length;
      this.#groupNamespace = namespace;
      this.#groupFunction = spec.function;
      this.#groupCount = 0;
      out.u32(0);
    }
    this.#spec(namespace, spec);
    out.u32At(this.#groupCountAt, ++this.#groupCount);
    return this.#positions++;
  }

  submitAll(namespace: string, specs: readonly JobSpec[]): number {
    this.#begin(COMMAND.submitAll);
    this.#out.string(namespace);
    this.#out.u32(specs.length);
    for (const spec of specs) {
      this.#out.string(spec.function);
      this.#spec(namespace, spec);
    }
    return this.#owe(specs.length);
  }

  outcomes(
    session: number,
    epoch: number,
    credit: number,
    outcomes: readonly Outcome[],
    begins = false,
  ): number {
    const out = this.#out;
    this.#begin(COMMAND.outcomes);
    out.f64(session);
    out.f64(epoch);
    out.f64(credit);
    out.u8(begins ? 1 : 0);
    out.u32(outcomes.length);
    for (const outcome of outcomes) writeOutcome(out, outcome, this.#countOf);
    return this.#owe(outcomes.length);
  }

  credit(session: number, epoch: number, credit: number): void {
    this.#begin(COMMAND.credit);
    this.#out.f64(session);
    this.#out.f64(epoch);
    this.#out.f64(credit);
  }

  acks(session: number, epoch: number, tokens: readonly number[]): void {
    this.#begin(COMMAND.acks);
    this.#out.f64(session);
    this.#out.f64(epoch);
    this.#numbers(tokens);
  }

  progress(
    session: number,
    epoch: number,
    token: number,
    numerator: number,
    denominator: number,
    message: string,
  ): void {
    this.#begin(COMMAND.progress);
    this.#out.f64(session);
    this.#out.f64(epoch);
    this.#out.f64(token);
    this.#out.f64(numerator);
    this.#out.f64(denominator);
    this.#out.string(message);
  }

  sessionOpen(o: {
    namespace: string;
    name: string;
    secretDigest: Uint8Array;
    functions: readonly FunctionSpec[];
    resumable: boolean;
    reserves?: boolean;
    credit: number;
  }): number {
    this.#begin(COMMAND.sessionOpen);
    this.#out.string(o.namespace);
    this.#out.string(o.name);
    this.#secret(o.secretDigest);
    this.#out.u8((o.resumable ? 1 : 0) | (o.reserves === true ? 2 : 0));
    this.#out.f64(o.credit);
    this.#functions(o.functions);
    return this.#owe(1);
  }

  sessionAttach(session: number, secretDigest: Uint8Array, held: readonly number[]): number {
    this.#begin(COMMAND.sessionAttach);
    this.#out.f64(session);
    this.#secret(secretDigest);
    this.#numbers(held);
    return this.#owe(1);
  }

  sessionDetach(session: number, epoch: number): void {
    this.#begin(COMMAND.sessionDetach);
    this.#out.f64(session);
    this.#out.f64(epoch);
  }

  sessionClose(session: number, epoch: number): void {
    this.#begin(COMMAND.sessionClose);
    this.#out.f64(session);
    this.#out.f64(epoch);
  }

  sessionFunctions(session: number, epoch: number, functions: readonly FunctionSpec[]): number {
    this.#begin(COMMAND.sessionFunctions);
    this.#out.f64(session);
    this.#out.f64(epoch);
    this.#functions(functions);
    return this.#owe(1);
  }

  leaseRequest(o: {
    namespace: string;
    name: string;
    requestId: string;
    functions: readonly FunctionSpec[];
    max: number;
    durationMs: number;
  }): number {
    this.#begin(COMMAND.leaseRequest);
    this.#out.string(o.namespace);
    this.#out.string(o.name);
    this.#out.string(o.requestId);
    this.#out.f64(o.max);
    this.#out.f64(o.durationMs);
    this.#functions(o.functions);
    return this.#owe(1);
  }

  leaseStop(session: number): void {
    this.#begin(COMMAND.leaseStop);
    this.#out.f64(session);
  }

  leaseExtend(tokens: readonly number[], durationMs: number): number {
    this.#begin(COMMAND.leaseExtend);
    this.#out.f64(durationMs);
    this.#numbers(tokens);
    return this.#owe(tokens.length);
  }

  cancel(namespace: string, jobId: string, reason: string, graceMs: number): number {
    this.#begin(COMMAND.cancel);
    this.#job(namespace, jobId);
    this.#out.string(reason);
    this.#out.f64(graceMs);
    return this.#owe(1);
  }

  retry(namespace: string, jobId: string): number {
    this.#begin(COMMAND.retry);
    this.#job(namespace, jobId);
    return this.#owe(1);
  }

  delete(namespace: string, jobId: string): number {
    this.#begin(COMMAND.delete);
    this.#job(namespace, jobId);
    return this.#owe(1);
  }

  pause(namespace: string, fn: string, paused: boolean): number {
    this.#begin(COMMAND.pause);
    this.#out.string(namespace);
    this.#out.string(fn);
    this.#out.u8(paused ? 1 : 0);
    return this.#owe(1);
  }

  purge(namespace: string, fn: string, states: readonly JobState[]): number {
    this.#begin(COMMAND.purge);
    this.#out.string(namespace);
    this.#out.string(fn);
    let mask = 0;
    for (const state of states) mask |= 1 << JOB_STATES.indexOf(state);
    this.#out.u32(mask);
    return this.#owe(1);
  }

  settings(changes: Partial<Settings>): number {
    this.#begin(COMMAND.settings);
    const keys = SETTING_KEYS.filter((key) => changes[key] !== undefined);
    this.#out.u32(keys.length);
    for (const key of keys) {
      this.#out.u32(SETTING_KEYS.indexOf(key));
      this.#out.f64(changes[key]!);
    }
    return this.#owe(1);
  }

  queueLimits(namespace: string, fn: string, jobsMax: readonly [number, number, number]): number {
    this.#begin(COMMAND.queueLimits);
    this.#out.string(namespace);
    this.#out.string(fn);
    for (const limit of jobsMax) this.#out.f64(limit);
    return this.#owe(1);
  }

  queueCreate(namespace: string, fn: string): number {
    this.#begin(COMMAND.queueCreate);
    this.#out.string(namespace);
    this.#out.string(fn);
    return this.#owe(1);
  }

  queueDrop(namespace: string, fn: string): number {
    this.#begin(COMMAND.queueDrop);
    this.#out.string(namespace);
    this.#out.string(fn);
    return this.#owe(1);
  }

  start(tokens: readonly number[]): void {
    this.#begin(COMMAND.start);
    this.#numbers(tokens);
  }

  waiters(changes: ReadonlyMap<number, number>): void {
    this.#begin(COMMAND.waiters);
    this.#out.u32(changes.size);
    for (const [seq, change] of changes) {
      this.#out.f64(seq);
      this.#out.f64(change);
    }
  }

  nodeDown(incarnation: number): void {
    this.#begin(COMMAND.nodeDown);
    this.#out.f64(incarnation);
  }

  nodeStalled(incarnation: number, stalled: boolean): void {
    this.#begin(COMMAND.nodeStalled);
    this.#out.f64(incarnation);
    this.#out.u8(stalled ? 1 : 0);
  }

  scheduleCreate(namespace: string, spec: ScheduleSpec): number {
    this.#begin(COMMAND.scheduleCreate);
    this.#out.string(namespace);
    this.#out.string(spec.job.function);
    writeCalendar(this.#out, spec.calendar);
    this.#spec(namespace, spec.job);
    return this.#owe(1);
  }

  scheduleDelete(namespace: string, scheduleId: string): number {
    this.#begin(COMMAND.scheduleDelete);
    this.#job(namespace, scheduleId);
    return this.#owe(1);
  }

  mark(): void {
    const marked = this.#marked;
    marked.length = this.#out.length;
    marked.commands = this.#commands;
    marked.positions = this.#positions;
    marked.namespace = this.#groupNamespace;
    marked.fn = this.#groupFunction;
    marked.countAt = this.#groupCountAt;
    marked.count = this.#groupCount;
  }

  rewind(): void {
    const marked = this.#marked;
    this.#out.rewind(marked.length);
    this.#unique.reset();
    this.#commands = marked.commands;
    this.#positions = marked.positions;
    this.#groupNamespace = marked.namespace;
    this.#groupFunction = marked.fn;
    this.#groupCountAt = marked.countAt;
    this.#groupCount = marked.count;
    // Submissions since may have joined the group that was open.
    if (marked.countAt >= 0) this.#out.u32At(marked.countAt, marked.count);
    this.#namesCrc = 0;
  }

  finish(incarnation: number, seq: number): Buffer {
    const body = this.#out.view();
    const batch = Buffer.allocUnsafeSlow(BATCH_HEAD_BYTES + body.length);
    batch[0] = BATCH_VERSION;
    batch[1] = BATCH_SEQUENCED;
    batch.writeDoubleLE(incarnation, 2);
    batch.writeDoubleLE(seq, 10);
    batch.writeUInt32LE(this.#commands, 18);
    batch.set(body, BATCH_HEAD_BYTES);
    this.#out.reset();
    this.#commands = 0;
    this.#positions = 0;
    this.#groupCountAt = -1;
    this.mark();
    return batch;
  }

  #begin(kind: number): void {
    this.#groupCountAt = -1;
    this.#commands++;
    this.#out.u8(kind);
  }

  #owe(count: number): number {
    const first = this.#positions;
    this.#positions += count;
    return first;
  }

  /** id, digest, seed, flags, the optional parts that the flags name, blob. */
  #spec(namespace: string, spec: JobSpec): void {
    const out = this.#out;
    const endless = isEndless(spec.retry);
    const retry = endless ? null : spec.retry;
    invariant(isUlid(spec.id), 'a job id is a ULID', { id: spec.id });
    ulidToBytes(spec.id, id);
    out.raw(id);
    const digestAt = out.length;
    out.u32(0);
    out.u32(spec.seed);
    out.u32(
      spec.priority |
        (spec.foreground ? SPEC_FLAG.foreground : 0) |
        (spec.uniqueKey !== '' ? SPEC_FLAG.uniqueKey : 0) |
        (retry !== null ? SPEC_FLAG.retry : 0) |
        (endless ? SPEC_FLAG.endless : 0) |
        (spec.runAtWall !== 0 ? SPEC_FLAG.runAt : 0) |
        (spec.delayMs !== 0 ? SPEC_FLAG.delay : 0) |
        (spec.runTimeoutMs !== 0 ? SPEC_FLAG.runTimeout : 0) |
        (spec.startDeadlineWall !== 0 ? SPEC_FLAG.startDeadline : 0) |
        (spec.retentionMs !== -1 ? SPEC_FLAG.retention : 0) |
        (spec.waits === true ? SPEC_FLAG.waits : 0) |
        (spec.payloadBlob !== null ? SPEC_FLAG.payloadBlob : 0),
    );
    let crc = this.#nameCrc(namespace, spec.function);
    if (spec.uniqueKey !== '') {
      this.#unique.string(spec.uniqueKey);
      crc = crc32(this.#unique.view(), crc);
      this.#unique.reset();
      out.string(spec.uniqueKey);
    }
    if (retry !== null) {
      out.u32(retry.maxAttempts);
      out.f64(retry.initialBackoffMs);
      out.f64(retry.maxBackoffMs);
      out.u32(retry.multiplierPermille);
      out.u32(retry.jitterPermille);
    }
    if (spec.runAtWall !== 0) out.f64(spec.runAtWall);
    if (spec.delayMs !== 0) out.f64(spec.delayMs);
    if (spec.runTimeoutMs !== 0) out.f64(spec.runTimeoutMs);
    if (spec.startDeadlineWall !== 0) out.f64(spec.startDeadlineWall);
    if (spec.retentionMs !== -1) out.f64(spec.retentionMs);
    if (spec.payloadBlob !== null)
      crc = writeClaim(out, spec.payloadBlob, this.#countOf(spec.payloadBlob), crc);
    const blobAt = out.length;
    out.u32(0);
    writeSubmission(out, spec);
    out.u32At(blobAt, out.length - blobAt - 4);
    crc = crc32(out.view().subarray(blobAt), crc);
    out.u32At(digestAt, (crc ^ spec.priority) >>> 0);
  }

  #nameCrc(namespace: string, fn: string): number {
    if (fn !== this.#namesFunction || namespace !== this.#namesNamespace || this.#namesCrc === 0) {
      this.#namesNamespace = namespace;
      this.#namesFunction = fn;
      this.#namesCrc = crc32(`${namespace}\u0000${fn}`);
    }
    return this.#namesCrc;
  }

  #functions(functions: readonly FunctionSpec[]): void {
    this.#out.u32(functions.length);
    for (const fn of functions) {
      this.#out.string(fn.name);
      this.#out.u32(fn.concurrency);
      this.#out.f64(fn.runTimeoutMs);
    }
  }

  #numbers(values: readonly number[]): void {
    this.#out.u32(values.length);
    for (const value of values) this.#out.f64(value);
  }

  #secret(digest: Uint8Array): void {
    invariant(digest.length === 16, 'a secret digest has 16 bytes', { length: digest.length });
    this.#out.raw(digest);
  }

  /** Text that is no ULID becomes an id that nobody has. */
  #job(namespace: string, jobId: string): void {
    this.#out.string(namespace);
    if (isUlid(jobId)) ulidToBytes(jobId, id);
    else id.fill(0);
    this.#out.raw(id);
  }
}

/** Reused from batch to batch: `finish` empties it. `countOf`: what is known of a blob that a job or outcome names. */
export function createBatchBuilder(countOf: (ref: BlobRef) => BlobCount | null = () => null): BatchBuilder {
  return new Builder(countOf);
}
