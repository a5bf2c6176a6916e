import { GearmeshError } from '../core/errors.js';
import type { Core } from '../core/interface.js';
import type { Outcome } from '../core/types.js';
import { refusalError } from './answers.js';
import { type Naming, withBlobs } from './blobs/naming.js';
import type { Engine } from './engine.js';
import type { CallOptions, OutcomeResult } from './interface.js';
import { propose } from './job-calls.js';
import type { Origin } from './origin.js';
import { leaseError, outcomeBytes } from './sessions.js';

/** An outcome from a caller that has no stream: its session is found by the lease. */
export async function settleOne(
  origin: Origin,
  core: Core,
  naming: Naming,
  namespace: string,
  jobId: string,
  outcome: Outcome,
  call: CallOptions,
): Promise<OutcomeResult> {
  const settle = (): Promise<OutcomeResult> => settleOnce(origin, core, namespace, jobId, outcome, call);
  if (outcome.kind !== 'complete' || outcome.resultBlob === null) return settle();
  const refs = [outcome.resultBlob];
  return (await withBlobs(naming, refs, async () => [await settle()], call))[0]!;
}

function settleOnce(
  origin: Origin,
  core: Core,
  namespace: string,
  jobId: string,
  outcome: Outcome,
  call: CallOptions,
): Promise<OutcomeResult> {
  const running = core.seqOfToken(outcome.token);
  const seq = running !== 0 ? running : jobId === '' ? 0 : core.seqOf(namespace, jobId);
  const session = running === 0 ? 0 : (core.job(running)?.session ?? 0);
  const epoch = session === 0 ? 0 : (core.session(session)?.epoch ?? 0);
  return new Promise((resolve, reject) => {
    let answer: OutcomeResult | null = null;
    propose(
      origin,
      {
        bytes: outcomeBytes(outcome) + 64,
        repeatable: true,
        encode: (builder) => {
          builder.outcomes(session, epoch, 0, [{ ...outcome, seq }]);
        },
        outcome: (_, token, refusal, revision) => {
          const error = refusal === null ? null : leaseError(refusal, outcome, core.settings);
          answer = { token, revision, error };
        },
        done: () => {
          if (answer === null)
            reject(new GearmeshError('INTERNAL', { message: 'an outcome was not answered' }));
          else resolve(answer);
        },
        failed: reject,
      },
      call.signal,
    );
  });
}

/** Wall ms at which each lease now ends, or why it does not live. */
export function extendLeases(
  origin: Origin,
  core: Core,
  tokens: readonly number[],
  durationMs: number,
  call: CallOptions,
): Promise<(number | GearmeshError)[]> {
  return new Promise((resolve, reject) => {
    const results = new Array<number | GearmeshError>(tokens.length);
    propose(
      origin,
      {
        bytes: 64 + tokens.length * 8,
        repeatable: true,
        encode: (builder) => {
          builder.leaseExtend(tokens, durationMs);
        },
        command: (position, result) => {
          results[position] =
            result.refusal === null
              ? core.wall + durationMs
              : refusalError(result.refusal, result.limit, result.limitValue);
        },
        done: () => resolve(results),
        failed: reject,
      },
      call.signal,
    );
  });
}

export function reportProgress(
  engine: Engine,
  core: Core,
  token: number,
  numerator: number,
  denominator: number,
  message: string,
): void {
  const { seq, session, epoch } = holder(core, token);
  engine.liveData.progress(seq, token, numerator, denominator, message);
  engine.origin.propose({
    bytes: 64 + message.length * 3,
    repeatable: false,
    awaited: false,
    encode: (builder) => builder.progress(session, epoch, token, numerator, denominator, message),
    done: () => {},
    failed: () => {},
  });
}

export function sendData(
  engine: Engine,
  core: Core,
  token: number,
  first: number,
  chunks: readonly Uint8Array[],
): void {
  engine.liveData.data(holder(core, token).seq, token, first, chunks);
}

function holder(core: Core, token: number): { seq: number; session: number; epoch: number } {
  const seq = core.seqOfToken(token);
  const job = seq === 0 ? null : core.job(seq);
  if (job === null) throw new GearmeshError('LEASE_LOST');
  return { seq, session: job.session, epoch: core.session(job.session)?.epoch ?? 0 };
}
