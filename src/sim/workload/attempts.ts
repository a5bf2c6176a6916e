import type { Settle } from '../../checker/history.js';
import type { BlobRef, Outcome } from '../../core/types.js';
import type { Assignment, OutcomeBySession, OutcomeResult } from '../../node/index.js';
import type { SeededRandom } from '../random.js';
import type { WorkerDeed } from './character.js';
import type { Scene, Told } from './scene.js';
import { NAMESPACE } from './specs.js';
import { textOf } from './text.js';

/** Of outcomes that are said without a connection, out of a thousand: twice at once, and once more when it has counted. */
const AT_ONCE = 60;
const AGAIN = 80;
/** How long one waits at most who says it once more, milliseconds: records of some jobs are gone by then. */
const AGAIN_MS = [20, 500, 4_000];

/** A job that a worker was given, copied out of the node's memory. */
export interface Given {
  readonly token: number;
  readonly job: string;
  /** Its attempt has begun with its assignment: it was not reserved. */
  readonly begun: boolean;
}

/**
 * Writes down that a worker got a job. `shown`: the worker is told of token and attempt, which Gearman's are not.
 * `until`: the lease lasts until then at least, by the time of those who look; null: as long as its session.
 */
export function noteLease(
  scene: Scene,
  worker: string,
  node: string,
  one: Assignment,
  shown: boolean,
  until: number | null = null,
): Given {
  scene.given(one.job.id, one.token);
  scene.note({
    type: 'lease',
    at: scene.world.now,
    worker,
    node,
    job: one.job.id,
    token: shown ? one.token : 0,
    attempt: shown ? one.attempt : 0,
    function: one.job.function,
    payload: textOf(one.job.payload, one.job.payloadBlob),
    ...(until === null ? {} : { until }),
  });
  return { token: one.token, job: one.job.id, begun: one.job.state === 'running' };
}

export function noteLost(scene: Scene, worker: string, token: number): void {
  scene.note({ type: 'lease-lost', at: scene.world.now, worker, token });
}

/** What a worker says at the end. `blob`: the result that was uploaded before, of a large one. */
export function outcomeOf(
  deed: WorkerDeed,
  worker: string,
  { token, job }: Omit<Given, 'begun'>,
  blob: BlobRef | null,
): OutcomeBySession {
  switch (deed) {
    case 'fail':
    case 'fail-for-good':
      return {
        kind: 'fail',
        jobId: job,
        token,
        error: { code: deed === 'fail' ? 'AGAIN' : 'BROKEN', message: worker, details: Buffer.alloc(0) },
        retryable: deed === 'fail',
        retryAfterMs: 0,
        dataCount: 0,
      };
    case 'release':
      return { kind: 'release', jobId: job, token, reason: 'by chance' };
    default:
      return {
        kind: 'complete',
        jobId: job,
        token,
        result: blob === null ? Buffer.from(`${worker} ${token}`) : Buffer.alloc(0),
        resultBlob: blob,
        resultContentType: 'text/plain',
        dataCount: 0,
      };
  }
}

/** Writes down what became of an outcome. Null `result`: the call as a whole failed. */
export function noteSettle(
  scene: Scene,
  by: string,
  outcome: OutcomeBySession,
  told: Told<unknown>,
  result: OutcomeResult | null,
  shown: boolean,
): Settle {
  const error = result?.error ?? null;
  const fate = error === null ? told.fate : error.outcome === 'NOT_APPLIED' ? 'not-applied' : 'unknown';
  const event: Settle = {
    type: 'settle',
    by,
    node: told.node,
    begin: told.begin,
    end: told.end,
    fate,
    error: error === null ? told.error : error.code,
    job: outcome.jobId,
    token: shown ? outcome.token : 0,
    outcome: outcome.kind,
    result: outcome.kind === 'complete' ? textOf(outcome.result, outcome.resultBlob) : '',
    retryable: outcome.kind === 'fail' && outcome.retryable,
  };
  scene.note(event);
  return event;
}

/** An outcome said without a session's connection, at any node. */
export async function settleAlone(
  scene: Scene,
  by: string,
  outcome: OutcomeBySession,
  shown: boolean,
): Promise<Settle | null> {
  const target = scene.pickUp(scene.random);
  if (target === null) return null;
  const { jobId, ...rest } = outcome;
  let noted: Settle | null = null;
  await scene.call(
    target,
    (node, call) => node.settle(NAMESPACE, jobId, { ...rest, seq: 0 } as Outcome, call),
    (told) => {
      noted = noteSettle(scene, by, outcome, told, told.value, shown);
    },
  );
  return noted;
}

/**
 * As `settleAlone`; now and then it is said twice, at two nodes at once, or again when the answer has come: by one who
 * lost his patience, or the answer, and whose word counts all the same.
 */
export async function settleOnceOrTwice(
  scene: Scene,
  random: SeededRandom,
  by: string,
  outcome: OutcomeBySession,
): Promise<Settle | null> {
  const say = (): Promise<Settle | null> => settleAlone(scene, by, outcome, true);
  if (random.chance(AT_ONCE)) {
    const [first, second] = await Promise.all([say(), say()]);
    return second?.fate === 'done' ? second : first;
  }
  const settle = await say();
  if (settle?.fate === 'done' && scene.phase === 'open' && random.chance(AGAIN)) {
    await scene.world.sleep(random.between(0, random.pick(AGAIN_MS)));
    await say();
  }
  return settle;
}
