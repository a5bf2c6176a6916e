import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OPTIONS } from '../../../src/config/options.js';
import { Decoder, type DecoderLimits } from '../../../src/gearman/decoder.js';
import { ARGUMENTS_BYTES_MAX } from '../../../src/gearman/limits.js';
import {
  argumentsOf,
  HEADER_BYTES,
  nameOf,
  packet,
  REQUEST_MAGIC,
  RESPONSE_MAGIC,
  responseHead,
  TYPE,
} from '../../../src/gearman/packets.js';

/**
 * Goal: the stream of bytes is taken apart the same way however it is split; binary packets and lines of text mix;
 * nothing is kept but what came; what cannot be understood ends the connection and nothing else.
 */
const LIMITS: DecoderLimits = { bodyBytesMax: 1_000, argumentsBytesMax: 256, lineBytesMax: 100 };

type Found = readonly [kind: string, ...values: unknown[]];

/** Large packets of these types are taken as they come; all others are skipped. */
const taken = (type: number): boolean => type % 2 === 0;

class Bed {
  readonly found: Found[] = [];
  streamedBytes = 0;
  readonly decoder: Decoder;

  constructor(limits = LIMITS) {
    const { found } = this;
    this.decoder = new Decoder(
      {
        packet: (type, body) => found.push(['packet', type, body.toString('latin1')]),
        text: (line) => found.push(['text', line]),
        large: (type, size, head) => {
          if (!taken(type)) return null;
          const parts = [Buffer.from(head)];
          return {
            chunk: (bytes) => {
              this.streamedBytes += bytes.length;
              parts.push(Buffer.from(bytes));
            },
            end: () => found.push(['large', type, size, Buffer.concat(parts).toString('latin1')]),
          };
        },
        responseMagic: (type) => found.push(['response', type]),
        tooLarge: (type, size, head) => found.push(['too large', type, size, head.toString('latin1')]),
        broken: (why) => found.push(['broken', why]),
      },
      limits,
    );
  }
}

function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [...at, bytes.length].map((end, i) => bytes.subarray(i === 0 ? 0 : at[i - 1], end));
}

function header(magic: number, type: number, size: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeUInt32BE(magic, 0);
  bytes.writeUInt32BE(type, 4);
  bytes.writeUInt32BE(size, 8);
  return bytes;
}

describe('the decoder', () => {
  const unit = fc.oneof(
    fc.record({
      type: fc.constantFrom(...Object.values(TYPE)),
      body: fc.uint8Array({ maxLength: LIMITS.bodyBytesMax + 300 }),
      magic: fc.constantFrom(REQUEST_MAGIC, REQUEST_MAGIC, RESPONSE_MAGIC),
    }),
    fc.record({
      line: fc.string({ maxLength: 30 }).map((line) => line.replace(/[\0\r\n]/g, '')),
      end: fc.constantFrom('\n', '\r\n'),
    }),
  );

  it('finds the same in every split of packets and lines', () => {
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 30 }), (units, cuts) => {
        const expected: Found[] = [];
        const parts: Buffer[] = [];
        for (const one of units) {
          if ('line' in one) {
            parts.push(Buffer.from(one.line + one.end));
            expected.push(['text', one.line]);
            continue;
          }
          const body = Buffer.from(one.body);
          parts.push(packet(one.magic, one.type, [body]));
          if (one.magic === RESPONSE_MAGIC) expected.push(['response', one.type]);
          else if (body.length <= LIMITS.bodyBytesMax)
            expected.push(['packet', one.type, body.toString('latin1')]);
          else if (taken(one.type)) expected.push(['large', one.type, body.length, body.toString('latin1')]);
          else expected.push(['too large', one.type, body.length, body.toString('latin1', 0, 256)]);
        }
        const bed = new Bed();
        for (const piece of split(Buffer.concat(parts), cuts)) bed.decoder.push(piece);
        expect(bed.found).toEqual(expected);
        expect(bed.decoder.idle).toBe(true);
        expect(bed.decoder.heldBytes).toBe(0);
      }),
      { numRuns: 500 },
    );
  });

  it('finds the same byte by byte', () => {
    const bytes = Buffer.concat([
      packet(REQUEST_MAGIC, TYPE.SUBMIT_JOB, ['reverse', '', 'test']),
      Buffer.from('status\r\n'),
      packet(REQUEST_MAGIC, TYPE.GRAB_JOB),
    ]);
    const bed = new Bed();
    for (const byte of bytes) bed.decoder.push(Buffer.from([byte]));
    expect(bed.found).toEqual([
      ['packet', TYPE.SUBMIT_JOB, 'reverse\0\0test'],
      ['text', 'status'],
      ['packet', TYPE.GRAB_JOB, ''],
    ]);
  });

  it('keeps nothing for a length that was only claimed', () => {
    const bed = new Bed({ ...LIMITS, bodyBytesMax: 2 ** 32 });
    bed.decoder.push(header(REQUEST_MAGIC, TYPE.SUBMIT_JOB, 0xffff_ffff));
    bed.decoder.push(Buffer.from('abc'));
    expect(bed.decoder.heldBytes).toBe(3);
    expect(bed.found).toEqual([]);
  });

  it('keeps of a packet over the limit no more than its head', () => {
    const bed = new Bed();
    bed.decoder.push(header(REQUEST_MAGIC, TYPE.WORK_COMPLETE, 2_000_000));
    for (let i = 0; i < 2_000; i++) {
      bed.decoder.push(Buffer.alloc(1_000, 'x'));
      expect(bed.decoder.heldBytes).toBeLessThanOrEqual(256);
    }
    bed.decoder.push(Buffer.from('version\n'));
    expect(bed.found).toEqual([
      ['too large', TYPE.WORK_COMPLETE, 2_000_000, 'x'.repeat(256)],
      ['text', 'version'],
    ]);
  });

  it('hands on what comes of a large packet at once, and keeps nothing of it', () => {
    const bed = new Bed();
    bed.decoder.push(header(REQUEST_MAGIC, TYPE.SUBMIT_JOB_BG, 0xffff_ffff));
    for (let i = 0; i < 255; i++) bed.decoder.push(Buffer.from('h'));
    expect([bed.decoder.heldBytes, bed.streamedBytes]).toEqual([255, 0]);
    bed.decoder.push(Buffer.from('hb'));
    for (let i = 0; i < 100; i++) bed.decoder.push(Buffer.alloc(1_000));
    expect([bed.decoder.heldBytes, bed.streamedBytes]).toEqual([0, 100_001]);
    expect(bed.decoder.idle).toBe(false);
    expect(bed.found).toEqual([]);
  });

  it('finds large packets among small ones in every split in two', () => {
    const large = (type: number) => packet(REQUEST_MAGIC, type as 7, [Buffer.alloc(1_001, 'l')]);
    const bytes = Buffer.concat([
      packet(REQUEST_MAGIC, TYPE.GRAB_JOB),
      large(TYPE.SUBMIT_JOB_BG),
      large(TYPE.SUBMIT_JOB),
      Buffer.from('status\n'),
    ]);
    const whole = new Bed();
    whole.decoder.push(bytes);
    expect(whole.found.map(([kind]) => kind)).toEqual(['packet', 'large', 'too large', 'text']);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const bed = new Bed();
      bed.decoder.push(bytes.subarray(0, cut));
      bed.decoder.push(bytes.subarray(cut));
      expect(bed.found).toEqual(whole.found);
    }
  });

  it.each([
    ['another magic', header(0x00524542, 1, 0)],
    ['type 0', header(REQUEST_MAGIC, 0, 0)],
    ['type 43', header(REQUEST_MAGIC, 43, 0)],
    ['a line without end', Buffer.alloc(101, 'a')],
    ['a line over the limit', Buffer.from(`${'a'.repeat(101)}\n`)],
  ])('breaks at %s, and takes nothing more', (_, bytes) => {
    const bed = new Bed();
    bed.decoder.push(bytes);
    bed.decoder.push(Buffer.from('version\n'));
    expect(bed.found).toHaveLength(1);
    expect(bed.found[0]![0]).toBe('broken');
    expect(bed.decoder.heldBytes).toBe(0);
  });

  it('survives 100,000 mutated packets', () => {
    const seed = packet(REQUEST_MAGIC, TYPE.SUBMIT_JOB_EPOCH, ['reverse', 'key', '1', 'payload']);
    let state = 1;
    const next = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    let events = 0;
    for (let i = 0; i < 100_000; i++) {
      const bytes = Buffer.from(seed);
      for (let n = next(4); n >= 0; n--) bytes[next(bytes.length)] = next(256);
      const bed = new Bed();
      bed.decoder.push(bytes.subarray(0, next(bytes.length)));
      bed.decoder.push(bytes);
      expect(bed.decoder.heldBytes).toBeLessThanOrEqual(LIMITS.bodyBytesMax + HEADER_BYTES);
      events += bed.found.length;
    }
    expect(events).toBeGreaterThan(50_000);
  });
});

