import type { Membership, RaftMessage } from '../consensus/types.js';
import type { EngineParts } from './engine-parts.js';
import type { SnapshotTurns } from './snapshot-turns.js';
import { Snapshotting } from './snapshotting.js';

/** What changes while an engine works, and whom its snapshots tell. */
export interface SnapshotsSurroundings {
  readonly turns: SnapshotTurns;
  readonly nameOf: (raftId: number) => string | null;
  /** Term of the newest entry applied. */
  readonly termAt: () => number;
  readonly membership: () => Membership;
  /** A whole snapshot arrived and is durable: its message may go to the core. */
  readonly arrived: (message: RaftMessage) => void;
  readonly fatal: (error: Error) => void;
}

/** The snapshots of this engine's node, own ones and those that come and go. */
export function snapshotsOf(parts: EngineParts, around: SnapshotsSurroundings): Snapshotting {
  const { core, consensus, wal, store, options } = parts;
  return new Snapshotting({
    core,
    consensus,
    wal,
    store,
    transport: options.transport,
    clock: options.clock,
    log: options.log,
    observer: options.observer,
    everyLogBytes: options.snapshotLogBytes,
    keepLogBytes: options.keepLogBytes,
    freeBytes: () => options.disk.freeBytes(options.directory),
    ...around,
  });
}
