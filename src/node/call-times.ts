import type { Core } from '../core/interface.js';
import type { Outcome } from '../core/types.js';
import type { Assignment, OutcomeResult } from './interface.js';
import type { NodeObserver } from './options.js';
import { hasEnded } from './sessions.js';

/** Leases remembered as counted; a request that is said again later than so many others counts a second time. */
const COUNTED_MAX = 10_000;

/** What the plain calls tell the observer: streams know when their jobs begin and end, these find out by their answers. */
export class CallTimes {
  readonly #observer: NodeObserver;
  /** By token, in the order of their answers. */
  readonly #counted = new Set<number>();

  constructor(observer: NodeObserver) {
    this.#observer = observer;
  }

  /** The same request said again gets the same leases, which began once. */
  leased(core: Core, jobs: readonly Assignment[]): void {
    for (const { token } of jobs) {
      if (this.#counted.has(token) || core.seqOfToken(token) === 0) continue;
      this.#counted.add(token);
      this.#observer.started(core.waitedUs(token));
    }
    for (const token of this.#counted) {
      if (this.#counted.size <= COUNTED_MAX) return;
      this.#counted.delete(token);
    }
  }

  /** Counts an outcome that ends its job. One that is said again finds its lease over, and counts no more. */
  async settled(core: Core, outcome: Outcome, answer: Promise<OutcomeResult>): Promise<OutcomeResult> {
    const seq = core.seqOfToken(outcome.token);
    const createdUs = core.assignedJob(seq)?.createdUs ?? 0;
    const result = await answer;
    if (seq !== 0 && result.error === null && hasEnded(core, { ...outcome, seq })) {
      this.#observer.ended(Math.max(0, core.elapsedUs - createdUs));
    }
    return result;
  }
}
