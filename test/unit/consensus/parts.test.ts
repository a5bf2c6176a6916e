import { Message, MessageType } from '@coaty/consensus.raft/ported/raftpb/raft.pb.js';
import { describe, expect, test } from 'vitest';
import { InvariantError } from '../../../src/base/invariant.js';
import { Durability } from '../../../src/consensus/durability.js';
import { createConsensus, raftIdFromDiskId } from '../../../src/consensus/index.js';
import { decodeProposal, encodeProposal } from '../../../src/consensus/membership.js';
import { Outbox } from '../../../src/consensus/outbox.js';
import type { ConsensusOptions, InitialState } from '../../../src/consensus/types.js';
import { bytes, members, text } from './cluster.js';

describe('Raft ids', () => {
  test('rule: formation - a Raft id derives from the disk id: its first 52 bits', () => {
    expect(raftIdFromDiskId('00000000000010000000000000000000')).toBe(1);
    expect(raftIdFromDiskId('fffffffffffff0000000000000000000')).toBe(2 ** 52 - 1);
    expect(raftIdFromDiskId('0123456789ABCdef0123456789abcdef')).toBe(0x123456789abc);
  });

  test('are never 0', () => {
    expect(raftIdFromDiskId('0'.repeat(32))).toBe(1);
  });

  test.each(['', 'abc', 'g'.repeat(32), `0x${'1'.repeat(30)}`])('%j is no disk id', (hex) => {
    expect(() => raftIdFromDiskId(hex)).toThrow(RangeError);
  });
});

describe('durable index', () => {
  test('is what was written and is not about to be replaced', () => {
    const durability = new Durability(10);
    const first = durability.begin(11, 20);
    const hard = durability.begin(0, 0);
    const replaced = durability.begin(15, 16);
    expect(durability.index).toBe(10);
    durability.persisted(first);
    expect(durability.index).toBe(14);
    durability.persisted(hard);
    expect(durability.index).toBe(14);
    durability.persisted(replaced);
    expect(durability.index).toBe(16);
  });

  test('rule: durable index - a truncation lowers it at once', () => {
    const durability = new Durability(10);
    const write = durability.begin(6, 6);
    expect(durability.index).toBe(5);
    durability.persisted(write);
    expect(durability.index).toBe(6);
  });

  test('rule: durable index - a sync that completes for entries replaced meanwhile counts for nothing', () => {
    const durability = new Durability(10);
    const first = durability.begin(11, 20);
    durability.begin(15, 16);
    durability.begin(15, 20);
    durability.persisted(first);
    expect(durability.index).toBe(14);
    durability.persisted(3);
    expect(durability.index).toBe(20);
  });

  test('a write cannot complete before it began', () => {
    expect(() => new Durability(0).persisted(1)).toThrow(InvariantError);
  });
});

describe('answers that wait for the disk', () => {
  const answer = (to: string, term: number, index: number) =>
    new Message({ type: MessageType.MsgAppResp, from: '2', to, term, index });
  const released = (outbox: Outbox, done: number, term: number) => {
    const out: Message[] = [];
    outbox.release(done, term, out);
    return out.map(({ to, term: of, index }) => `${index} of term ${of} to ${to}`);
  };

  test('rule: durable index - append answers are coalesced to the furthest, per leader', () => {
    const outbox = new Outbox();
    outbox.hold(answer('1', 4, 7), 1);
    outbox.hold(answer('1', 4, 9), 2);
    outbox.hold(answer('1', 4, 12), 3);
    expect(released(outbox, 0, 4)).toEqual([]);
    expect(released(outbox, 2, 4)).toEqual(['9 of term 4 to 1']);
    expect(released(outbox, 3, 4)).toEqual(['12 of term 4 to 1']);
    expect(released(outbox, 3, 4)).toEqual([]);
  });

  test('rule: durable index - append answers are coalesced only within a term: one of an older term is dropped', () => {
    const outbox = new Outbox();
    outbox.hold(answer('1', 4, 30), 1);
    outbox.hold(answer('3', 5, 12), 2);
    expect(released(outbox, 2, 5)).toEqual(['12 of term 5 to 3']);
    // The same leader, in office again: what it was promised in term 4 may have been replaced since.
    outbox.hold(answer('1', 5, 30), 3);
    outbox.hold(answer('1', 6, 14), 4);
    expect(released(outbox, 4, 6)).toEqual(['14 of term 6 to 1']);
  });
});

describe('membership entries', () => {
  test('come back as they were', () => {
    const changes = [
      { kind: 'remove', id: 2 ** 52 + 1 },
      { kind: 'add-learner', id: 7 },
      { kind: 'promote', id: 1 },
    ] as const;
    const back = decodeProposal(encodeProposal({ changes, context: bytes('context') }));
    expect(back.changes).toEqual(changes);
    expect(text(back.context)).toBe('context');
  });
});

describe('what was found on disk', () => {
  const start = (initial: Partial<InitialState>) => {
    const found: InitialState = {
      hardState: { term: 3, vote: 0, commit: 1 },
      mark: { index: 1, term: 1, membership: members([1]) },
      entries: [],
      ...initial,
    };
    const options: ConsensusOptions = {
      id: 1,
      initial: found,
      electionTicks: 10,
      heartbeatTicks: 1,
      maxMessageBytes: 1000,
      maxInflight: 4,
      maxUncommittedBytes: 1000,
      random: () => 0,
      log: () => {},
    };
    return createConsensus(options);
  };
  const entry = (index: number, term: number) => ({
    index,
    term,
    kind: 'command' as const,
    data: bytes('x'),
  });

  test('a gap stops the node', () => {
    expect(() => start({ entries: [entry(3, 1)] })).toThrow(InvariantError);
  });

  test('a log that is ahead of the term stops the node', () => {
    expect(() => start({ entries: [entry(2, 4)] })).toThrow(InvariantError);
  });

  test('terms that fall along the log stop the node', () => {
    expect(() => start({ entries: [entry(2, 2), entry(3, 1)] })).toThrow(InvariantError);
  });

  test('members without a snapshot before them stop the node', () => {
    const mark = { index: 0, term: 0, membership: members([1]) };
    expect(() => start({ mark })).toThrow(InvariantError);
    expect(start({ mark: { ...mark, membership: members([]) } }).status()).toMatchObject({ lastIndex: 0 });
  });

  test('the wrong place for applied, membership and compaction stops the node', () => {
    const node = start({});
    node.campaign();
    node.take();
    expect(() => node.applied(2)).toThrow(InvariantError);
    expect(() => node.applyMembership(entry(2, 1))).toThrow(InvariantError);
    expect(() => node.compact({ index: 2, term: 4, membership: members([1]) }, 3)).toThrow(InvariantError);
  });
});
