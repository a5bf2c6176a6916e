import type { Message } from '@coaty/consensus.raft/ported/raftpb/raft.pb.js';
import { MessageType } from '@coaty/consensus.raft/ported/raftpb/raft.pb.js';

interface Held {
  readonly message: Message;
  readonly write: number;
}

/** Messages that wait for a write, in order. */
export class Outbox {
  #held: Held[] = [];

  hold(message: Message, write: number): void {
    this.#held.push({ message, write });
  }

  /** True when something waits for no more than the writes up to `done`. */
  due(done: number): boolean {
    return this.#held.some((held) => held.write <= done);
  }

  /**
   * Appends to `out` what may leave now. Of the answers to appends only the furthest per leader leaves, and none
   * of a term that is over: a match is told only to the leader to whom it was promised.
   */
  release(done: number, term: number, out: Message[]): void {
    if (!this.due(done)) return;
    const kept: Held[] = [];
    const furthest = new Map<string, Message>();
    for (const held of this.#held) {
      const { message } = held;
      if (held.write > done) {
        kept.push(held);
      } else if (message.type !== MessageType.MsgAppResp) {
        out.push(message);
      } else if (message.term === term) {
        const known = furthest.get(message.to);
        if (known === undefined || known.index < message.index) furthest.set(message.to, message);
      }
    }
    for (const message of furthest.values()) out.push(message);
    this.#held = kept;
  }
}

/**
 * The write that must be on disk before a message may leave. `all`: the newest write, for what attests the log
 * or a vote; `office`: the write that holds the term and the vote in force, for what a leader says (a lone voter
 * leads before its own vote is on disk, and must not use the same term twice); 0: nothing is promised.
 */
export function writeBehind(message: Message, all: number, office: number): number {
  switch (message.type) {
    case MessageType.MsgVote:
      return all;
    case MessageType.MsgVoteResp:
    case MessageType.MsgPreVoteResp:
      return message.reject ? 0 : all;
    case MessageType.MsgAppResp:
      return message.reject || message.index === 0 ? 0 : all;
    case MessageType.MsgApp:
    case MessageType.MsgHeartbeat:
    case MessageType.MsgSnap:
    case MessageType.MsgTimeoutNow:
      return office;
    default:
      return 0;
  }
}
