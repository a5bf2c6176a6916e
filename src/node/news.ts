import type { Clock } from '../base/clock.js';
import type { Consensus, ConsensusStatus, RaftId } from '../consensus/types.js';
import type { StatusBoard } from './status.js';

/** So long the commit index may wait for log that it can go along with, where nobody waits for it. */
const NEWS_MS = 5;
/** Who handed over a batch so recently has callers that wait for what comes of it. */
const CALLED_MS = 1_000;

export interface NewsParts {
  readonly clock: Clock;
  readonly consensus: Pick<Consensus, 'hurry' | 'newsWaits' | 'tellNews'>;
  readonly board: Pick<StatusBoard, 'of'>;
  readonly nameOf: (raftId: number) => string | null;
  readonly askTurn: () => void;
}

/**
 * At the leader: which nodes must hear at once what is committed. Those with clients or workers do; the others hear of it
 * with the next entry, or a moment later, which spares every node a message and a wake-up for each entry.
 */
export class News {
  readonly #parts: NewsParts;
  readonly #calledMs = new Map<string, number>();
  readonly #quiet = new Map<string, RaftId>();
  #hurried = new Set<RaftId>();
  #planned = false;

  constructor(parts: NewsParts) {
    this.#parts = parts;
  }

  /** To be called a few times per second, also where this node does not lead (no progress). */
  weigh({ id: own, progress }: Pick<ConsensusStatus, 'id' | 'progress'>): void {
    const { clock, board, consensus } = this.#parts;
    const calledAfter = clock.monotonicMs() - CALLED_MS;
    this.#quiet.clear();
    this.#hurried = new Set();
    for (const { id } of progress) {
      if (id === own) continue;
      const name = this.#parts.nameOf(id) ?? '';
      const called = (this.#calledMs.get(name) ?? Number.NEGATIVE_INFINITY) > calledAfter;
      // Of whom nothing is known yet, anyone may wait there.
      if (called || board.of(name)?.status.attached !== false) this.#hurried.add(id);
      else this.#quiet.set(name, id);
    }
    // Who begins to lead tells everyone, until it has weighed for the first time.
    consensus.hurry(progress.length === 0 ? null : this.#hurried);
  }

  /** A batch of this node's callers came: until some time after it they are waited for. */
  called(name: string): void {
    this.#calledMs.set(name, this.#parts.clock.monotonicMs());
    const id = this.#quiet.get(name);
    if (id === undefined) return;
    this.#quiet.delete(name);
    this.#hurried.add(id);
    this.#parts.consensus.hurry(this.#hurried);
  }

  /** At the end of a turn. */
  look(): void {
    if (this.#planned || !this.#parts.consensus.newsWaits) return;
    this.#planned = true;
    this.#parts.clock.setTimer(NEWS_MS, () => {
      this.#planned = false;
      if (!this.#parts.consensus.newsWaits) return;
      this.#parts.consensus.tellNews();
      this.#parts.askTurn();
    });
  }
}
