import type { Clock } from '../base/clock.js';
import { messageToWire } from '../consensus/index.js';
import type { Consensus, RaftMessage, SnapshotMark } from '../consensus/types.js';
import type { PeerFrame, Transport } from '../peer/types.js';
import type { SnapshotPage, SnapshotStore } from '../storage/types.js';
import type { Log } from './options.js';

/** Bytes of a snapshot that may be on their way to one node without being written there; one page may always be. */
export const UNWRITTEN_BYTES_MAX = 8 * 1024 * 1024;
/** A transfer that moves nothing for this long is given up. */
export const TRANSFER_STALL_MS = 10_000;
/** Bytes of a piece besides the page's own. */
const PIECE_BYTES = 64;
/** Pause before a full queue or disk of a laggard is looked at again. */
const LOOK_MS = 5;
/** After its last piece a snapshot must be installed within this time. */
const INSTALL_MS = 30_000;
const INSTALL_LOOK_MS = 20;
/** Pause before a node that gave a snapshot up is sent another one: doubles from the first to the second. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 10_000;

/** What a piece counts towards the bound, at both ends. */
export function pieceBytes(page: SnapshotPage | null): number {
  return page === null ? PIECE_BYTES : PIECE_BYTES + page.key.length + page.bytes.length;
}

export interface SenderParts {
  readonly consensus: Pick<Consensus, 'status' | 'reportSnapshot'>;
  readonly store: Pick<SnapshotStore, 'pages'>;
  readonly transport: Pick<Transport, 'send' | 'isConnected'>;
  readonly clock: Clock;
  readonly log: Log;
}

interface Outgoing {
  readonly peer: string;
  /** The peer's Raft id, and the index that it lacks. */
  readonly id: number;
  readonly index: number;
  readonly transfer: number;
  /** Sent and not known as written there, in order. */
  readonly unwritten: { readonly seq: number; readonly bytes: number }[];
  unwrittenBytes: number;
  /** Monotonic ms at which a piece was sent or written last. */
  movedMs: number;
  /** Why the other side gave up. */
  refusal: string | null;
}

/** The newest snapshot on its way to nodes that lag so far behind that the log they miss is gone. */
export class SnapshotSender {
  readonly #parts: SenderParts;
  readonly #outgoing = new Map<string, Outgoing>();
  readonly #pauses = new Map<string, { readonly untilMs: number; readonly ms: number }>();
  #nextTransfer = 1;
  #stopped = false;

  constructor(parts: SenderParts) {
    this.#parts = parts;
  }

  get busy(): boolean {
    return this.#outgoing.size > 0;
  }

  sendsTo(peer: string): boolean {
    return this.#outgoing.has(peer);
  }

  /** True for a while after this node gave a snapshot up. */
  pauses(peer: string): boolean {
    const pause = this.#pauses.get(peer);
    return pause !== undefined && this.#parts.clock.monotonicMs() < pause.untilMs;
  }

  /** Sends the newest snapshot, which is the one that `message` names, and tells the core how it ended. */
  start(peer: string, message: RaftMessage, mark: SnapshotMark): void {
    const { consensus, transport, log, clock } = this.#parts;
    const outgoing: Outgoing = {
      peer,
      id: message.to,
      index: mark.index,
      transfer: this.#nextTransfer++,
      unwritten: [],
      unwrittenBytes: 0,
      movedMs: clock.monotonicMs(),
      refusal: null,
    };
    this.#outgoing.set(peer, outgoing);
    log.info({ peer, index: mark.index }, 'sending a snapshot to a node that lags');
    this.#send(outgoing, message)
      .catch((error: unknown) => {
        log.warn({ peer, reason: (error as Error).message }, 'sending a snapshot failed');
        return false;
      })
      .then((ok) => {
        this.#outgoing.delete(peer);
        if (ok) this.#pauses.delete(peer);
        else if (transport.isConnected(peer)) this.#pause(peer);
        consensus.reportSnapshot(message.to, ok);
      });
  }

