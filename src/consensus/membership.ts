import { ConfChangeSingle, ConfChangeType, ConfState } from '@coaty/consensus.raft/ported/raftpb/raft.pb.js';
import type { Config } from '@coaty/consensus.raft/ported/tracker/tracker.js';
import { ByteReader, ByteWriter, MalformedBytesError } from '../base/bytes.js';
import { idOf, ridOf } from './ids.js';
import type { Membership, MembershipChange, MembershipProposal, RaftId } from './types.js';

/** A membership change that must not be proposed; the message says why, for the operator. */
export class MembershipError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'MembershipError';
  }
}

const format = 1;
const kinds = ['add-learner', 'promote', 'remove'] as const;

const portTypes: Record<MembershipChange['kind'], ConfChangeType> = {
  'add-learner': ConfChangeType.ConfChangeAddLearnerNode,
  promote: ConfChangeType.ConfChangeAddNode,
  remove: ConfChangeType.ConfChangeRemoveNode,
};

/** Bytes of a membership entry: format u8, count u32, per change kind u8 and id f64, then the context. */
export function encodeProposal(proposal: MembershipProposal): Uint8Array {
  const writer = new ByteWriter(64 + proposal.context.length);
  writer.u8(format);
  writer.u32(proposal.changes.length);
  for (const change of proposal.changes) {
    writer.u8(kinds.indexOf(change.kind));
    writer.f64(change.id);
  }
  writer.bytes(proposal.context);
  return writer.take();
}

export function decodeProposal(data: Uint8Array): MembershipProposal {
  const reader = new ByteReader(data);
  const found = reader.u8();
  if (found !== format) throw new MalformedBytesError(`membership entry of unknown format ${found}`);
  const changes: MembershipChange[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    const kind = kinds[reader.u8()];
    if (kind === undefined) throw new MalformedBytesError('membership change of unknown kind');
    changes.push({ kind, id: reader.f64() });
  }
  return { changes, context: reader.bytes() };
}

/** Throws `MembershipError` unless the changes fit a configuration that is not joint. */
export function checkChanges(membership: Membership, changes: readonly MembershipChange[]): void {
  if (changes.length === 0) throw new MembershipError('a membership change must name at least one node');
  const voters = new Set(membership.voters);
  const learners = new Set(membership.learners);
  const named = new Set<RaftId>();
  for (const { kind, id } of changes) {
    if (!Number.isSafeInteger(id) || id < 1) throw new MembershipError(`${id} is no Raft id`);
    if (named.has(id)) throw new MembershipError(`node ${id} is named twice in one change`);
    named.add(id);
    switch (kind) {
      case 'add-learner':
        if (voters.has(id) || learners.has(id)) throw new MembershipError(`node ${id} takes part already`);
        learners.add(id);
        break;
      case 'promote':
        if (voters.has(id)) throw new MembershipError(`node ${id} is a voter already`);
        if (!learners.delete(id))
          throw new MembershipError(`node ${id} is no learner, so it cannot be promoted`);
        voters.add(id);
        break;
      case 'remove':
        if (!voters.delete(id) && !learners.delete(id)) {
          throw new MembershipError(`node ${id} takes no part, so it cannot be removed`);
        }
        break;
      default:
        throw new MembershipError(`unknown kind of change ${JSON.stringify(kind)}`);
    }
  }
  if (voters.size === 0) throw new MembershipError('the last voter cannot be removed');
}

export function portChanges(changes: readonly MembershipChange[]): ConfChangeSingle[] {
  return changes.map(({ kind, id }) => new ConfChangeSingle({ type: portTypes[kind], nodeId: ridOf(id) }));
}

export function confStateOf(membership: Membership): ConfState {
  return new ConfState({
    voters: membership.voters.map(ridOf),
    votersOutgoing: membership.outgoing.map(ridOf),
    learners: membership.learners.map(ridOf),
    learnersNext: membership.learnersNext.map(ridOf),
    autoLeave: membership.autoLeave,
  });
}

export function membershipOf(config: Config): Membership {
  return {
    voters: ids(config.voters.config[0].map.keys()),
    outgoing: ids(config.voters.config[1].map.keys()),
    learners: ids(config.learners.keys()),
    learnersNext: ids(config.learnersNext.keys()),
    autoLeave: config.autoLeave,
  };
}

export function membershipOfConfState(state: ConfState): Membership {
  return {
    voters: ids(state.voters),
    outgoing: ids(state.votersOutgoing),
    learners: ids(state.learners),
    learnersNext: ids(state.learnersNext),
    autoLeave: state.autoLeave,
  };
}

function ids(rids: Iterable<string>): RaftId[] {
  return Array.from(rids, idOf).sort((a, b) => a - b);
}