describe('packets', () => {
  it('have room for the largest payload that can be allowed, and all that may stand before it', () => {
    const bytes = 4_095 * 2 ** 20;
    const { parse } = OPTIONS['limits.blob-bytes-max'];
    expect([parse(String(bytes)), parse(String(bytes + 1))]).toEqual([bytes, undefined]);
    const before = 'x'.repeat(ARGUMENTS_BYTES_MAX);
    const head = responseHead(TYPE.JOB_ASSIGN_ALL, [before], bytes);
    expect(head.readUInt32BE(8)).toBe(before.length + 1 + bytes);
  });

  it('are written as the protocol document shows', () => {
    const submit = packet(REQUEST_MAGIC, TYPE.SUBMIT_JOB, ['reverse', '', 'test']);
    expect(submit.toString('hex')).toBe('00524551000000070000000d72657665727365000074657374');
    expect(packet(RESPONSE_MAGIC, TYPE.NOOP).toString('hex')).toBe('005245530000000600000000');
  });

  it('have the arguments that were put in, the last one with any bytes', () => {
    const texts = fc.array(
      fc.string().map((text) => text.replaceAll('\0', '')),
      { maxLength: 4 },
    );
    fc.assert(
      fc.property(texts, fc.uint8Array(), (args, last) => {
        const body = packet(REQUEST_MAGIC, TYPE.SUBMIT_JOB, [...args, last]).subarray(HEADER_BYTES);
        const found = argumentsOf(body, args.length + 1)!;
        expect(found.slice(0, -1).map(String)).toEqual(args);
        expect(Buffer.from(last).equals(found.at(-1)!)).toBe(true);
      }),
    );
    expect(argumentsOf(Buffer.from('one\0two'), 3)).toBeNull();
  });

  it('may begin before all of them is there', () => {
    const whole = packet(RESPONSE_MAGIC, TYPE.JOB_ASSIGN, ['handle', 'function', 'payload']);
    const head = responseHead(TYPE.JOB_ASSIGN, ['handle', 'function'], 7);
    expect(Buffer.concat([head, Buffer.from('payload')])).toEqual(whole);
  });

  it('have names', () => {
    expect([nameOf(7), nameOf(5), nameOf(42), nameOf(43)]).toEqual([
      'SUBMIT_JOB',
      'type 5',
      'STATUS_RES_UNIQUE',
      'type 43',
    ]);
  });
});
