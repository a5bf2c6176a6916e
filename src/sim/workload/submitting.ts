import type { Submit, SubmittedJob } from '../../checker/history.js';
import type { JobSpec } from '../../core/types.js';
import type { SubmitResult } from '../../node/index.js';
import type { SimNode } from '../cluster.js';
import type { SeededRandom } from '../random.js';
import { EPOCH_WALL_MS } from '../world.js';
import type { Scene, Told } from './scene.js';
import { NAMESPACE } from './specs.js';
import { textOf } from './text.js';

/** Pauses before a submission is said again, milliseconds. */
const AGAIN_MS = [5, 250] as const;
/** One that was refused by a limit is given up after so many tries. */
const REFUSALS_MAX = 3;

export interface SubmitWay {
  readonly allOrNothing: boolean;
}

/** What a client was told about a submission at last. */
export interface Accepted {
  readonly node: SimNode;
  /** Of the node's process that answered. */
  readonly life: number;
  readonly results: readonly SubmitResult[];
}

/** The submissions of one client: what it says, and what is written down of it. */
export class Submitter {
  readonly #scene: Scene;
  readonly #random: SeededRandom;
  readonly #by: string;
  #calls = 0;
  #position = 0;

  constructor(scene: Scene, random: SeededRandom, by: string) {
    this.#scene = scene;
    this.#random = random;
    this.#by = by;
  }

  /** Until it is known what became of all of them. Null: refused, or nobody will know. */
  async untilKnown(specs: readonly JobSpec[], way: SubmitWay): Promise<Accepted | null> {
    const { world } = this.#scene;
    let refusals = 0;
    let left = specs;
    while (this.#scene.phase !== 'over') {
      const target = this.#scene.pickUp(this.#random);
      if (target !== null) {
        const life = target.starts;
        const { value, error } = await this.once(target, left, way);
        if (value !== null) {
          const open = left.filter((_, i) => isOpen(value[i]!));
          if (open.length === 0) {
            const done = value.some((one) => one.error === null);
            return done ? { node: target, life, results: value } : null;
          }
          if (value.some((one) => one.error?.code === 'LIMIT_REACHED')) refusals += 1;
          if (refusals === REFUSALS_MAX || (this.#scene.phase === 'quiet' && refusals > 0)) return null;
          if (!way.allOrNothing) left = open;
        } else if (error === 'INVALID_FIELD' || error === 'LIMIT_REACHED') {
          // A call of this size, or with this blob, is refused again.
          refusals += 1;
          if (refusals === REFUSALS_MAX) return null;
        }
      }
      await world.sleep(this.#random.between(...AGAIN_MS));
    }
    return null;
  }

  /** Says it once. */
  once(target: SimNode, specs: readonly JobSpec[], way: SubmitWay): Promise<Told<SubmitResult[]>> {
    this.#calls += 1;
    const call = `${this.#by}#${this.#calls}`;
    // Naming a blob takes a question to other nodes, which later submissions overtake.
    const ordered = specs.every((spec) => spec.payloadBlob === null);
    const stream = ordered ? `${this.#by}@${target.name}.${target.starts}` : call;
    const first = this.#position;
    this.#position += specs.length;
    return this.#scene.call(
      target,
      (node, { signal }) =>
        node.submit(NAMESPACE, specs, { allOrNothing: way.allOrNothing, signal: signal! }),
      (told) => {
        specs.forEach((spec, i) => {
          const result = told.value?.[i] ?? null;
          const { answer, fate, error } = answerOf(told, result);
          this.#scene.note({
            type: 'submit',
            by: this.#by,
            node: told.node,
            begin: told.begin,
            end: told.end,
            fate,
            error,
            ...askedFor(spec, told.begin),
            stream,
            position: first + i,
            call,
            allOrNothing: way.allOrNothing,
            answer,
          });
          if (answer !== null) this.#scene.ledger.accept(answer.job, result!.revision);
        });
      },
    );
  }
}

function answerOf(
  told: Told<SubmitResult[]>,
  result: SubmitResult | null,
): Pick<Submit, 'answer' | 'fate' | 'error'> {
  if (result === null) return { answer: null, fate: told.fate, error: told.error };
  const { error, jobId, disposition } = result;
  if (error === null) return { answer: { job: jobId, disposition }, fate: 'done', error: '' };
  return {
    answer: null,
    fate: error.outcome === 'NOT_APPLIED' ? 'not-applied' : 'unknown',
    error: error.code,
  };
}

/** To be said again: it may have been done, or may be done later. */
function isOpen({ error }: SubmitResult): boolean {
  if (error === null) return false;
  return error.outcome === 'UNKNOWN' || error.code === 'LIMIT_REACHED' || error.code === 'NO_LEADER';
}

function askedFor(spec: JobSpec, begin: number): SubmittedJob {
  const seen = (wall: number): number => (wall === 0 ? 0 : wall - EPOCH_WALL_MS);
  return {
    job: spec.id,
    namespace: NAMESPACE,
    function: spec.function,
    priority: spec.priority,
    payload: textOf(spec.payload, spec.payloadBlob),
    uniqueKey: spec.uniqueKey,
    due: spec.delayMs > 0 ? begin + spec.delayMs : seen(spec.runAtWall),
    startDeadline: seen(spec.startDeadlineWall),
    maxAttempts: spec.retry?.maxAttempts ?? 0,
    retentionMs: spec.retentionMs,
    waits: spec.waits ?? false,
  };
}
