import type { Clock } from '../base/clock.js';
import { invariant } from '../base/invariant.js';
import { messageFromWire, messageToWire } from '../consensus/index.js';
import type { Consensus, Membership, RaftMessage, SnapshotMark } from '../consensus/types.js';
import type { Core } from '../core/interface.js';
import type { PeerFrame, Transport } from '../peer/types.js';
import type { SnapshotStore, SnapshotWriter, Wal } from '../storage/types.js';
import type { Log, NodeObserver } from './options.js';

/** Work on a snapshot in one turn. */
const SLICE_MS = 2;
/** Pause before a full queue towards a laggard is tried again. */
const FULL_QUEUE_MS = 5;
/** A transfer that moves nothing for this long is given up. */
const TRANSFER_STALL_MS = 10_000;
/** After its last piece a snapshot must be installed within this time. */
const INSTALL_MS = 30_000;
const LOOK_MS = 20;

export interface SnapshottingParts {
  readonly core: Core;
  readonly consensus: Consensus;
  readonly wal: Wal;
  readonly store: SnapshotStore;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: NodeObserver;
  /** Log bytes since the last snapshot that start the next one. */
  readonly everyLogBytes: number;
  readonly keepLogBytes: number;
  readonly nameOf: (raftId: number) => string | null;
  readonly termAt: (index: number) => number;
  readonly membership: () => Membership;
  /** A whole snapshot arrived and is durable: its message may go to the core. */
  readonly arrived: (message: RaftMessage) => void;
  readonly fatal: (error: Error) => void;
}

interface Incoming {
  readonly from: string;
  readonly transfer: number;
  readonly message: RaftMessage;
  readonly writer: Promise<SnapshotWriter>;
  work: Promise<void>;
  next: number;
  /** Monotonic ms of the newest piece. */
  heardMs: number;
}

/**
 * Snapshots of this node's state, a slice per turn while the state goes on changing; and their way to nodes that
 * lag so far behind that the log they miss is gone.
 */
export class Snapshotting {
  readonly #parts: SnapshottingParts;
  #bytesSince = 0;
  #recent: { index: number; bytes: number }[] = [];
  #taking: Promise<void> | null = null;
  #sending = new Set<string>();
  #incoming: Incoming | null = null;
  /** The store takes one writer at a time: what was given up must be over before the next begins. */
  #givenUp: Promise<void> = Promise.resolve();
  #nextTransfer = 1;
  #stopped = false;
  #takenMs: number;

  constructor(parts: SnapshottingParts) {
    this.#parts = parts;
    this.#takenMs = parts.clock.monotonicMs();
  }

