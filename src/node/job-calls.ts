import { GearmeshError } from '../core/errors.js';
import type { BatchBuilder, Core } from '../core/interface.js';
import { limitReached } from '../core/limits.js';
import type { CommandResult, JobSpec, JobState } from '../core/types.js';
import { refusalError } from './answers.js';
import { type Naming, withBlobs } from './blobs/naming.js';
import type { CallOptions, ChangeResult, ReadOptions, SubmitOptions, SubmitResult } from './interface.js';
import { BATCH_BYTES, type Origin, type Proposal } from './origin.js';
import type { Reads } from './reads.js';
import type { Waiters } from './waiters.js';

/** All specs of one call go into one batch up to this size; larger calls are split. */
const CALL_BYTES_MAX = 512 * 1024;
/** One that is all or nothing is never split, and its batch must fit one entry. */
const ALL_OR_NOTHING_BYTES_MAX = BATCH_BYTES;
/** Of one spec, besides its texts and payload. */
const SPEC_HEAD_BYTES = 160;
/** Of one spec that names a blob. */
const BLOB_CLAIM_BYTES = 96;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export interface CallParts {
  readonly naming: Naming;
  readonly core: Core;
  readonly origin: Origin;
  readonly reads: Reads;
  readonly waiters: Waiters;
}

/** UTF-8 takes at most three bytes for each unit of a text: cheaper than to measure it. */
const atMost = (text: string): number => text.length * 3;

/** Upper bound of a submission's encoded size. */
export function specBytes(namespace: string, spec: JobSpec, length = atMost): number {
  let bytes =
    SPEC_HEAD_BYTES +
    (spec.payloadBlob === null ? 0 : BLOB_CLAIM_BYTES) +
    length(namespace) +
    length(spec.function) +
    length(spec.uniqueKey) +
    spec.payload.length +
    length(spec.contentType) +
    length(spec.traceparent);
  for (const [key, value] of spec.metadata) bytes += 8 + length(key) + length(value);
  return bytes;
}

/** Of a call that cannot be split, exactly. Throws where that is more than one entry of the log may hold. */
function wholeBytes(namespace: string, specs: readonly JobSpec[]): number {
  const length = (text: string): number => Buffer.byteLength(text);
  let bytes = 0;
  for (const spec of specs) bytes += specBytes(namespace, spec, length);
  if (bytes <= ALL_OR_NOTHING_BYTES_MAX) return bytes;
  throw limitReached(
    'allOrNothingBytesMax',
    ALL_OR_NOTHING_BYTES_MAX,
    `an all-or-nothing batch must fit one log entry: ${bytes} bytes are more than ${ALL_OR_NOTHING_BYTES_MAX}`,
  );
}

/** Hands a proposal over and ties it to the caller's signal: what was not sent yet is taken back, of the rest nobody knows. */
export function propose(origin: Origin, proposal: Proposal, signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    proposal.failed(new GearmeshError('CANCELLED'));
    return;
  }
  if (signal === undefined) {
    origin.propose(proposal);
    return;
  }
  let takeBack = (): boolean => false;
  const gaveUp = (): void => {
    if (takeBack()) {
      proposal.failed(
        new GearmeshError('NO_LEADER', {
          message: 'the deadline passed before a leader could take the call',
        }),
      );
    } else {
      proposal.failed(
        new GearmeshError('OUTCOME_UNKNOWN', {
          message: 'the deadline passed before the outcome was known',
          outcome: 'UNKNOWN',
        }),
      );
    }
  };
  // A stream's signal outlives its calls: a settled one must not stay with it.
  signal.addEventListener('abort', gaveUp, { once: true });
  const settled = (): void => signal.removeEventListener('abort', gaveUp);
  takeBack = origin.propose({
    ...proposal,
    done: (revision) => {
      settled();
      proposal.done(revision);
    },
    failed: (error) => {
      settled();
      proposal.failed(error);
    },
  });
}

export function submit(
  parts: CallParts,
  namespace: string,
  specs: readonly JobSpec[],
  options: SubmitOptions,
): Promise<SubmitResult[]> {
  if (specs.every((spec) => spec.payloadBlob === null)) return submitAll(parts, namespace, specs, options);
  return withBlobs<SubmitResult>(parts.naming, {
    refs: specs.map((spec) => spec.payloadBlob),
    field: 'payload_blob',
    propose: (positions) =>
      submitAll(
        parts,
        namespace,
        positions.map((position) => specs[position]!),
        options,
      ),
    refused: (position, error) => refusedWith(specs[position]!, error),
    signal: options.signal,
    together: options.allOrNothing,
  });
}

async function submitAll(
  parts: CallParts,
  namespace: string,
  specs: readonly JobSpec[],
  options: SubmitOptions,
): Promise<SubmitResult[]> {
  if (specs.length === 0) return [];
  if (options.allOrNothing) return submitPart(parts, namespace, specs, wholeBytes(namespace, specs), options);
  let bytes = 0;
  for (const spec of specs) bytes += specBytes(namespace, spec);
  if (bytes <= CALL_BYTES_MAX) return submitPart(parts, namespace, specs, bytes, options);
  const results: Promise<SubmitResult[]>[] = [];
  const sizes: number[] = [];
  let from = 0;
  let size = 0;
  for (let i = 0; i < specs.length; i++) {
    const next = specBytes(namespace, specs[i]!);
    if (i > from && size + next > CALL_BYTES_MAX) {
      results.push(submitPart(parts, namespace, specs.slice(from, i), size, options));
      sizes.push(i - from);
      from = i;
      size = 0;
    }
    size += next;
  }
  results.push(submitPart(parts, namespace, specs.slice(from), size, options));
  sizes.push(specs.length - from);
  return joined(specs, sizes, await Promise.allSettled(results));
}

