import type { Clock } from '../base/clock.js';
import { invariant } from '../base/invariant.js';
import type { Consensus, Membership, RaftMessage, SnapshotMark } from '../consensus/types.js';
import type { Core } from '../core/interface.js';
import type { PeerFrame, Transport } from '../peer/types.js';
import type { SnapshotStore, Wal } from '../storage/types.js';
import { FullDisk } from './full-disk.js';
import type { Log, NodeObserver } from './options.js';
import { SnapshotReceiver } from './snapshot-receiver.js';
import { SnapshotSender } from './snapshot-sender.js';
import type { SnapshotTurns } from './snapshot-turns.js';

/** Work on a snapshot in one turn. */
const SLICE_MS = 2;

export interface SnapshottingParts {
  readonly core: Core;
  readonly consensus: Consensus;
  readonly wal: Wal;
  readonly store: SnapshotStore;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: NodeObserver;
  readonly turns: Pick<SnapshotTurns, 'comes' | 'begin' | 'end'>;
  /** Log bytes since the last snapshot that make the next one due. */
  readonly everyLogBytes: number;
  readonly keepLogBytes: number;
  /** Bytes that can still be written. */
  readonly freeBytes: () => Promise<number>;
  readonly nameOf: (raftId: number) => string | null;
  readonly termAt: (index: number) => number;
  readonly membership: () => Membership;
  /** A whole snapshot arrived and is durable: its message may go to the core. */
  readonly arrived: (message: RaftMessage) => void;
  readonly fatal: (error: Error) => void;
}

/**
 * Snapshots of this node's state, a slice per turn while the state goes on changing; and their way to nodes that
 * lag so far behind that the log they miss is gone.
 */
export class Snapshotting {
  readonly #parts: SnapshottingParts;
  #bytesSince = 0;
  readonly #recent: RecentLog;
  #taking: Promise<void> | null = null;
  readonly #full: FullDisk;
  readonly #sender: SnapshotSender;
  readonly #receiver: SnapshotReceiver;
  #stopped = false;
  #takenMs: number;

