import type { ConfState } from '@coaty/consensus.raft/ported/raftpb/raft.pb.js';
import { EntryType, HardState, Snapshot } from '@coaty/consensus.raft/ported/raftpb/raft.pb.js';
import type { Storage } from '@coaty/consensus.raft/ported/storage.js';
import {
  ErrCompacted,
  ErrSnapshotTemporarilyUnavailable,
  ErrUnavailable,
} from '@coaty/consensus.raft/ported/storage.js';
import { invariant } from '../base/invariant.js';
import { idOf, ridOf } from './ids.js';
import { confStateOf } from './membership.js';
import { countMax, entryCost } from './sizes.js';
import type { EntryKind, InitialState, LogEntry, SnapshotMark } from './types.js';

const nothing = new Uint8Array(0);

/** An entry in the form that both the port and our callers read, so that nothing is copied between them. */
export class LogRecord implements LogEntry {
  term: number;
  index: number;
  readonly kind: EntryKind;
  readonly data: Uint8Array;

  constructor(term: number, index: number, kind: EntryKind, data: Uint8Array = nothing) {
    this.term = term;
    this.index = index;
    this.kind = kind;
    this.data = data;
  }

  get type(): EntryType {
    return this.kind === 'membership' ? EntryType.EntryConfChangeV2 : EntryType.EntryNormal;
  }

  static of(entry: LogEntry): LogRecord {
    return entry instanceof LogRecord
      ? entry
      : new LogRecord(entry.term, entry.index, entry.kind, entry.data);
  }
}

type Answer<T> = [T, Error | null];

/**
 * The log in memory, from the entry behind `base` on. The port reads it through its `Storage` interface
 * (methods with a capital letter); what it answers is what the core handed to the driver, not what is durable.
 */
export class MemoryLog implements Storage {
  readonly #hardState: HardState;
  readonly #confState: ConfState;
  /** Place of the entry before the first one held. */
  #base: { index: number; term: number };
  #mark: SnapshotMark;
  /** Port's id of the node for which the port asks, and whether one was found that the mark does not know. */
  snapshotFor = '';
  snapshotWanted = false;
  #records: LogRecord[];

  constructor(initial: InitialState) {
    const { hardState, mark, entries } = initial;
    const { voters, learners } = mark.membership;
    invariant(
      mark.index > 0 || voters.length + learners.length === 0,
      'members begin behind a mark above 0',
      {
        voters,
        learners,
      },
    );
    this.#mark = mark;
    this.#base = { index: mark.index, term: mark.term };
    this.#records = entries.map(LogRecord.of);
    this.#confState = confStateOf(mark.membership);
    let term = mark.term;
    for (const [i, record] of this.#records.entries()) {
      invariant(record.index === mark.index + 1 + i, 'the log found has no gap', { mark: mark.index, i });
      invariant(record.term >= term, 'terms never fall along the log', { index: record.index, term });
      term = record.term;
    }
    invariant(hardState.term >= term, 'the term found is not behind the log', {
      term: hardState.term,
      log: term,
    });
    // The commit index may be ahead of a log whose torn tail was cut: nothing behind the end counts.
    const commit = Math.min(Math.max(hardState.commit, mark.index), this.lastIndex);
    this.#hardState = new HardState({ term: hardState.term, vote: ridOf(hardState.vote), commit });
  }

  get firstIndex(): number {
    return this.#base.index + 1;
  }

  get lastIndex(): number {
    return this.#base.index + this.#records.length;
  }

  get mark(): SnapshotMark {
    return this.#mark;
  }

  /** Adds entries; one whose index exists replaces it and all behind it. */
  append(records: readonly LogRecord[]): void {
    const first = records[0];
    if (first === undefined) return;
    const at = first.index - this.firstIndex;
    invariant(at >= 0 && at <= this.#records.length, 'appended entries join the log', {
      first: first.index,
      from: this.firstIndex,
      to: this.lastIndex,
    });
    if (at < this.#records.length) this.#records.length = at;
    for (const record of records) this.#records.push(record);
  }

  /** The log goes on behind a snapshot that was installed. */
  restart(mark: SnapshotMark): void {
    this.#mark = mark;
    this.#base = { index: mark.index, term: mark.term };
    this.#records = [];
  }

  /** Notes a newer snapshot and forgets entries before `keepFrom`, as far as the newest snapshot covers them. */
  compact(mark: SnapshotMark, keepFrom: number): void {
    if (mark.index > this.#mark.index) {
      invariant(this.termAt(mark.index) === mark.term, 'a snapshot stands for an entry of this log', {
        index: mark.index,
        term: mark.term,
        found: this.termAt(mark.index),
      });
      this.#mark = mark;
      this.snapshotWanted = false;
    }
    const count = Math.min(keepFrom, this.#mark.index + 1) - this.firstIndex;
    if (count <= 0) return;
    const last = this.#records[count - 1]!;
    this.#base = { index: last.index, term: last.term };
    this.#records = this.#records.slice(count);
  }

  /** Null where the index is outside of what is held. */
  termAt(index: number): number | null {
    if (index === this.#base.index) return this.#base.term;
    return this.#records[index - this.firstIndex]?.term ?? null;
  }

  /** Entries from `from` to `to` (both included), at least one, no more than `most` or than fit in `bytes`. */
  range(from: number, to: number, bytes: number, most: number): LogRecord[] {
    const at = from - this.firstIndex;
    const end = Math.min(to - from + 1, most);
    let size = 0;
    let count = 0;
    while (count < end) {
      size += entryCost(this.#records[at + count]!.data.length);
      if (count > 0 && size > bytes) break;
      count++;
    }
    return this.#records.slice(at, at + count);
  }

  InitialState(): [HardState, ConfState, null] {
    return [this.#hardState, this.#confState, null];
  }

  Entries(low: number, high: number, maxSize: number): Answer<LogRecord[]> {
    if (low < this.firstIndex) return [[], new ErrCompacted()];
    if (high > this.lastIndex + 1) return [[], new ErrUnavailable()];
    // The port asks for eight times what it wants, and sends what comes back uncut when it is not all.
    const bytes = maxSize / 8;
    return [this.range(low, high - 1, bytes, countMax(bytes)), null];
  }

  Term(index: number): Answer<number> {
    if (index < this.#base.index) return [0, new ErrCompacted()];
    const term = this.termAt(index);
    return term === null ? [0, new ErrUnavailable()] : [term, null];
  }

  FirstIndex(): Answer<number> {
    return [this.firstIndex, null];
  }

  LastIndex(): Answer<number> {
    return [this.lastIndex, null];
  }

  /**
   * The metadata alone: the driver moves the content. A node would refuse a snapshot that does not know it, and
   * the leader would wait for it in vain: such a node has to wait for a newer one.
   */
  Snapshot(): Answer<Snapshot> {
    if (!knows(this.#mark, this.snapshotFor)) {
      this.snapshotWanted = true;
      // The port compares with `typeof`, so that only the class itself is understood as "not now".
      return [new Snapshot(), ErrSnapshotTemporarilyUnavailable as unknown as Error];
    }
    return [snapshotOf(this.#mark), null];
  }
}

function knows(mark: SnapshotMark, rid: string): boolean {
  const id = idOf(rid);
  const { voters, outgoing, learners } = mark.membership;
  return mark.index > 0 && (voters.includes(id) || outgoing.includes(id) || learners.includes(id));
}

export function snapshotOf(mark: SnapshotMark): Snapshot {
  const metadata = { index: mark.index, term: mark.term, confState: confStateOf(mark.membership) };
  return new Snapshot({ metadata });
}
