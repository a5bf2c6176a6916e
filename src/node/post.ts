import type { Clock } from '../base/clock.js';
import type { Consensus, RaftMessage } from '../consensus/types.js';
import type { PeerFrame, Transport } from '../peer/types.js';
import type { LeaderDesk } from './leader-desk.js';
import type { News } from './news.js';
import type { Origin } from './origin.js';
import type { Snapshotting } from './snapshotting.js';

const BUSY_AGAIN_MS = 20;

export interface PostParts {
  readonly ownName: string;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly consensus: Consensus;
  readonly desk: LeaderDesk;
  readonly origin: () => Origin;
  readonly snapshotting: () => Snapshotting;
  readonly news: Pick<News, 'called'>;
  readonly leaderName: () => string;
  readonly nameOf: (raftId: number) => string | null;
  readonly peerNames: () => readonly string[];
  readonly proposeNodeUp: () => void;
}

/** The ways of batches to the leader and of Raft messages to members. */
export class Post {
  readonly #parts: PostParts;

  constructor(parts: PostParts) {
    this.#parts = parts;
  }

  /** True while a batch handed over would get to a leader. */
  get leaderInReach(): boolean {
    const { transport, ownName, desk } = this.#parts;
    const leader = this.#parts.leaderName();
    return leader === ownName ? desk.isOpen : leader !== '' && transport.isConnected(leader);
  }

  /** Hands a batch to the leader, near or far. False: it could not be taken now. */
  deliver(incarnation: number, seq: number, bytes: Uint8Array): boolean {
    const { transport, ownName, desk } = this.#parts;
    const leader = this.#parts.leaderName();
    if (leader === '') return false;
    if (leader !== ownName) return transport.send(leader, 'data', { type: 'batch', incarnation, seq, bytes });
    return desk.isOpen && desk.accept(ownName, incarnation, seq, bytes) === null;
  }

  /** The leader is in office: what was sent to it too early is to be sent again. */
  announceReady(): void {
    for (const name of this.#parts.peerNames()) {
      this.#parts.transport.send(name, 'control', {
        type: 'batch-refused',
        incarnation: 0,
        resendFrom: 0,
        reason: 'ready',
      });
    }
  }

  /** Throws MalformedBytesError. */
  batch(from: string, frame: Extract<PeerFrame, { type: 'batch' }>): void {
    const { desk, transport } = this.#parts;
    // Not (yet) in office: the origin sends again when it learns of the leader, or when the leader says it is ready.
    if (!desk.isOpen) return;
    this.#parts.news.called(from);
    const resendFrom = desk.accept(from, frame.incarnation, frame.seq, frame.bytes);
    if (resendFrom === null || resendFrom === 0) return;
    transport.send(from, 'control', {
      type: 'batch-refused',
      incarnation: frame.incarnation,
      resendFrom,
      reason: resendFrom === frame.seq ? 'busy' : 'gap',
    });
  }

  refused(from: string, frame: Extract<PeerFrame, { type: 'batch-refused' }>): void {
    const origin = this.#parts.origin();
    if (from !== this.#parts.leaderName()) return;
    if (frame.reason === 'ready') {
      origin.resendFrom(0);
      if (origin.incarnation === 0) this.#parts.proposeNodeUp();
    } else if (frame.incarnation !== origin.incarnation) {
      return;
    } else if (frame.reason === 'busy') {
      this.#parts.clock.setTimer(BUSY_AGAIN_MS, () => origin.resendFrom(frame.resendFrom));
    } else {
      origin.resendFrom(frame.resendFrom);
    }
  }

  /** Votes and heartbeats go on a connection of their own. What a peer's queue does not take is lost, and Raft is told. */
  raft(messages: readonly RaftMessage[]): void {
    const { transport } = this.#parts;
    let grouped: Map<string, { control: RaftMessage[]; data: RaftMessage[] }> | null = null;
    for (const message of messages) {
      const name = this.#parts.nameOf(message.to);
      if (name === null) continue;
      if (message.snapshot !== null) {
        this.#parts.snapshotting().send(message);
        continue;
      }
      grouped ??= new Map();
      let group = grouped.get(name);
      if (group === undefined) {
        group = { control: [], data: [] };
        grouped.set(name, group);
      }
      (message.control ? group.control : group.data).push(message);
    }
    if (grouped === null) return;
    for (const [name, { control, data }] of grouped) {
      if (control.length > 0) transport.send(name, 'control', { type: 'raft', messages: control });
      if (data.length > 0 && !transport.send(name, 'data', { type: 'raft', messages: data })) {
        this.#parts.consensus.reportUnreachable(data[0]!.to);
      }
    }
    // Before this node writes its own log, or applies: others wait for nothing but these.
    transport.flush();
  }
}