  /** The other side wrote pieces, or gave up. */
  taken(from: string, frame: Extract<PeerFrame, { type: 'piece-taken' }>): void {
    const outgoing = this.#outgoing.get(from);
    if (outgoing === undefined || outgoing.transfer !== frame.transfer) return;
    if (frame.refusal !== '') {
      outgoing.refusal = frame.refusal;
      return;
    }
    const { unwritten } = outgoing;
    while (unwritten.length > 0 && unwritten[0]!.seq <= frame.seq) {
      outgoing.unwrittenBytes -= unwritten.shift()!.bytes;
    }
    outgoing.movedMs = this.#parts.clock.monotonicMs();
  }

  stop(): void {
    this.#stopped = true;
  }

  async #send(outgoing: Outgoing, message: RaftMessage): Promise<boolean> {
    const { transfer } = outgoing;
    let seq = 0;
    const first = { type: 'piece', transfer, seq: seq++, last: false, body: messageToWire(message) } as const;
    if (!(await this.#push(outgoing, first, 0))) return true;
    for await (const page of this.#parts.store.pages()) {
      const body = [page.key, page.version, page.bytes];
      const piece = { type: 'piece', transfer, seq: seq++, last: false, body } as const;
      if (!(await this.#push(outgoing, piece, pieceBytes(page)))) return true;
    }
    const last = { type: 'piece', transfer, seq, last: true, body: null } as const;
    if (!(await this.#push(outgoing, last, pieceBytes(null)))) return true;
    return this.#installedThere(outgoing);
  }

  /** Until the other side has installed it: asked for more before, it would want the snapshot again. */
  async #installedThere(outgoing: Outgoing): Promise<boolean> {
    const { clock } = this.#parts;
    const until = clock.monotonicMs() + INSTALL_MS;
    while (clock.monotonicMs() < until) {
      if (!this.#wanted(outgoing)) return true;
      this.#goesOn(outgoing);
      await this.#wait(INSTALL_LOOK_MS);
    }
    return false;
  }

  /** False: the other side needs it no longer. Rejects when it cannot be sent. `bytes`: what waits to be written there. */
  async #push(
    outgoing: Outgoing,
    frame: Extract<PeerFrame, { type: 'piece' }>,
    bytes: number,
  ): Promise<boolean> {
    const { clock, transport } = this.#parts;
    for (;;) {
      this.#goesOn(outgoing);
      const { unwritten } = outgoing;
      const room = unwritten.length === 0 || outgoing.unwrittenBytes + bytes <= UNWRITTEN_BYTES_MAX;
      if (room && transport.send(outgoing.peer, 'bulk', frame)) {
        if (bytes > 0) unwritten.push({ seq: frame.seq, bytes });
        outgoing.unwrittenBytes += bytes;
        outgoing.movedMs = clock.monotonicMs();
        return true;
      }
      if (!this.#wanted(outgoing)) return false;
      if (clock.monotonicMs() - outgoing.movedMs > TRANSFER_STALL_MS) {
        throw new Error('the other side takes nothing');
      }
      await this.#wait(LOOK_MS);
    }
  }

  #goesOn(outgoing: Outgoing): void {
    if (this.#stopped) throw new Error('the node is stopping');
    if (!this.#parts.transport.isConnected(outgoing.peer)) throw new Error('the connection was lost');
    if (outgoing.refusal !== null) throw new Error(`the other side gave up: ${outgoing.refusal}`);
  }

  #wanted(outgoing: Outgoing): boolean {
    const progress = this.#parts.consensus.status().progress.find((one) => one.id === outgoing.id);
    return progress !== undefined && progress.match < outgoing.index && progress.state === 'snapshot';
  }

  #pause(peer: string): void {
    const before = this.#pauses.get(peer);
    const ms = before === undefined ? FIRST_PAUSE_MS : Math.min(before.ms * 2, LONGEST_PAUSE_MS);
    this.#pauses.set(peer, { untilMs: this.#parts.clock.monotonicMs() + ms, ms });
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#parts.clock.setTimer(ms, resolve);
    });
  }
}
