import { GearmeshError } from '../core/errors.js';
import type { Core } from '../core/interface.js';
import type { Outcome } from '../core/types.js';
import { leaseError, refusalError } from './answers.js';
import { withBlobs } from './blobs/naming.js';
import type { Engine } from './engine.js';
import type { CallOptions, ExtendResult, OutcomeResult } from './interface.js';
import { type CallParts, propose } from './job-calls.js';
import type { Origin } from './origin.js';
import { outcomeBytes } from './outcome-parts.js';

/**
 * An outcome from a caller that has no stream: its session is found by the lease, and a job whose lease is over by its
 * id, for the answer to an outcome that is said again. A node that knows neither may only be behind the one that leased.
 */
export async function settleOne(
  parts: CallParts,
  namespace: string,
  jobId: string,
  outcome: Outcome,
  call: CallOptions,
): Promise<OutcomeResult> {
  const settle = (): Promise<OutcomeResult> => settleOnce(parts, namespace, jobId, outcome, call);
  if (outcome.kind !== 'complete' || outcome.resultBlob === null) return settle();
  const [answer] = await withBlobs<OutcomeResult>(parts.naming, {
    refs: [outcome.resultBlob],
    field: 'result_blob',
    propose: async (positions) => (positions.length === 0 ? [] : [await settle()]),
    refused: (_, error) => ({ token: outcome.token, revision: 0, error }),
    signal: call.signal,
  });
  return answer!;
}

async function settleOnce(
  parts: CallParts,
  namespace: string,
  jobId: string,
  outcome: Outcome,
  call: CallOptions,
): Promise<OutcomeResult> {
  const { origin, core, reads } = parts;
  const find = (): number => core.seqToSettle(namespace, jobId, outcome.token);
  let seq = find();
  if (seq === 0) {
    await reads.linearizable(call.signal);
    seq = find();
  }
  const running = core.seqOfToken(outcome.token);
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

export function extendLeases(
  origin: Origin,
  core: Core,
  tokens: readonly number[],
  durationMs: number,
  call: CallOptions,
): Promise<ExtendResult> {
  return new Promise((resolve, reject) => {
    const ends = new Array<number | GearmeshError>(tokens.length);
    propose(
      origin,
      {
        bytes: 64 + tokens.length * 8,
        repeatable: true,
        encode: (builder) => {
          builder.leaseExtend(tokens, durationMs);
        },
        command: (position, result) => {
          ends[position] =
            result.refusal === null
              ? core.wall + durationMs
              : refusalError(result.refusal, result.limit, result.limitValue);
        },
        done: (revision) => resolve({ ends, revision }),
        failed: reject,
      },
      call.signal,
    );
  });
}

export async function reportProgress(
  engine: Engine,
  core: Core,
  token: number,
  numerator: number,
  denominator: number,
  message: string,
  call: CallOptions,
): Promise<void> {
  const { seq, session, epoch } = await holder(engine, core, token, call);
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

export async function sendData(
  engine: Engine,
  core: Core,
  token: number,
  first: number,
  chunks: readonly Uint8Array[],
  call: CallOptions,
): Promise<void> {
  const { seq } = await holder(engine, core, token, call);
  engine.liveData.data(seq, token, first, chunks);
}

/** Who holds the lease. One that is unknown here may be newer than what this node has applied: LEASE_LOST must be true. */
async function holder(
  engine: Engine,
  core: Core,
  token: number,
  call: CallOptions,
): Promise<{ seq: number; session: number; epoch: number }> {
  if (core.seqOfToken(token) === 0) await engine.reads.linearizable(call.signal);
  const seq = core.seqOfToken(token);
  const job = seq === 0 ? null : core.job(seq);
  if (job === null) throw new GearmeshError('LEASE_LOST');
  return { seq, session: job.session, epoch: core.session(job.session)?.epoch ?? 0 };
}
