import fc from 'fast-check';
import { pack, unpack } from 'msgpackr';
import { describe, expect, test } from 'vitest';
import { MalformedBytesError } from '../../../src/base/bytes.js';
import { createConsensus, messageFromWire, messageToWire } from '../../../src/consensus/index.js';
import type { Consensus, RaftMessage } from '../../../src/consensus/types.js';
import { bytes, Cluster, members } from './cluster.js';

const codec = { toWire: messageToWire, fromWire: messageFromWire };
const big = 2 ** 52 + 3;

/** Messages of all kinds, as a cluster with a laggard, reads, elections and a transfer exchanges them. */
function everyKind(): RaftMessage[] {
  const seen: RaftMessage[] = [];
  const spy = {
    toWire: (message: RaftMessage): unknown => {
      seen.push(message);
      return messageToWire(message);
    },
    fromWire: messageFromWire,
  };
  const cluster = new Cluster({ factory: createConsensus, codec: spy, voters: [1, 2, big] });
  cluster.tick(60);
  const first = cluster.leader;
  const lagging = cluster.all.find((node) => node !== first)!;
  cluster.isolate(lagging.id);
  first.core.proposeMembership({ changes: [{ kind: 'add-learner', id: 7 }], context: bytes('x') });
  cluster.settle();
  cluster.propose(first, 'a', 'b');
  const { term } = first.core.status();
  first.core.compact(
    { index: first.appliedIndex, term, membership: first.membership },
    first.appliedIndex + 1,
  );
  cluster.heal();
  cluster.tick(40);
  lagging.core.readIndex('r');
  cluster.settle();
  first.core.transferTo(lagging.id);
  cluster.settle();
  cluster.crash(lagging.id);
  cluster.tick(60);
  return seen;
}

const messages = everyKind();
const types = [...new Set(messages.map((message) => (messageToWire(message) as unknown[])[0] as number))];

