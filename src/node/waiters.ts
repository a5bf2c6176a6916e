import type { Core } from '../core/interface.js';
import { Gathered } from './gathered.js';
import type { Origin } from './origin.js';

/**
 * Clients of this node that wait for jobs and let them be dropped when nobody does. Their submissions count them in the
 * replicated state, in the present life of the node; here is what must be said when one of them leaves, or when a new
 * life begins.
 */
export class Waiters {
  readonly #core: Core;
  readonly #changes: Gathered;
  /** By seq. */
  readonly #here = new Map<number, number>();

  constructor(core: Core, origin: Origin) {
    this.#core = core;
    this.#changes = new Gathered(origin, (builder, changes) => builder.waiters(changes));
  }

  /** Called while the submission is applied that counts the client. */
  counted(seq: number): void {
    this.#here.set(seq, (this.#here.get(seq) ?? 0) + 1);
  }

  /** One of them waits no longer. The end of a job needs no word. */
  leaves(seq: number): void {
    const count = this.#here.get(seq);
    if (count === undefined) return;
    if (count === 1) this.#here.delete(seq);
    else this.#here.set(seq, count - 1);
    if (this.#isLive(seq)) this.#changes.add(seq, -1);
  }

  /** This life of the node is over, and with it what the state has counted for it: the next says it anew. */
  reborn(): void {
    this.#changes.void();
    for (const [seq, count] of this.#here) if (this.#isLive(seq)) this.#changes.add(seq, count);
  }

  #isLive(seq: number): boolean {
    const state = this.#core.stateOf(seq);
    return state === 'scheduled' || state === 'queued' || state === 'running';
  }
}
