/**
 * The narrow interface behind which a Raft core lives. Pure: messages and ticks go in, and a bundle of work
 * comes out (what to persist, send and apply). Only this folder knows which library does the work.
 */

import type { LogOutline } from '../base/log-outline.js';

/** A Raft id: a whole number, 1 to 2^53 - 1, derived from the random id of a data directory. */
export type RaftId = number;

export type EntryKind = 'command' | 'membership';

export interface LogEntry {
  readonly term: number;
  readonly index: number;
  readonly kind: EntryKind;
  /** Opaque. Empty for the entry with which a leader opens its term. */
  readonly data: Uint8Array;
}

/** What Raft must find again after a crash besides the log (Raft paper, figure 2). `vote` 0: none. */
export interface HardState {
  readonly term: number;
  readonly vote: RaftId;
  readonly commit: number;
}

/** Who takes part. `outgoing` is not empty while a joint configuration is in force (Raft paper, section 6). */
export interface Membership {
  readonly voters: readonly RaftId[];
  readonly outgoing: readonly RaftId[];
  readonly learners: readonly RaftId[];
  readonly learnersNext: readonly RaftId[];
  readonly autoLeave: boolean;
}

/** The place in the log that a snapshot stands for. */
export interface SnapshotMark {
  readonly index: number;
  readonly term: number;
  readonly membership: Membership;
}

/** A message between two cores. Opaque but for the fields here; `toWire`/`fromWire` carry it. */
export interface RaftMessage {
  readonly to: RaftId;
  readonly from: RaftId;
  readonly term: number;
  /** True for votes, heartbeats and their answers: must never wait behind bulk data. */
  readonly control: boolean;
  /** Set on the message that tells a laggard to take a snapshot; the driver moves the content itself. */
  readonly snapshot: SnapshotMark | null;
  readonly body: unknown;
}

export interface MembershipChange {
  readonly kind: 'add-learner' | 'promote' | 'remove';
  readonly id: RaftId;
}

export interface MembershipProposal {
  /** Applied together, through a joint configuration where there is more than one. */
  readonly changes: readonly MembershipChange[];
  /** Opaque bytes handed back with the committed entry. */
  readonly context: Uint8Array;
}

export type Role = 'leader' | 'follower' | 'candidate' | 'learner';

export interface Standing {
  readonly role: Role;
  readonly term: number;
  /** 0 while none is known. */
  readonly leader: RaftId;
}

export interface PeerProgress {
  readonly id: RaftId;
  readonly match: number;
  readonly next: number;
  readonly state: 'probe' | 'replicate' | 'snapshot';
  readonly active: boolean;
  readonly learner: boolean;
}

export interface ConsensusStatus extends Standing {
  readonly id: RaftId;
  readonly vote: RaftId;
  readonly commit: number;
  readonly applied: number;
  readonly firstIndex: number;
  readonly lastIndex: number;
  /** First entry in memory: those of the log before it are on disk alone. */
  readonly heldFrom: number;
  readonly durableIndex: number;
  readonly membership: Membership;
  /** Only at the leader. */
  readonly progress: readonly PeerProgress[];
  /**
   * At the leader: a member needs a snapshot, but the newest mark is older than its membership and would be of no
   * use to it. Make a snapshot and say so by `compact`.
   */
  readonly snapshotWanted: boolean;
}

/**
 * Everything to do since the last `take`. Order: install `snapshot`; write `hardState` and `entries` (an entry
 * whose index exists replaces it and all behind it); send `messages` at once, even before the write returns;
 * after the write is on disk call `persisted` (which frees held answers for the next `take`).
 */
export interface Output {
  readonly hardState: HardState | null;
  readonly entries: readonly LogEntry[];
  readonly snapshot: SnapshotMark | null;
  /** True where the write must be synced before what depends on it may leave. */
  readonly mustSync: boolean;
  /** May leave at once. Answers that attest durability appear here only after `persisted`. */
  readonly messages: readonly RaftMessage[];
  /** Committed and durable here: apply in this order. */
  readonly committed: readonly LogEntry[];
  /** Reads that may be served once `index` is applied. */
  readonly reads: readonly { readonly context: string; readonly index: number }[];
  /** Set when role, term or leader differ from the last output's. */
  readonly standing: Standing | null;
  /** Number of this write; hand it back to `persisted`. 0 when there is nothing to write. */
  readonly write: number;
}