describe('messages on the wire', () => {
  test('there is one of each kind to try', () => {
    expect(types.sort((a, b) => a - b)).toEqual([3, 4, 5, 6, 7, 8, 9, 14, 15, 16, 17, 18]);
  });

  test('all come back as they were', () => {
    for (const message of messages) {
      const wire = messageToWire(message);
      const back = messageFromWire(unpack(pack(wire)));
      expect(asHex(messageToWire(back))).toEqual(asHex(wire));
      const { to, from, term, control, snapshot } = message;
      expect(back).toMatchObject({ to, from, term, control, snapshot });
    }
  });

  test('only plain values travel, and the data of entries by reference', () => {
    const plain = (value: unknown): boolean =>
      typeof value === 'number' ||
      typeof value === 'string' ||
      value instanceof Uint8Array ||
      (Array.isArray(value) && value.every(plain));
    for (const message of messages) expect(plain(messageToWire(message))).toBe(true);

    const data = bytes('as it is');
    const wire = [3, 2, 1, 5, 4, 9, 9, 0, 0, '', [5, 0, data]];
    const flat = (messageToWire(messageFromWire(wire)) as unknown[])[10] as unknown[];
    expect(flat[2]).toBe(data);
  });

  test('bulk is appends, their answers and snapshots; all else must never wait behind it', () => {
    const bulk = new Set([3, 4, 7]);
    for (const message of messages) {
      expect(message.control).toBe(!bulk.has((messageToWire(message) as unknown[])[0] as number));
    }
  });

  const core = (): Consensus =>
    createConsensus({
      id: 1,
      initial: {
        hardState: { term: 1, vote: 0, commit: 1 },
        mark: { index: 1, term: 1, membership: members([1, 2, 3]) },
        entries: [],
      },
      electionTicks: 10,
      heartbeatTicks: 1,
      maxMessageBytes: 1000,
      maxInflight: 4,
      maxUncommittedBytes: 1000,
      random: () => 0,
      log: () => {},
    });

  test('whatever else comes is refused as malformed', () => {
    fc.assert(
      fc.property(fc.anything({ withTypedArray: true, withBigInt: true, withSparseArray: true }), (wire) => {
        expect(() => messageFromWire(wire)).toThrow(MalformedBytesError);
      }),
      { numRuns: 500 },
    );
  });

  test('a message with one field replaced is refused, or is a whole message again', () => {
    const samples = types.map((type) => {
      const wires = messages.map((message) => messageToWire(message) as unknown[]);
      return wires.filter((wire) => wire[0] === type).sort((a, b) => entriesOf(b) - entriesOf(a))[0]!;
    });
    const value = fc.oneof(
      fc.anything({ withTypedArray: true, withBigInt: true }),
      fc.integer(),
      fc.double(),
      fc.maxSafeInteger(),
      fc.array(fc.oneof(fc.nat(5), fc.uint8Array({ maxLength: 3 }), fc.constant([])), { maxLength: 9 }),
    );
    let whole = 0;
    fc.assert(
      fc.property(fc.constantFrom(...samples), fc.nat(11), value, (wire, at, replacement) => {
        const changed = [...wire];
        changed[at] = replacement;
        let message: RaftMessage;
        try {
          message = messageFromWire(changed);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedBytesError);
          return;
        }
        whole++;
        expect(messageToWire(messageFromWire(messageToWire(message)))).toEqual(messageToWire(message));
      }),
      { numRuns: 3_000 },
    );
    expect(whole).toBeGreaterThan(10);
  });

  test.each([
    ['a local event (hup)', [0, 1, 2, 2, 0, 0, 0, 0, 0, '', []]],
    ['a forwarded proposal', [2, 1, 2, 2, 0, 0, 0, 0, 0, '', []]],
    ['an append of term 0, which would pass by all checks of terms', [3, 1, 2, 0, 0, 0, 0, 0, 0, '', []]],
    ['entries of a term to come', [3, 1, 2, 2, 1, 1, 1, 0, 0, '', [3, 0, bytes('')]]],
    ['entries whose terms fall', [3, 1, 2, 5, 1, 1, 1, 0, 0, '', [3, 0, bytes(''), 2, 0, bytes('')]]],
    ['half an entry', [3, 1, 2, 5, 1, 1, 1, 0, 0, '', [3, 0]]],
    ['entries in a heartbeat', [8, 1, 2, 5, 0, 0, 0, 0, 0, '', [3, 0, bytes('')]]],
    ['an index past whole numbers', [3, 1, 2, 5, 1, 2 ** 53 - 1, 1, 0, 0, '', [3, 0, bytes('')]]],
    ['a negative commit', [8, 1, 2, 5, 0, 0, -1, 0, 0, '', []]],
    ['nobody as sender', [8, 1, 0, 5, 0, 0, 0, 0, 0, '', []]],
    ['a question without a context', [15, 1, 2, 0, 0, 0, 0, 0, 0, '', []]],
    ['a snapshot without a mark', [7, 1, 2, 5, 0, 0, 0, 0, 0, '', []]],
    ['a snapshot without voters', [7, 1, 2, 5, 0, 0, 0, 0, 0, '', [], [9, 4, [], [], [], [], 0]]],
    [
      'a snapshot with a learner that votes',
      [7, 1, 2, 5, 0, 0, 0, 0, 0, '', [], [9, 4, [1], [], [1], [], 0]],
    ],
    ['a mark on a heartbeat', [8, 1, 2, 5, 0, 0, 0, 0, 0, '', [], [9, 4, [1], [], [], [], 0]]],
  ])('%s is refused', (_, wire) => {
    expect(() => messageFromWire(wire)).toThrow(MalformedBytesError);
  });

  test('more entries than a call can carry are refused', () => {
    const entries = Array.from({ length: 10_001 }, () => [2, 0, bytes('')]).flat();
    expect(() => messageFromWire([3, 1, 2, 2, 1, 1, 1, 0, 0, '', entries])).toThrow(MalformedBytesError);
  });

  test('a message for someone else, or from itself, is passed over', () => {
    const node = core();
    node.take();
    for (const [to, from] of [
      [2, 3],
      [1, 1],
    ]) {
      node.step(messageFromWire([8, to, from, 9, 0, 0, 0, 0, 0, '', []]));
    }
    expect(node.take()).toBeNull();
    expect(node.status().term).toBe(1);
  });

  test('an answer that claims more than was ever sent moves nothing', () => {
    const cluster = new Cluster({ factory: createConsensus, codec, voters: [1, 2, 3] });
    const leader = cluster.elect(1);
    const { term, lastIndex } = leader.core.status();
    leader.core.step(messageFromWire([4, 1, 2, term, 0, lastIndex + 5, 0, 0, 0, '', []]));
    expect(leader.core.status().progress.find((peer) => peer.id === 2)?.match).toBe(lastIndex);
    cluster.propose(leader, 'a');
    expect(cluster.commands(cluster.node(2))).toEqual(['a']);
  });
});

function entriesOf(wire: readonly unknown[]): number {
  return (wire[10] as unknown[]).length;
}

function asHex(wire: unknown): unknown {
  if (wire instanceof Uint8Array) return Buffer.from(wire).toString('hex');
  return Array.isArray(wire) ? wire.map(asHex) : wire;
}
