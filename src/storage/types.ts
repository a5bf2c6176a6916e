import type { LogOutline } from '../base/log-outline.js';
import type { HardState, LogEntry, LogSource, SnapshotMark } from '../consensus/types.js';

/** Who the directory belongs to. Written once at its birth, extended once when the cluster forms. */
export interface Identity {
  readonly formatVersion: number;
  /** Random, 16 bytes as hex, made when the directory is made. The Raft id derives from it. */
  readonly diskId: string;
  readonly nodeName: string;
  /** Null until the cluster formed or the node was added to one. */
  readonly cluster: { readonly id: string; readonly name: string } | null;
}

/** What a damaged log means for the node: below an offset known as synced, it may have lost acknowledged entries. */
export interface Damage {
  readonly file: string;
  readonly offset: number;
  /** One sentence for the operator: what was found, what follows, what to do. */
  readonly message: string;
}

export interface WalRecovery {
  /** Null in a new log. */
  readonly hardState: HardState | null;
  /** Of all entries found; they begin at or before `mark.index` + 1 of the newest mark. */
  readonly outline: LogOutline;
  /**
   * The last of them, to the end: those that are not known as committed, and as many of the newest as are to be kept. The
   * others are read by `Wal.read` where they are needed.
   */
  readonly entries: readonly LogEntry[];
  /** Last mark recorded by `reset` or `release`: entries up to its index may be missing. */
  readonly mark: { readonly index: number; readonly term: number };
  readonly damage: Damage | null;
  /** Bytes of a torn tail that were cut off (never acknowledged). */
  readonly tornBytes: number;
}

/**
 * The write-ahead log. `append` gathers, `sync` writes all that was gathered (in one go, unless it is very much) and
 * returns once fdatasync has returned; at most one `sync` may be under way. A rejected `sync` is final: the node stops.
 * `read` knows what a `sync` that has returned has written, and what was found at the start.
 */
export interface Wal extends LogSource {
  /** Keeps the entries' bytes without copying them: they must not change until `sync` has returned. */
  append(hardState: HardState | null, entries: readonly LogEntry[]): void;
  sync(): Promise<void>;
  /**
   * Entries up to and including `mark.index` are covered by a durable snapshot: drops or recycles whole segments. Those
   * from `keepFrom` on stay readable; unless told, only what lies behind the mark.
   */
  release(mark: { index: number; term: number }, keepFrom?: number): Promise<void>;
  /** After a snapshot was installed: everything in the log is void, it goes on behind `mark`. */
  reset(mark: { index: number; term: number }, hardState: HardState): Promise<void>;
  /** Bytes written to the segments in use; what is made ahead or kept for recycling does not count. */
  readonly bytes: number;
  /** Segments in use. */
  readonly segments: number;
  close(): Promise<void>;
}

/** One page of a snapshot: `key` names it within the state, `version` tells whether it changed since. */
export interface SnapshotPage {
  readonly key: string;
  readonly version: number;
  readonly bytes: Uint8Array;
}

/**
 * Writes one snapshot; nothing of it counts until `finish` resolves (temporary name, checksum, sync, rename, sync).
 * After a rejected `write` it must be given up by `abort`, which is harmless after `finish` and when repeated.
 */
export interface SnapshotWriter {
  /** True where the newest finished snapshot holds this page in this version: then `reuse` instead of `write`. */
  has(key: string, version: number): boolean;
  reuse(key: string, version: number): void;
  /** One page after the other; its bytes must not change until it resolves. */
  write(page: SnapshotPage): Promise<void>;
  finish(): Promise<void>;
  abort(): Promise<void>;
}

export interface SnapshotInfo {
  readonly mark: SnapshotMark;
  readonly bytes: number;
  readonly pages: number;
}

export interface SnapshotStore {
  /** Newest whole snapshot, null when there is none. */
  readonly newest: SnapshotInfo | null;
  /** A manifest or page of the newest snapshot that cannot be trusted; null again once another snapshot is finished. */
  readonly damage: Damage | null;
  begin(mark: SnapshotMark): Promise<SnapshotWriter>;
  /** Pages of the newest snapshot, checked against their checksums; throws on damage. */
  pages(): AsyncIterable<SnapshotPage>;
  close(): Promise<void>;
}
