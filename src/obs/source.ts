import type { QueueView } from '../core/types.js';

/**
 * What the metrics read from a node, once per scrape. Whoever wires the process implements it. All of it is
 * answered from memory, at once.
 */
export interface MetricsSource {
  readonly node: string;
  readonly version: string;
  clusterName(): string;
  phase(): string;
  /** Wall ms, the best known server time: ages are counted against it. */
  wallMs(): number;
  /** Null before the node belongs to a cluster. */
  state(): StateReading | null;
  peers(): readonly PeerReading[];
  traffic(): readonly TrafficReading[];
  droppedConnections(): number;
  refusedFrames(): number;
  /** Open connections at the Gearman port. */
  gearmanConnections(): number;
  limits(): readonly LimitReading[];
}

/** The replicated state as applied here, and what this node knows about its log and its disk. */
export interface StateReading {
  readonly queues: readonly QueueView[];
  readonly counts: {
    readonly jobs: number;
    readonly waiting: number;
    readonly running: number;
    readonly sessions: number;
    readonly functions: number;
    readonly dedupeEntries: number;
    readonly payloadBytes: number;
    readonly spilledJobs: number;
    readonly spillLoads: number;
    readonly schedules: number;
    /** Since the cluster formed. */
    readonly firings: { readonly created: number; readonly coalesced: number; readonly skipped: number };
  };
  /** Worker sessions whose connection is at this node, and the jobs that they would still take. */
  readonly here: { readonly sessions: number; readonly credits: number };
  readonly raft: {
    readonly role: string;
    readonly term: number;
    /** '' while none is known. */
    readonly leader: string;
    readonly leaderlessMs: number;
    readonly commit: number;
    readonly applied: number;
    readonly lastIndex: number;
    readonly durableIndex: number;
  };
  readonly storage: {
    readonly walBytes: number;
    readonly walSegments: number;
    readonly spillBytes: number;
    /** Null while there is no snapshot. */
    readonly snapshot: { readonly bytes: number; readonly takenWall: number; readonly index: number } | null;
    /** Free space is below the reserve: no new jobs. */
    readonly diskLow: boolean;
  };
  /** Payloads and results outside the log, as far as they concern this node. */
  readonly blobs: {
    readonly held: number;
    readonly bytes: number;
    readonly missing: number;
    readonly fetched: number;
    readonly failedFetches: number;
    readonly uploads: number;
  };
  /** `agrees` false: another node's state differs at the same index. */
  readonly hash: { readonly index: number; readonly agrees: boolean };
}

export interface PeerReading {
  readonly peer: string;
  readonly connected: boolean;
  /** Entries that the peer has not applied yet of those committed here; null: not known. */
  readonly lagEntries: number | null;
  /** Its wall clock less the one here, milliseconds; null: not known. */
  readonly clockOffsetMs: number | null;
}

export interface TrafficReading {
  readonly peer: string;
  readonly channel: string;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly sentFrames: number;
  readonly receivedFrames: number;
}

export interface LimitReading {
  readonly name: string;
  readonly value: number;
  /** How much of it is taken; null: not counted here. */
  readonly used: number | null;
}