function refusedWith({ id }: JobSpec, error: GearmeshError): SubmitResult {
  return { jobId: id, seq: 0, disposition: 'created', state: 'queued', revision: 0, error };
}

/** Where one part failed and another did not, each job is told its own: the call as a whole was neither. */
function joined(
  specs: readonly JobSpec[],
  sizes: readonly number[],
  settled: readonly PromiseSettledResult<SubmitResult[]>[],
): SubmitResult[] {
  const errors = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as GearmeshError] : []));
  if (errors.length === settled.length)
    throw errors.find((error) => error.outcome === 'UNKNOWN') ?? errors[0]!;
  const results: SubmitResult[] = [];
  settled.forEach((one, part) => {
    if (one.status === 'fulfilled') {
      results.push(...one.value);
      return;
    }
    const error = one.reason as GearmeshError;
    for (let i = sizes[part]!; i > 0; i--) {
      results.push(refusedWith(specs[results.length]!, error));
    }
  });
  return results;
}

function submitPart(
  parts: CallParts,
  namespace: string,
  specs: readonly JobSpec[],
  bytes: number,
  options: SubmitOptions,
): Promise<SubmitResult[]> {
  const { core, origin, waiters } = parts;
  return new Promise((resolve, reject) => {
    let gaveUp = false;
    const results = new Array<Mutable<SubmitResult>>(specs.length);
    propose(
      origin,
      {
        bytes,
        repeatable: true,
        encode: (builder) => {
          if (options.allOrNothing) builder.submitAll(namespace, specs);
          else for (const spec of specs) builder.submit(namespace, spec);
        },
        submitted: (position, disposition, seq, refusal, limit, limitValue) => {
          const spec = specs[position]!;
          if (refusal !== null) {
            results[position] = {
              jobId: spec.id,
              seq: 0,
              disposition,
              state: 'queued',
              revision: 0,
              error: refusalError(refusal, limit, limitValue),
            };
            return;
          }
          if (seq === 0) {
            // All or nothing: this one was fine, another one was not. `done` says which error that was.
            results[position] = {
              jobId: spec.id,
              seq,
              disposition,
              state: 'queued',
              revision: 0,
              error: null,
            };
            return;
          }
          if (spec.waits === true) waiters.counted(seq);
          if (disposition === 'created') {
            const state = core.stateOf(seq) ?? 'queued';
            results[position] = { jobId: spec.id, seq, disposition, state, revision: -1, error: null };
            return;
          }
          const known = existing(core, seq);
          results[position] = {
            jobId: known?.id ?? spec.id,
            seq,
            disposition,
            state: known?.state ?? 'queued',
            revision: known?.revision ?? -1,
            error: null,
          };
        },
        done: (revision) => {
          const refused = options.allOrNothing ? results.find((result) => result.error !== null) : undefined;
          for (const result of results) {
            if (result.revision === -1) result.revision = revision;
            if (refused !== undefined) result.error ??= refused.error;
          }
          resolve(results);
          // It was carried out after all, and nobody is there to say that it waits no longer.
          if (!gaveUp) return;
          for (const [i, { seq }] of results.entries()) if (specs[i]!.waits === true) waiters.leaves(seq);
        },
        failed: (error) => {
          gaveUp = true;
          reject(error);
        },
      },
      options.signal,
    );
  });
}

function existing(core: Core, seq: number): { id: string; state: JobState; revision: number } | null {
  return core.job(seq) ?? core.ended(seq);
}

/** One command with one answer. `unheard` gets the value of one that was carried out after its caller gave up. */
export function change(
  origin: Origin,
  bytes: number,
  encode: (builder: BatchBuilder) => void,
  call: CallOptions,
  repeatable = false,
  unheard: (value: number) => void = () => {},
): Promise<ChangeResult & { readonly epoch: number; readonly seq: number }> {
  return new Promise((resolve, reject) => {
    let answer: CommandResult | null = null;
    let gaveUp = false;
    let saidAgain = false;
    propose(
      origin,
      {
        bytes,
        repeatable,
        encode,
        again: () => {
          saidAgain = true;
        },
        command: (_, result) => {
          answer = result;
        },
        done: (revision) => {
          if (answer === null)
            reject(new GearmeshError('INTERNAL', { message: 'a command was not answered' }));
          else if (answer.refusal !== null) {
            const refusal = refusalError(answer.refusal, answer.limit, answer.limitValue);
            reject(saidAgain ? doneOrRefused(refusal) : refusal);
          } else if (gaveUp) unheard(answer.value);
          else resolve({ revision, value: answer.value, epoch: answer.epoch, seq: answer.seq });
        },
        failed: (error) => {
          gaveUp = true;
          reject(error);
        },
      },
      call.signal,
    );
  });
}

/** What was done the first time may be refused the second time, as what it changed is gone since. */
function doneOrRefused(refusal: GearmeshError): GearmeshError {
  return new GearmeshError('OUTCOME_UNKNOWN', {
    message: `this node missed what became of it and said it again, which was refused (${refusal.code}): look whether it was done before`,
    outcome: 'UNKNOWN',
  });
}

/** Makes sure that this node's state is as new as the reader wants. */
export async function readable(reads: Reads, options: ReadOptions): Promise<void> {
  if (options.minRevision > 0) await reads.atLeast(options.minRevision, options.signal);
  if (options.consistency === 'linearizable') await reads.linearizable(options.signal);
}
