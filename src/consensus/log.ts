import type { ConfState } from '@coaty/consensus.raft/ported/raftpb/raft.pb.js';
import { EntryType, HardState, Snapshot } from '@coaty/consensus.raft/ported/raftpb/raft.pb.js';
import type { Storage } from '@coaty/consensus.raft/ported/storage.js';
import {
  ErrCompacted,
  ErrSnapshotTemporarilyUnavailable,
  ErrUnavailable,
} from '@coaty/consensus.raft/ported/storage.js';
import { invariant } from '../base/invariant.js';
import { LogOutline } from '../base/log-outline.js';
import { idOf, ridOf } from './ids.js';
import { confStateOf } from './membership.js';
import { countMax, entryCost, heldCost } from './sizes.js';
import type { EntryKind, InitialState, LogArchive, LogEntry, SnapshotMark } from './types.js';

const nothing = new Uint8Array(0);

/** Bytes read back from the disk at once, whatever was asked for. */
const readBackBytesMax = 4 * 1024 * 1024;
/** Entries leave memory once they are such a part of what is there: each cut copies the rest. */
const cutPart = 8;

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
 * The log, from the entry behind `base` on. The port reads it through its `Storage` interface
 * (methods with a capital letter); what it answers is what the core handed to the driver, not what is durable.
 * With an archive its old part is on disk alone: entries that are applied, or were known as committed when the node
 * started, so durable and never replaced. An outline of that part stays here, for Raft asks for terms again and again.
 * An entry's data may be a view of the frame or of the piece of a file in which it came, so up to one of those, with
 * entries that have left, is held by the oldest.
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
  readonly #archive: LogArchive | null;
  #records: LogRecord[];
  /** Entries from the base to the first record, which are on disk alone. */
  #older: LogOutline;
  #heldBytes = 0;
  /** How many records, from the first on, may leave memory; and their bytes. */
  #old = 0;
  #oldBytes = 0;

  constructor(initial: InitialState, archive: LogArchive | null = null) {
    const { hardState, mark, entries, older = new LogOutline(mark.index + 1) } = initial;
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
    this.#archive = archive;
    this.#records = entries.map(LogRecord.of);
    this.#older = older;
    this.#confState = confStateOf(mark.membership);
    const { first, last } = older;
    invariant(first === mark.index + 1, 'the log found begins behind its mark', { mark: mark.index, first });
    invariant(last < first || archive !== null, 'what is not handed over can be read', { first, last });
    invariant(last < first || last <= hardState.commit, 'what may be replaced is handed over', {
      last,
      commit: hardState.commit,
    });
    let term = Math.max(mark.term, older.termAt(last) ?? 0);
    for (const [i, record] of this.#records.entries()) {
      invariant(record.index === last + 1 + i, 'the log found has no gap', { last, i });
      invariant(record.term >= term, 'terms never fall along the log', { index: record.index, term });
      term = record.term;
      this.#heldBytes += costOf(record);
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
    return this.#older.last + this.#records.length;
  }

  /** First entry in memory; behind the last one where there is none. */
  get heldFrom(): number {
    return this.#older.last + 1;
  }

  /** What the entries in memory count. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  get mark(): SnapshotMark {
    return this.#mark;
  }

  /** Adds entries; one whose index exists replaces it and all behind it. */
  append(records: readonly LogRecord[]): void {
    const first = records[0];
    if (first === undefined) return;
    const at = first.index - this.heldFrom;
    invariant(at >= this.#old && at <= this.#records.length, 'appended entries join the log', {
      first: first.index,
      from: this.heldFrom + this.#old,
      to: this.lastIndex,
    });
    for (let i = at; i < this.#records.length; i++) this.#heldBytes -= costOf(this.#records[i]!);
    if (at < this.#records.length) this.#records.length = at;
    for (const record of records) {
      this.#records.push(record);
      this.#heldBytes += costOf(record);
    }
  }

  /** Entries up to `applied` may leave memory, but for the newest: many at once, so that it costs little for each. */
  forget(applied: number): void {
    if (this.#archive === null) return;
    const { keepBytes } = this.#archive;
    for (;;) {
      const record = this.#records[this.#old];
      if (record === undefined || record.index > applied) break;
      const oldBytes = this.#oldBytes + costOf(record);
      if (this.#heldBytes - oldBytes < keepBytes) break;
      this.#old++;
      this.#oldBytes = oldBytes;
    }
    if (this.#old === 0 || this.#oldBytes * cutPart < this.#heldBytes) return;
    for (let i = 0; i < this.#old; i++) {
      const { index, term, kind } = this.#records[i]!;
      this.#older.add(index, term, kind === 'membership');
    }
    this.#drop(this.#old);
  }

  /** The log goes on behind a snapshot that was installed. */
  restart(mark: SnapshotMark): void {
    this.#mark = mark;
    this.#base = { index: mark.index, term: mark.term };
    this.#drop(this.#records.length);
    this.#older = new LogOutline(mark.index + 1);
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
    const first = Math.min(keepFrom, this.#mark.index + 1);
    if (first <= this.firstIndex) return;
    this.#base = { index: first - 1, term: this.termAt(first - 1)! };
    this.#drop(first - this.heldFrom);
    this.#older.dropBefore(first);
  }

  /** The first `count` records leave memory. */
  #drop(count: number): void {
    if (count <= 0) return;
    for (let i = 0; i < count; i++) {
      const cost = costOf(this.#records[i]!);
      this.#heldBytes -= cost;
      if (i < this.#old) this.#oldBytes -= cost;
    }
    this.#old = Math.max(0, this.#old - count);
    this.#records = this.#records.slice(count);
  }

  /** Null where the index is outside of the log. */
  termAt(index: number): number | null {
    if (index === this.#base.index) return this.#base.term;
    if (index < this.#base.index) return null;
    if (index < this.heldFrom) return this.#older.termAt(index);
    return this.#records[index - this.heldFrom]?.term ?? null;
  }

  /** Whether any entry from `from` to `to` (both included) changes the membership; nothing is read for that. */
  changesMembership(from: number, to: number): boolean {
    if (this.#older.changesMembership(from, to)) return true;
    const end = Math.min(to, this.lastIndex) - this.heldFrom;
    for (let i = Math.max(from - this.heldFrom, 0); i <= end; i++) {
      if (this.#records[i]!.kind === 'membership') return true;
    }
    return false;
  }

  /**
   * Entries from `from` to `to` (both included), at least one, no more than `most` or than fit in `bytes`; not beyond
   * what is on disk alone where they begin there.
   */
  range(from: number, to: number, bytes: number, most: number): LogRecord[] {
    if (from < this.heldFrom) {
      const found = this.#readBack(from, Math.min(to, this.#older.last, from + most - 1), bytes);
      return fitting(found, 0, found.length, bytes, most);
    }
    return fitting(this.#records, from - this.heldFrom, to - from + 1, bytes, most);
  }

  #readBack(from: number, to: number, bytes: number): LogRecord[] {
    const found = this.#archive!.source.read(from, to, Math.min(bytes, readBackBytesMax)).map(LogRecord.of);
    invariant(found.length > 0 && found.length <= to - from + 1, 'entries are read back', { from, to });
    for (const [i, { index, term }] of found.entries()) {
      const fits = index === from + i && term === this.termAt(index);
      invariant(fits, 'an entry comes back as it left memory', { index, term, wanted: from + i });
    }
    return found;
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

function costOf(record: LogRecord): number {
  return heldCost(record.data.length);
}

/** Up to `count` of the records, from the one at `at` on. */
function fitting(
  records: readonly LogRecord[],
  at: number,
  count: number,
  bytes: number,
  most: number,
): LogRecord[] {
  const end = Math.min(count, most);
  let size = 0;
  let taken = 0;
  while (taken < end) {
    size += entryCost(records[at + taken]!.data.length);
    if (taken > 0 && size > bytes) break;
    taken++;
  }
  return records.slice(at, at + taken);
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