  /** Seconds since the last snapshot was finished (or the node started). */
  get ageSeconds(): number {
    return (this.#parts.clock.monotonicMs() - this.#takenMs) / 1000;
  }

  get busy(): boolean {
    return this.#taking !== null || this.#sending.size > 0;
  }

  /** Called for each applied entry. */
  entryApplied(index: number, bytes: number): void {
    this.#bytesSince += bytes;
    this.#recent.push({ index, bytes });
  }

  /** After a run of applies: starts a snapshot when enough log has gathered. */
  check(): void {
    if (this.#bytesSince < this.#parts.everyLogBytes || this.#stopped) return;
    void this.take();
  }

  /** Takes one now; resolves when it is durable and the log behind it is released. */
  take(): Promise<void> {
    // A snapshot being sent must stay the newest one: its packs would be deleted under the reader.
    if (this.#sending.size > 0 || this.#receiving()) return Promise.resolve();
    this.#taking ??= this.#take()
      .catch((error: unknown) => {
        if (!this.#stopped) this.#parts.fatal(error as Error);
      })
      .finally(() => {
        this.#taking = null;
      });
    return this.#taking;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#taking;
    if (this.#incoming !== null) this.#abandon(this.#incoming, 'the node is stopping');
    await this.#givenUp;
  }

  /** The core wants `message` (which names a snapshot) delivered: the newest snapshot goes along. */
  send(message: RaftMessage): void {
    const peer = this.#parts.nameOf(message.to);
    if (peer === null || this.#sending.has(peer)) return;
    const mark = message.snapshot;
    invariant(mark !== null, 'the message names a snapshot', { to: message.to });
    const stored = this.#parts.store.newest?.mark.index === mark.index;
    // One that arrived and was of no use here may be the newest: the next one of this state takes its place.
    if (!stored && this.#taking === null) void this.take();
    if (this.#taking !== null || !stored) {
      this.#parts.consensus.reportSnapshot(message.to, false);
      return;
    }
    this.#sending.add(peer);
    this.#parts.log.info({ peer, index: mark.index }, 'sending a snapshot to a node that lags');
    this.#send(peer, message, mark)
      .then(
        (ok) => this.#parts.consensus.reportSnapshot(message.to, ok),
        (error: unknown) => {
          this.#parts.log.warn({ peer, reason: (error as Error).message }, 'sending a snapshot failed');
          this.#parts.consensus.reportSnapshot(message.to, false);
        },
      )
      .finally(() => this.#sending.delete(peer));
  }

  /** A piece of a snapshot from `from`. */
  piece(from: string, frame: Extract<PeerFrame, { type: 'piece' }>): void {
    if (frame.seq === 0) {
      this.#begin(from, frame);
      return;
    }
    const incoming = this.#incoming;
    if (incoming === null || incoming.from !== from || incoming.transfer !== frame.transfer) return;
    if (frame.seq !== incoming.next) {
      this.#abandon(incoming, `piece ${frame.seq} came instead of ${incoming.next}`);
      return;
    }
    incoming.next += 1;
    incoming.heardMs = this.#parts.clock.monotonicMs();
    const page = readPage(frame.body);
    if (page === null && !frame.last) {
      this.#abandon(incoming, 'a piece is malformed');
      return;
    }
    incoming.work = incoming.work.then(async () => {
      if (this.#incoming !== incoming) return;
      const writer = await incoming.writer;
      if (page !== null) await writer.write(page);
      if (!frame.last) return;
      await writer.finish();
      if (this.#incoming === incoming) this.#incoming = null;
      if (this.#stopped) return;
      this.#parts.log.info({ from, index: incoming.message.snapshot!.index }, 'a snapshot arrived');
      this.#parts.arrived(incoming.message);
    });
    incoming.work.catch((error: unknown) => this.#abandon(incoming, (error as Error).message));
  }

  peerLost(peer: string): void {
    if (this.#incoming?.from === peer) this.#abandon(this.#incoming, 'the connection was lost');
  }

  /** The state was replaced by the snapshot that arrived. */
  installed(): void {
    this.#bytesSince = 0;
    this.#recent = [];
    this.#takenMs = this.#parts.clock.monotonicMs();
  }

  async #take(): Promise<void> {
    const { core, clock, store, consensus, wal } = this.#parts;
    const began = clock.monotonicMs();
    await this.#givenUp;
    const cursor = core.beginSnapshot();
    const mark: SnapshotMark = {
      index: cursor.index,
      term: this.#parts.termAt(cursor.index),
      membership: this.#parts.membership(),
    };
    const recent = this.#recent;
    this.#bytesSince = 0;
    this.#recent = [];
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
      throw error;
    }
    if (this.#stopped) return;
    consensus.compact(mark, keepFrom(recent, mark.index, this.#parts.keepLogBytes));
    await wal.release({ index: mark.index, term: mark.term });
    this.#takenMs = clock.monotonicMs();
    const info = store.newest;
    this.#parts.observer.snapshotTaken(this.#takenMs - began, info?.bytes ?? 0);
    this.#parts.log.info(
      { index: mark.index, ms: Math.round(this.#takenMs - began), bytes: info?.bytes, pages: info?.pages },
      'snapshot taken',
    );
  }

  async #send(peer: string, message: RaftMessage, mark: SnapshotMark): Promise<boolean> {
    const { store } = this.#parts;
    const transfer = this.#nextTransfer++;
    let seq = 0;
    await this.#push(peer, {
      type: 'piece',
      transfer,
      seq: seq++,
      last: false,
      body: messageToWire(message),
    });
    for await (const page of store.pages()) {
      const body = [page.key, page.version, page.bytes];
      await this.#push(peer, { type: 'piece', transfer, seq: seq++, last: false, body });
    }
    await this.#push(peer, { type: 'piece', transfer, seq, last: true, body: null });
    return this.#installedThere(peer, message.to, mark.index);
  }

  /** Until the other side has installed it: asked for more before, it would want the snapshot again. */
  async #installedThere(peer: string, id: number, index: number): Promise<boolean> {
    const { clock, consensus, transport } = this.#parts;
    const until = clock.monotonicMs() + INSTALL_MS;
    while (!this.#stopped && transport.isConnected(peer) && clock.monotonicMs() < until) {
      const progress = consensus.status().progress.find((one) => one.id === id);
      if (progress === undefined || progress.match >= index || progress.state !== 'snapshot') return true;
      await new Promise<void>((resolve) => {
        clock.setTimer(LOOK_MS, resolve);
      });
    }
    return false;
  }

  async #push(peer: string, frame: PeerFrame): Promise<void> {
    const { clock, transport } = this.#parts;
    const until = clock.monotonicMs() + TRANSFER_STALL_MS;
    while (!transport.send(peer, 'bulk', frame)) {
      if (this.#stopped || !transport.isConnected(peer)) throw new Error('the connection was lost');
      if (clock.monotonicMs() > until) throw new Error('the other side takes nothing');
      await new Promise<void>((resolve) => {
        clock.setTimer(FULL_QUEUE_MS, resolve);
      });
    }
  }

  #begin(from: string, frame: Extract<PeerFrame, { type: 'piece' }>): void {
    if (this.#incoming !== null) this.#abandon(this.#incoming, 'another one begins');
    const message = messageFromWire(frame.body);
    const mark = message.snapshot;
    if (mark === null) return;
    if (mark.index <= this.#parts.core.appliedIndex) {
      // Known here already: the core says so, and the leader goes on behind it.
      this.#parts.arrived(message);
      return;
    }
    const before = Promise.all([this.#taking, this.#givenUp]);
    const writer = before.then(() => this.#parts.store.begin(mark));
    const incoming: Incoming = {
      from,
      transfer: frame.transfer,
      message,
      writer,
      work: writer.then(() => {}),
      next: 1,
      heardMs: this.#parts.clock.monotonicMs(),
    };
    incoming.work.catch((error: unknown) => this.#abandon(incoming, (error as Error).message));
    this.#incoming = incoming;
    this.#parts.log.info({ from, index: mark.index }, 'receiving a snapshot');
  }

  /** True while another node's snapshot is coming in; one whose pieces stopped coming is given up. */
  #receiving(): boolean {
    if (this.#incoming === null) return false;
    const silentMs = this.#parts.clock.monotonicMs() - this.#incoming.heardMs;
    if (silentMs > TRANSFER_STALL_MS * 2) this.#abandon(this.#incoming, 'no more pieces came');
    return this.#incoming !== null;
  }

  #abandon(incoming: Incoming, reason: string): void {
    if (this.#incoming !== incoming) return;
    this.#incoming = null;
    this.#parts.log.warn({ from: incoming.from, reason }, 'receiving a snapshot was given up');
    const over = incoming.work.catch(() => {}).then(() => incoming.writer);
    const before = this.#givenUp;
    this.#givenUp = before.then(() => over.then((writer) => writer.abort())).catch(() => {});
  }
}

/** First index to keep in memory: the newest entries below the snapshot, up to `keepBytes` of them. */
function keepFrom(
  recent: readonly { index: number; bytes: number }[],
  upTo: number,
  keepBytes: number,
): number {
  let bytes = 0;
  let from = upTo + 1;
  for (let i = recent.length - 1; i >= 0; i--) {
    const entry = recent[i]!;
    if (entry.index > upTo) continue;
    bytes += entry.bytes;
    if (bytes > keepBytes) break;
    from = entry.index;
  }
  return from;
}

function readPage(body: unknown): { key: string; version: number; bytes: Uint8Array } | null {
  if (!Array.isArray(body) || body.length !== 3) return null;
  const [key, version, bytes] = body as unknown[];
  if (typeof key !== 'string' || typeof version !== 'number' || !(bytes instanceof Uint8Array)) return null;
  return { key, version, bytes };
}
