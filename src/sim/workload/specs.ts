import { UlidSource } from '../../base/ulid.js';
import {
  type BlobRef,
  ENDLESS_RETRY,
  type JobSpec,
  type PriorityRank,
  type RetryPolicy,
} from '../../core/types.js';
import type { SeededRandom } from '../random.js';
import type { Scene } from './scene.js';

export const NAMESPACE = 'default';
/** Of most jobs; the operator pauses them and limits one. */
export const FUNCTIONS = ['resize', 'mail', 'index'];
/** The operator purges this one, and no other. */
export const PURGED = 'sweep';
/** What schedules submit. */
export const SCHEDULED = 'report';
export const ALL_FUNCTIONS = [...FUNCTIONS, PURGED, SCHEDULED];
/** Those for which workers reserve jobs. Such jobs come back ahead of others, unseen, so the order is judged of the rest. */
export const RESERVED = [FUNCTIONS[2]!, PURGED];

const FILLER_MAX = 120;
/** How long an ended job is kept, milliseconds: some vanish while the run goes on. */
const RETENTIONS_MS = [200, 2_000, 10_000, 60_000, 3_600_000];

/** Makes the jobs of one client. */
export class SpecSource {
  readonly #scene: Scene;
  readonly #random: SeededRandom;
  readonly #by: string;
  readonly #ulids: UlidSource;
  #count = 0;

  constructor(scene: Scene, random: SeededRandom, by: string) {
    this.#scene = scene;
    this.#random = random;
    this.#by = by;
    this.#ulids = new UlidSource(random);
  }

  /** `fields`: what is not left to chance. */
  next(fields: Partial<JobSpec> = {}): JobSpec {
    const spec = this.unknown(fields);
    this.#scene.ledger.add(spec);
    return spec;
  }

  /** One that is not to be submitted as it is. */
  unknown(fields: Partial<JobSpec>): JobSpec {
    const random = this.#random;
    const { character, wall } = this.#scene;
    const later = random.chance(character.delayed);
    const byTime = later && random.chance(400);
    const delayMs = later ? 1 + random.below(character.maxDelayMs) : 0;
    return {
      id: this.#ulids.next(wall),
      function: random.chance(40) ? PURGED : random.pick(FUNCTIONS),
      payload: this.#payload(),
      payloadBlob: null,
      contentType: 'text/plain',
      metadata: [],
      priority: random.pick([0, 1, 1, 1, 2]) as PriorityRank,
      runAtWall: byTime ? wall + delayMs : 0,
      delayMs: later && !byTime ? delayMs : 0,
      uniqueKey: random.chance(character.unique) ? `k${random.below(character.keys)}` : '',
      retry: random.chance(650) ? this.#retry() : null,
      runTimeoutMs: random.chance(80) ? 100 + random.below(1_500) : 0,
      startDeadlineWall: random.chance(60) ? wall + 100 + random.below(delayMs + 4_000) : 0,
      retentionMs: random.chance(350) ? random.pick(RETENTIONS_MS) : -1,
      traceparent: '',
      foreground: false,
      seed: random.u32(),
      ...fields,
    };
  }

  /** A job whose payload is a blob. */
  large(blob: BlobRef): JobSpec {
    return this.next({ payload: Buffer.alloc(0), payloadBlob: blob });
  }

  /** An id for something else than a job. */
  id(): string {
    return this.#ulids.next(this.#scene.wall);
  }

  #payload(): Buffer {
    this.#count += 1;
    return Buffer.from(`${this.#by} ${this.#count} ${'-'.repeat(this.#random.below(FILLER_MAX))}`);
  }

  #retry(): RetryPolicy {
    const random = this.#random;
    if (random.chance(250)) return ENDLESS_RETRY;
    return {
      maxAttempts: 1 + random.below(4),
      initialBackoffMs: random.pick([1, 50, 300]),
      maxBackoffMs: 1_000,
      multiplierPermille: 2_000,
      jitterPermille: 200,
    };
  }
}