export type Proposed = 'accepted' | 'not-leader' | 'dropped';

/**
 * What was found on disk at the start (or what formation decided). Founders begin behind a mark with an index of
 * at least 1 and all founders in its membership; a node that joins later, with a mark of index 0 and no members:
 * so it can take part in the log only behind a snapshot, which tells it the membership.
 */
export interface InitialState {
  readonly hardState: HardState;
  readonly mark: SnapshotMark;
  /** Entries behind the mark (and `older`), ascending without a gap. All of them are durable. */
  readonly entries: readonly LogEntry[];
  /** Entries between the mark and those, all of them committed, that are in the archive alone. */
  readonly older?: LogOutline;
}

/** The log on disk, as far as it is written and synced. */
export interface LogSource {
  /**
   * Entries from `from` to `to` (both included), at least one and about `bytes` of data at most, in their newest form.
   * Throws where the disk fails or what it holds is damaged.
   */
  read(from: number, to: number, bytes: number): readonly LogEntry[];
}

/** Where entries that were applied can be read again, so that only the newest of them stay in memory. */
export interface LogArchive {
  /** Must have all entries from the log's first on, until `compact` moves that. */
  readonly source: LogSource;
  /** Bytes of the newest entries that stay in memory. */
  readonly keepBytes: number;
}

export interface ConsensusSettings {
  readonly id: RaftId;
  /** Ticks without a leader before an election; each node adds a random part of the same size. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** Bytes of entries in one append message. */
  readonly maxMessageBytes: number;
  /** Append messages under way to one peer. */
  readonly maxInflight: number;
  /** Bytes of entries not yet committed, above which proposals are dropped. */
  readonly maxUncommittedBytes: number;
  /** A whole number from 0 to `below` - 1. */
  readonly random: (below: number) => number;
  readonly log: (level: 'debug' | 'info' | 'warn' | 'error', message: string) => void;
}

export interface ConsensusOptions extends ConsensusSettings {
  readonly initial: InitialState;
  /** Without one, all of the log stays in memory. */
  readonly archive?: LogArchive;
}

export interface Consensus {
  tick(): void;
  step(message: RaftMessage): void;
  /** Appends at the leader, all or nothing, in this order. */
  propose(entries: readonly Uint8Array[]): Proposed;
  /** At the leader: bytes of entries that were not handed out as committed yet. */
  readonly uncommittedBytes: number;
  proposeMembership(proposal: MembershipProposal): Proposed;
  /** Null when there is nothing to do. */
  take(): Output | null;
  /** The output's write (and all before it) is on disk. */
  persisted(write: number): void;
  /** Entries up to here went through the state machine. */
  applied(index: number): void;
  /** To be called for each committed membership entry, in order, before `applied`. */
  applyMembership(entry: LogEntry): { membership: Membership; context: Uint8Array };
  /**
   * At the leader: who is told of a newer commit index at once. The others are told with the next entries, or by
   * `tellNews`; null, as it is in the beginning: everyone at once.
   */
  hurry(ids: ReadonlySet<RaftId> | null): void;
  /** True where somebody has not been told the commit index yet. */
  readonly newsWaits: boolean;
  /** With the next `take` all are told. */
  tellNews(): void;
  /** Asks for a linearizable read: appears in `reads` with this context. False: no leader known, ask again. */
  readIndex(context: string): boolean;
  transferTo(id: RaftId): void;
  /** Fast failover: campaign without waiting for the election timeout. */
  campaign(): void;
  /** Leader only: give the office up, e.g. after it removed itself. */
  stepDown(): void;
  reportUnreachable(id: RaftId): void;
  reportSnapshot(id: RaftId, ok: boolean): void;
  /** A snapshot at `mark` is durable; entries up to `keepFrom` - 1 may be forgotten, and are not read any more. */
  compact(mark: SnapshotMark, keepFrom: number): void;
  status(): ConsensusStatus;
}
