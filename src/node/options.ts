import type { Clock } from '../base/clock.js';
import type { Random } from '../base/random.js';
import type { Settings } from '../core/types.js';
import type { PeerAddress, Transport } from '../peer/types.js';
import type { Disk } from '../storage/disk.js';

/** Structured log, of the shape that pino has: fields first. One line per event that an operator cares about. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** What a node tells its metrics while it works; everything else they read from the node when they are scraped. */
export interface NodeObserver {
  /** One write and fdatasync of the log, in milliseconds, and the bytes that it made durable. */
  synced(milliseconds: number): void;
  /** A batch of this node, from its first send until it was applied here, in milliseconds. */
  proposed(milliseconds: number, answers: number): void;
  applied(entries: number): void;
  /** '': none is known any more. */
  leaderChanged(leader: string, term: number): void;
  /** A job began on a worker of this node: from its coming into the queue to the assignment, in microseconds. */
  started(microseconds: number): void;
  /** A worker of this node ended a job, however: from submission to the end, in microseconds. */
  ended(microseconds: number): void;
  snapshotTaken(milliseconds: number, bytes: number): void;
  /** A snapshot, of this node or on its way to it, was given up because the disk is full. */
  snapshotFailed(): void;
}

export interface NodeTimings {
  /** Shortest time without a leader before a node campaigns; the longest is twice that. Milliseconds. */
  readonly electionTimeoutMs: number;
  readonly heartbeatMs: number;
  /** Silence of a node after which the leader declares it down. Milliseconds. */
  readonly nodeDownMs: number;
  /** How far behind (in time) a node may apply before it is given no more jobs. Milliseconds. */
  readonly stalledMs: number;
  /** Time without a leader after which workers are sent elsewhere. Milliseconds. */
  readonly redirectMs: number;
  /** A leader whose wall clock is further than this from the median of the voters' hands over. Milliseconds. */
  readonly clockSkewMaxMs: number;
}

export const DEFAULT_TIMINGS: NodeTimings = {
  electionTimeoutMs: 400,
  heartbeatMs: 50,
  nodeDownMs: 2_000,
  stalledMs: 1_000,
  redirectMs: 3_000,
  clockSkewMaxMs: 2_000,
};

export interface NodeOptions {
  readonly name: string;
  readonly clusterName: string;
  readonly version: string;
  readonly disk: Disk;
  /** The data directory. */
  readonly directory: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly transport: Transport;
  /** Every node that forms the cluster, this one included. Alone or empty: a cluster of one. */
  readonly peers: readonly PeerAddress[];
  /** Addresses at which clients and operators reach this node, `host:port`. */
  readonly advertised: { readonly grpc: string; readonly http: string; readonly peer: string };
  /** Seeds of the replicated settings; they count only when the cluster forms. */
  readonly settings: Partial<Settings>;
  readonly timings: NodeTimings;
  readonly segmentBytes: number;
  /** Log bytes since the last snapshot that make the next one due. */
  readonly snapshotLogBytes: number;
  /** Log bytes kept on disk behind a snapshot, for nodes that lag a little. */
  readonly keepLogBytes: number;
  /** Log bytes kept in memory. */
  readonly logMemoryBytes: number;
  /** About how much memory jobs may take before some are put on disk. */
  readonly jobsMemoryBytes: number;
  /** Free bytes below which no new jobs are accepted. */
  readonly diskReserveBytes: number;
  /** Bytes of proposals of this node that wait for their commit. */
  readonly pendingBytesMax: number;
  readonly drainMs: number;
  /** Payloads and results outside the log that callers send to this node at a time. */
  readonly blobUploadsMax: number;
  readonly log: Log;
  readonly observer: NodeObserver;
  /** The node cannot go on (a failed sync, a broken invariant): the process must end. */
  readonly onFatal: (error: Error) => void;
}
