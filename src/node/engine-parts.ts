import type { Consensus, Membership } from '../consensus/types.js';
import type { Core } from '../core/interface.js';
import type { BlobStore, OpenSpill } from '../storage/index.js';
import type { SnapshotStore, Wal } from '../storage/types.js';
import type { Asking } from './asking.js';
import type { Member } from './members.js';
import type { NodeOptions } from './options.js';

/** What an engine is made of, and whom it tells. */
export interface EngineParts {
  readonly options: NodeOptions;
  readonly core: Core;
  readonly consensus: Consensus;
  readonly wal: Wal;
  readonly store: SnapshotStore;
  readonly blobStore: BlobStore;
  readonly spill: OpenSpill;
  readonly asking: Asking;
  /** Raft id and members as they stood at the start. */
  readonly raftId: number;
  readonly membership: Membership;
  readonly members: readonly Member[];
  readonly appliedTerm: number;
  readonly membersChanged: (members: readonly Member[]) => void;
  /** This node has its incarnation and applied it: it can serve. */
  readonly ready: () => void;
  /** The node counts as restarted for those who hold connections here. */
  readonly reborn: () => void;
  /** The state at this index differs from what a majority has: nobody may act on it. */
  readonly astray: (index: number) => void;
  /** The state is now a snapshot's: durable, with the log behind it. */
  readonly installed: () => Promise<void>;
  readonly queuesChanged: () => void;
  /** A job was assigned to this session, whichever it is: the unary calls may wait for it. */
  readonly polled: (session: number) => void;
  /** A unary call waits for jobs. */
  readonly polling: () => boolean;
  /** After a run of applies. */
  readonly delivered: () => void;
}
