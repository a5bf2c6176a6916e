import type { Clock } from '../base/clock.js';
import type { Core } from '../core/interface.js';
import type { Log, NodeTimings } from './options.js';
import type { StatusBoard } from './status.js';

/** A stalled node is declared down after this many times the stall limit. */
const STALLED_DOWN_FACTOR = 10;

export interface SupervisorParts {
  readonly core: Core;
  readonly clock: Clock;
  readonly log: Log;
  readonly timings: NodeTimings;
  readonly board: StatusBoard;
  readonly ownName: string;
  readonly nodeDown: (incarnation: number) => void;
  readonly nodeStalled: (incarnation: number, stalled: boolean) => void;
}

interface Watch {
  /** Monotonic ms at which the node was last heard of. */
  heardMs: number;
  /** Commit index of the leader at `markMs`, to be applied by the node within the stall limit. */
  markIndex: number;
  markMs: number;
  /** Since when it is behind, 0 when it is not. */
  behindMs: number;
  said: boolean;
}

/**
 * The leader's eye on the nodes that hold workers and clients: silence for a while means down (a closed socket alone
 * does not), and a node that answers but applies nothing is stalled first and down later. A new leader starts anew.
 */
export class Supervisor {
  readonly #parts: SupervisorParts;
  readonly #watched = new Map<number, Watch>();

  constructor(parts: SupervisorParts) {
    this.#parts = parts;
  }

  reset(): void {
    this.#watched.clear();
  }

  /** To be called a few times per second at the open leader. `commit`: its commit index. */
  look(commit: number): void {
    const { core, clock, board, timings } = this.#parts;
    const now = clock.monotonicMs();
    const live = new Set<number>();
    for (const node of core.nodes()) {
      if (!node.up) continue;
      live.add(node.incarnation);
      if (node.name === this.#parts.ownName) continue;
      let watch = this.#watched.get(node.incarnation);
      if (watch === undefined) {
        watch = { heardMs: now, markIndex: 0, markMs: now, behindMs: 0, said: false };
        this.#watched.set(node.incarnation, watch);
      }
      const known = board.of(node.name);
      if (known !== null && known.atMs > watch.heardMs) watch.heardMs = known.atMs;
      if (now - watch.heardMs > timings.nodeDownMs) {
        if (!watch.said) {
          watch.said = true;
          this.#parts.log.warn(
            { peer: node.name, silentMs: Math.round(now - watch.heardMs) },
            'node is down',
          );
        }
        this.#parts.nodeDown(node.incarnation);
        continue;
      }
      this.#stall(node, watch, known?.status.applied ?? 0, commit, now);
    }
    for (const incarnation of this.#watched.keys()) {
      if (!live.has(incarnation)) this.#watched.delete(incarnation);
    }
  }

  #stall(
    node: { name: string; incarnation: number; stalled: boolean },
    watch: Watch,
    applied: number,
    commit: number,
    now: number,
  ): void {
    const { timings, log } = this.#parts;
    if (applied >= watch.markIndex) {
      watch.markIndex = commit;
      watch.markMs = now;
      watch.behindMs = 0;
      if (node.stalled) {
        log.info({ peer: node.name }, 'node has caught up and gets jobs again');
        this.#parts.nodeStalled(node.incarnation, false);
      }
      return;
    }
    if (now - watch.markMs <= timings.stalledMs) return;
    if (watch.behindMs === 0) watch.behindMs = now;
    if (!node.stalled) {
      log.warn(
        { peer: node.name, applied, wanted: watch.markIndex },
        'node applies too slowly and gets no more jobs',
      );
      this.#parts.nodeStalled(node.incarnation, true);
    } else if (now - watch.behindMs > timings.stalledMs * STALLED_DOWN_FACTOR) {
      log.warn(
        { peer: node.name, applied, wanted: watch.markIndex },
        'node stays behind and is declared down',
      );
      this.#parts.nodeDown(node.incarnation);
    }
  }
}
