import type { StatusBoard } from './status.js';

/** What a node tells the others of its snapshots: none is due, one waits for the others' to end, one is being taken. */
export type SnapshotStage = 'none' | 'due' | 'taking';

/** Nodes become due this share of the log bytes one after the other, so that each knows of the one before it. */
const APART = 0.04;
/** After this share of them a snapshot is taken whatever the others do. */
export const LATEST = 1.5;

export interface SnapshotTurnsParts {
  readonly ownName: string;
  readonly board: Pick<StatusBoard, 'of' | 'reachableSince'>;
  readonly peerNames: () => readonly string[];
  /** The stage is another one: the others should know. */
  readonly changed: () => void;
}

/**
 * All nodes have the same log, so all their snapshots would be due at the same moment, and no majority would be left whose
 * disks and cores have nothing else to do. They take turns instead.
 */
export class SnapshotTurns {
  readonly #parts: SnapshotTurnsParts;
  #stage: SnapshotStage = 'none';

  constructor(parts: SnapshotTurnsParts) {
    this.#parts = parts;
  }

  get stage(): SnapshotStage {
    return this.#stage;
  }

  /** True where it is this node's turn. `share`: log bytes since its last snapshot, by those that make one due. */
  comes(share: number): boolean {
    if (share < 1) {
      // Another's snapshot took the place of what was due.
      if (this.#stage === 'due') this.#enter('none');
      return false;
    }
    const names = this.#parts.peerNames();
    const before = names.filter((name) => name < this.#parts.ownName).length;
    if (share < 1 + before * APART) return false;
    if (share >= LATEST || !names.some((name) => this.#goesFirst(name))) return true;
    this.#enter('due');
    return false;
  }

  begin(): void {
    this.#enter('taking');
  }

  end(): void {
    this.#enter('none');
  }

  #goesFirst(name: string): boolean {
    const { board, ownName } = this.#parts;
    if (board.reachableSince(name) === 0) return false;
    const stage = board.of(name)?.status.snapshot;
    return stage === 'taking' || (stage === 'due' && name < ownName);
  }

  #enter(stage: SnapshotStage): void {
    if (this.#stage === stage) return;
    this.#stage = stage;
    this.#parts.changed();
  }
}
