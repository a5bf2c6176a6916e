import type { Clock } from '../base/clock.js';
import { messageFromWire } from '../consensus/index.js';
import type { RaftMessage } from '../consensus/types.js';
import type { Core } from '../core/interface.js';
import type { PeerFrame, Transport } from '../peer/types.js';
import type { SnapshotStore, SnapshotWriter } from '../storage/types.js';
import type { FullDisk } from './full-disk.js';
import type { Log } from './options.js';
import { pieceBytes, TRANSFER_STALL_MS, UNWRITTEN_BYTES_MAX } from './snapshot-sender.js';

/** Written bytes that the sender is told of at the latest. */
const TELL_BYTES = UNWRITTEN_BYTES_MAX / 8;

export interface ReceiverParts {
  readonly core: Pick<Core, 'appliedIndex'>;
  readonly store: SnapshotStore;
  readonly transport: Pick<Transport, 'send'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly full: FullDisk;
  /** Resolves when this node writes no snapshot of its own. */
  readonly storeFree: () => Promise<unknown>;
  /** A whole snapshot arrived and is durable: its message may go to the core. */
  readonly arrived: (message: RaftMessage) => void;
}

interface Incoming {
  readonly from: string;
  readonly transfer: number;
  readonly message: RaftMessage;
  readonly writer: Promise<SnapshotWriter>;
  work: Promise<void>;
  next: number;
  /** Bytes that came and are not written. */
  unwritten: number;
  /** Bytes written since the sender was told. */
  untold: number;
  /** Monotonic ms at which a piece came or was written last. */
  movedMs: number;
}

/** A snapshot of another node on its way to this node's disk, one at a time. */
export class SnapshotReceiver {
  readonly #parts: ReceiverParts;
  #incoming: Incoming | null = null;
  /** The store takes one writer at a time: what was given up must be over before the next begins. */
  #givenUp: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(parts: ReceiverParts) {
    this.#parts = parts;
  }

  /** True while a snapshot is coming in; one whose pieces stopped coming is given up. */
  get receiving(): boolean {
    if (this.#incoming === null) return false;
    const silentMs = this.#parts.clock.monotonicMs() - this.#incoming.movedMs;
    if (silentMs > TRANSFER_STALL_MS * 2) this.#abandon(this.#incoming, 'no more pieces came');
    return this.#incoming !== null;
  }

  /** Resolves when nothing that was given up is being written any more. */
  get over(): Promise<void> {
    return this.#givenUp;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#incoming !== null) this.#abandon(this.#incoming, 'the node is stopping');
    await this.#givenUp;
  }

  piece(from: string, frame: Extract<PeerFrame, { type: 'piece' }>): void {
    if (this.#stopped) return;
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
    const page = readPage(frame.body);
    if (page === null && !frame.last) {
      this.#abandon(incoming, 'a piece is malformed');
      return;
    }
    const bytes = pieceBytes(page);
    if (incoming.unwritten > 0 && incoming.unwritten + bytes > UNWRITTEN_BYTES_MAX) {
      this.#abandon(incoming, `more than ${UNWRITTEN_BYTES_MAX} bytes came that are not written yet`);
      return;
    }
    incoming.next += 1;
    incoming.unwritten += bytes;
    incoming.movedMs = this.#parts.clock.monotonicMs();
    incoming.work = incoming.work.then(async () => {
      if (this.#incoming !== incoming) return;
      const writer = await incoming.writer;
      if (page !== null) await writer.write(page);
      if (frame.last) await writer.finish();
      this.#written(incoming, frame.seq, bytes, frame.last);
    });
    incoming.work.catch((error: unknown) => this.#failed(incoming, error));
  }

  peerLost(peer: string): void {
    if (this.#incoming?.from === peer) this.#abandon(this.#incoming, 'the connection was lost');
  }

  #written(incoming: Incoming, seq: number, bytes: number, last: boolean): void {
    incoming.unwritten -= bytes;
    incoming.untold += bytes;
    incoming.movedMs = this.#parts.clock.monotonicMs();
    if (this.#incoming !== incoming) return;
    if (last || incoming.unwritten === 0 || incoming.untold >= TELL_BYTES) {
      incoming.untold = 0;
      this.#tell(incoming.from, incoming.transfer, seq, '');
    }
    if (!last) return;
    this.#incoming = null;
    this.#parts.full.passed();
    if (this.#stopped) return;
    const { index } = incoming.message.snapshot!;
    this.#parts.log.info({ from: incoming.from, index }, 'a snapshot arrived');
    this.#parts.arrived(incoming.message);
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
    if (this.#parts.full.pausing) {
      this.#tell(from, frame.transfer, 0, 'the disk is full');
      return;
    }
    const before = Promise.all([this.#parts.storeFree(), this.#givenUp]);
    const writer = before.then(() => this.#parts.store.begin(mark));
    const incoming: Incoming = {
      from,
      transfer: frame.transfer,
      message,
      writer,
      work: writer.then(() => {}),
      next: 1,
      unwritten: 0,
      untold: 0,
      movedMs: this.#parts.clock.monotonicMs(),
    };
    incoming.work.catch((error: unknown) => this.#failed(incoming, error));
    this.#incoming = incoming;
    this.#parts.log.info({ from, index: mark.index }, 'receiving a snapshot');
  }

  #failed(incoming: Incoming, error: unknown): void {
    // Each piece behind the failed one fails with it.
    if (this.#incoming !== incoming) return;
    const { from, message } = incoming;
    const fields = { from, index: message.snapshot!.index };
    this.#parts.full.struck(error, fields, 'the disk is full: the snapshot of another node cannot be stored');
    this.#abandon(incoming, (error as Error).message);
  }

  #abandon(incoming: Incoming, reason: string): void {
    if (this.#incoming !== incoming) return;
    this.#incoming = null;
    this.#parts.log.warn({ from: incoming.from, reason }, 'receiving a snapshot was given up');
    this.#tell(incoming.from, incoming.transfer, 0, reason);
    const over = incoming.work.catch(() => {}).then(() => incoming.writer);
    const before = this.#givenUp;
    this.#givenUp = before.then(() => over.then((writer) => writer.abort())).catch(() => {});
  }

  #tell(to: string, transfer: number, seq: number, refusal: string): void {
    this.#parts.transport.send(to, 'control', { type: 'piece-taken', transfer, seq, refusal });
  }
}

function readPage(body: unknown): { key: string; version: number; bytes: Uint8Array } | null {
  if (!Array.isArray(body) || body.length !== 3) return null;
  const [key, version, bytes] = body as unknown[];
  if (typeof key !== 'string' || typeof version !== 'number' || !(bytes instanceof Uint8Array)) return null;
  return { key, version, bytes };
}
