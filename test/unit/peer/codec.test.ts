import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { createConsensus, type RaftMessage } from '../../../src/consensus/index.js';
import { decodeFrame, encodeFrame, MalformedFrameError, type WireFrame } from '../../../src/peer/codec.js';
import { checkMsgpack } from '../../../src/peer/msgpack-check.js';
import { helloOf } from './bundle.js';

const LIMITS = { frameValuesMax: 10_000, frameDepthMax: 16 };
const packr = new Packr({ useRecords: false });
const roundTrip = (frame: WireFrame) => decodeFrame(encodeFrame(frame), LIMITS);

function votes(): readonly RaftMessage[] {
  const core = createConsensus({
    id: 1,
    initial: {
      hardState: { term: 3, vote: 0, commit: 1 },
      mark: {
        index: 1,
        term: 3,
        membership: { voters: [1, 2, 3], outgoing: [], learners: [], learnersNext: [], autoLeave: false },
      },
      entries: [{ term: 3, index: 2, kind: 'command', data: Buffer.from('payload') }],
    },
    electionTicks: 10,
    heartbeatTicks: 1,
    maxMessageBytes: 1 << 20,
    maxInflight: 16,
    maxUncommittedBytes: 1 << 24,
    random: () => 0,
    log: () => {},
  });
  core.campaign();
  const messages: RaftMessage[] = [];
  for (let output = core.take(); output !== null; output = core.take()) {
    messages.push(...output.messages);
    if (output.write > 0) core.persisted(output.write);
  }
  return messages;
}

describe('frames round trip', () => {
  const frames: WireFrame[] = [
    { type: 'hello', channel: 'control', token: 'ab', hello: helloOf('n1') },
    { type: 'hello', channel: 'control', token: '', hello: helloOf('n1', { clusterId: null }) },
    { type: 'join', channel: 'bulk', token: 'cd' },
    { type: 'ready', channel: 'data' },
    { type: 'ping', id: 7 },
    { type: 'pong', id: 2 ** 40 },
    { type: 'batch', incarnation: 2 ** 40, seq: 5, bytes: Buffer.from('bytes') },
    { type: 'batch-refused', incarnation: 1, resendFrom: 0, reason: 'not the leader' },
    { type: 'events', bytes: Buffer.alloc(100_000, 7) },
    {
      type: 'ask',
      id: 1,
      topic: 'status',
      body: { a: [1, -2.5, 2 ** 50, null, 'text', true], b: { c: {} } },
    },
    { type: 'answer', id: 1, body: undefined },
    { type: 'refuse', id: 1, reason: 'unknown topic', body: null },
    { type: 'told', id: 1, body: 'half of it' },
    { type: 'unask', id: 1 },
    { type: 'piece-taken', transfer: 3, seq: 7, refusal: 'the disk is full' },
    { type: 'piece', transfer: 3, seq: 0, last: true, body: { bytes: Buffer.from('page') } },
  ];
  for (const frame of frames) {
    it(`${frame.type}`, () => expect(roundTrip(frame)).toEqual(frame));
  }

  it('consensus messages', () => {
    const messages = votes();
    expect(messages.length).toBeGreaterThan(0);
    const back = roundTrip({ type: 'raft', messages });
    expect(back).toEqual({ type: 'raft', messages });
  });

  it('any body that JSON could hold, and bytes', () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ maxDepth: 4 }).filter((value) => !JSON.stringify(value).includes('__proto__')),
        fc.uint8Array(),
        (body, bytes) => {
          const frame = {
            type: 'ask',
            id: 1,
            topic: 't',
            body: { body, bytes: Buffer.from(bytes) },
          } as const;
          // -0 and 0 are one number on the wire.
          expect(JSON.stringify(roundTrip(frame))).toBe(JSON.stringify(frame));
        },
      ),
    );
  });
});

describe('a hello of another protocol version', () => {
  it('is named as such, whatever follows the version in it', () => {
    const later = packr.pack([0, 0, 'token', 2, { some: 'later' }, 'form']);
    expect(() => decodeFrame(later, LIMITS)).toThrow('peer protocol 2 is not 1, which this node speaks');
  });
});

describe('bytes from outside', () => {
  const refused = (bytes: Uint8Array) =>
    expect(() => decodeFrame(bytes, LIMITS)).toThrow(MalformedFrameError);

  it('random bytes throw MalformedFrameError or decode, and nothing else happens', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        try {
          decodeFrame(bytes, LIMITS);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedFrameError);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('damaged frames throw MalformedFrameError or decode', () => {
    const whole = [...encodeFrame({ type: 'hello', channel: 'control', token: 'ab', hello: helloOf('n1') })];
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), (at, value, length) => {
        const bytes = Buffer.from(whole);
        bytes[at] = value;
        try {
          decodeFrame(bytes.subarray(0, length), LIMITS);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedFrameError);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('every cut of a frame is refused', () => {
    const whole = encodeFrame({ type: 'batch', incarnation: 1, seq: 2, bytes: Buffer.alloc(40) });
    for (let length = 0; length < whole.length; length++) refused(whole.subarray(0, length));
    refused(Buffer.concat([whole, Buffer.from([0])]));
  });

  it('fields of the wrong kind, number or count are refused', () => {
    for (const list of [
      [17, 1, 2, 'text'],
      [17, -1, 2, Buffer.alloc(1)],
      [17, 1.5, 2, Buffer.alloc(1)],
      [17, 1, 2, Buffer.alloc(1), 4],
      [20, 1, 5, null],
      [20, 1, 'x'.repeat(2_000), null],
      [2, 3],
      [16, 5],
      [16, [1]],
      [16, [[1, 2, 3]]],
      [99],
      [],
      'text',
      { a: 1 },
      null,
    ]) {
      refused(packr.pack(list));
    }
  });

  it('promises of memory that the bytes cannot keep are refused before anything is reserved', () => {
    const huge = [0xdd, 0x01, 0xff, 0xff, 0xff];
    refused(Buffer.from(huge));
    refused(Buffer.concat(Array.from({ length: 1_000 }, () => Buffer.from(huge))));
    refused(Buffer.from([0xdf, 0xff, 0xff, 0xff, 0xff]));
    refused(Buffer.from([0xc6, 0xff, 0xff, 0xff, 0xff, 1]));
    expect(checkMsgpack(Buffer.alloc(20_000, 0x91), 100_000, 16)).toMatch(/deep/);
    expect(
      checkMsgpack(Buffer.concat([Buffer.from([0xdc, 0x10, 0x00]), Buffer.alloc(4_096)]), 4_000, 16),
    ).toMatch(/more than 4000 values/);
  });

  it('extension types are refused', () => {
    refused(packr.pack([21, 1, new Date()]));
    const wide = new Packr({ useRecords: false, moreTypes: true });
    refused(wide.pack([21, 1, new Set([1])]));
    refused(wide.pack([21, 1, /x/]));
    refused(Buffer.from([0xd5, 0x72, 0x40, 0x91]));
  });
});