  constructor(parts: SnapshottingParts) {
    const { core, consensus, store, transport, clock, log, observer, freeBytes, arrived } = parts;
    this.#parts = parts;
    this.#recent = new RecentLog(parts.keepLogBytes);
    this.#takenMs = clock.monotonicMs();
    this.#full = new FullDisk({ clock, log, observer, freeBytes, again: () => this.check() });
    this.#sender = new SnapshotSender({ consensus, store, transport, clock, log });
    this.#receiver = new SnapshotReceiver({
      core,
      store,
      transport,
      clock,
      log,
      full: this.#full,
      storeFree: () => this.#taking ?? Promise.resolve(),
      arrived,
    });
  }

  /** Seconds since the last snapshot was finished (or the node started). */
  get ageSeconds(): number {
    return (this.#parts.clock.monotonicMs() - this.#takenMs) / 1000;
  }

  get busy(): boolean {
    return this.#taking !== null || this.#sender.busy;
  }

  /** Called for each applied entry. */
  entryApplied(index: number, bytes: number): void {
    this.#bytesSince += bytes;
    this.#recent.push(index, bytes);
  }

  /** After a run of applies: starts a snapshot when enough log has gathered. */
  check(): void {
    if (this.#taking !== null || this.#stopped) return;
    if (this.#parts.turns.comes(this.#bytesSince / this.#parts.everyLogBytes)) void this.take();
  }

  /** Takes one now; resolves when it is durable and the log behind it is released. */
  take(): Promise<void> {
    // A snapshot being sent must stay the newest one: its packs would be deleted under the reader.
    // While a snapshot is becoming the state there is none to take one of.
    const { core, store } = this.#parts;
    if (store.newest !== null && core.appliedIndex < store.newest.mark.index) return Promise.resolve();
    if (this.#sender.busy || this.#receiver.receiving || this.#full.pausing) return Promise.resolve();
    if (this.#taking !== null) return this.#taking;
    this.#parts.turns.begin();
    this.#taking = this.#take()
      .catch((error: unknown) => {
        if (!this.#stopped) this.#parts.fatal(error as Error);
      })
      .finally(() => {
        this.#taking = null;
        this.#parts.turns.end();
      });
    return this.#taking;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#full.stop();
    this.#sender.stop();
    await this.#taking;
    await this.#receiver.stop();
  }

  /** The core wants `message` (which names a snapshot) delivered: the newest snapshot goes along. */
  send(message: RaftMessage): void {
    const peer = this.#parts.nameOf(message.to);
    if (peer === null || this.#sender.sendsTo(peer)) return;
    const mark = message.snapshot;
    invariant(mark !== null, 'the message names a snapshot', { to: message.to });
    const stored = this.#parts.store.newest?.mark.index === mark.index;
    // One that arrived and was of no use here may be the newest: the next one of this state takes its place.
    if (!stored && this.#taking === null) void this.take();
    if (this.#taking !== null || !stored || this.#sender.pauses(peer)) {
      this.#parts.consensus.reportSnapshot(message.to, false);
      return;
    }
    this.#sender.start(peer, message, mark);
  }

  /** A piece of a snapshot from `from`. */
  piece(from: string, frame: Extract<PeerFrame, { type: 'piece' }>): void {
    this.#receiver.piece(from, frame);
  }

  /** What `from` has done with the pieces that it was sent. */
  pieceTaken(from: string, frame: Extract<PeerFrame, { type: 'piece-taken' }>): void {
    this.#sender.taken(from, frame);
  }

  peerLost(peer: string): void {
    this.#receiver.peerLost(peer);
  }

  /** The state was replaced by the snapshot that arrived. */
  installed(): void {
    this.#bytesSince = 0;
    this.#recent.clear();
    this.#takenMs = this.#parts.clock.monotonicMs();
  }

  async #take(): Promise<void> {
    const { core, clock, store, consensus, wal } = this.#parts;
    const began = clock.monotonicMs();
    await this.#receiver.over;
    const cursor = core.beginSnapshot();
    const mark: SnapshotMark = {
      index: cursor.index,
      term: this.#parts.termAt(cursor.index),
      membership: this.#parts.membership(),
    };
    const keepFrom = this.#recent.first ?? mark.index + 1;
    const bytesSince = this.#bytesSince;
    this.#bytesSince = 0;
    const writer = await store.begin(mark);
    try {
      let sliceEnd = clock.monotonicMs() + SLICE_MS;
      const skip = (key: string, version: number): boolean => writer.has(key, version);
      for (let page = cursor.next(skip); page !== null; page = cursor.next(skip)) {
        if (page.bytes === null) writer.reuse(page.key, page.version);
        else await writer.write({ key: page.key, version: page.version, bytes: page.bytes });
        if (this.#stopped) throw new Error('the node is stopping');
        if (clock.monotonicMs() < sliceEnd) continue;
        await new Promise<void>((resolve) => clock.defer(resolve));
        sliceEnd = clock.monotonicMs() + SLICE_MS;
      }
      await writer.finish();
    } catch (error) {
      cursor.cancel();
      await writer.abort();
      this.#bytesSince += bytesSince;
      if (this.#full.struck(error, { index: mark.index }, 'the disk is full: no snapshot could be taken'))
        return;
      throw error;
    }
    this.#full.passed();
    if (this.#stopped) return;
    // First the log, which reads what it has back from the disk; that keeps as much.
    consensus.compact(mark, keepFrom);
    await wal.release({ index: mark.index, term: mark.term }, keepFrom);
    this.#takenMs = clock.monotonicMs();
    const info = store.newest;
    this.#parts.observer.snapshotTaken(this.#takenMs - began, info?.bytes ?? 0);
    this.#parts.log.info(
      { index: mark.index, ms: Math.round(this.#takenMs - began), bytes: info?.bytes, pages: info?.pages },
      'snapshot taken',
    );
  }
}

/** The newest applied entries, up to so many bytes. */
class RecentLog {
  readonly #keepBytes: number;
  #entries: { readonly index: number; readonly bytes: number }[] = [];
  /** Those before this one are forgotten. */
  #from = 0;
  #bytes = 0;

  constructor(keepBytes: number) {
    this.#keepBytes = keepBytes;
  }

  /** Index of the oldest one, null where there is none. */
  get first(): number | null {
    return this.#entries[this.#from]?.index ?? null;
  }

  push(index: number, bytes: number): void {
    this.#entries.push({ index, bytes });
    this.#bytes += bytes;
    while (this.#bytes > this.#keepBytes) this.#bytes -= this.#entries[this.#from++]!.bytes;
    if (this.#from * 2 <= this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#from);
    this.#from = 0;
  }

  clear(): void {
    this.#entries = [];
    this.#from = 0;
    this.#bytes = 0;
  }
}
