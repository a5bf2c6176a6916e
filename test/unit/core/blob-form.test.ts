/** The form in which payloads and results are kept: what goes in comes out, and the usual types take no room. */
import { describe, expect, it } from 'vitest';
import { ByteWriter, MalformedBytesError } from '../../../src/base/bytes.js';
import {
  blobBodyLength,
  readResult,
  readSubmission,
  writeResult,
  writeSubmission,
} from '../../../src/core/blobs.js';
import { Bed } from './bed.js';

const USUAL = ['application/octet-stream', 'text/plain; charset=utf-8', 'application/json', 'text/plain'];
const TYPES = ['', ...USUAL, 'image/png', 'APPLICATION/JSON', 'application/json '];
const body = Buffer.from('0123456789');
const bed = new Bed();

function submission(contentType: string, traceparent = '', metadata: [string, string][] = []): Buffer {
  const writer = new ByteWriter();
  writeSubmission(writer, bed.spec({ payload: body, contentType, traceparent, metadata }));
  return writer.take();
}

function result(contentType: string): Buffer {
  const writer = new ByteWriter();
  writeResult(writer, contentType, body);
  return writer.take();
}

describe('the blob of a job', () => {
  it.each(TYPES)('keeps the content type %o', (contentType) => {
    const blob = submission(contentType);
    expect(readSubmission(blob)).toEqual({ contentType, traceparent: '', metadata: [], payload: body });
    expect(blobBodyLength(blob)).toBe(body.length);
    expect(readResult(result(contentType))).toEqual({ contentType, result: body });
    expect(blobBodyLength(result(contentType))).toBe(body.length);
    const isShort = contentType === '' || USUAL.includes(contentType);
    expect(blob.length === body.length + 4).toBe(isShort);
    expect(result(contentType).length === body.length + 4).toBe(isShort);
  });

  it.each(TYPES)('keeps what stands beside the content type %o', (contentType) => {
    for (const [traceparent, metadata] of [
      ['00-trace', []],
      ['', [['key', 'value']]],
      ['00-trace', [['key', '']]],
    ] as [string, [string, string][]][]) {
      const blob = submission(contentType, traceparent, metadata);
      expect(readSubmission(blob)).toEqual({ contentType, traceparent, metadata, payload: body });
      expect(blobBodyLength(blob)).toBe(body.length);
    }
  });

  it('is kept for its content type alone', () => {
    for (const contentType of TYPES) {
      const seq = bed.submit({ payload: Buffer.alloc(0), contentType });
      expect(bed.core.job(seq)).toMatchObject({ contentType });
      expect(bed.core.job(seq)!.payload.length).toBe(0);
    }
    expect(bed.payloads.count).toBe(TYPES.length - 1);
  });

  it('has these numbers for the usual types, in all logs and snapshots', () => {
    const heads = USUAL.map((contentType) => submission(contentType).readUInt32LE(0));
    expect(heads).toEqual([0x80000000, 0x80000001, 0x80000002, 0x80000003]);
  });

  it('is refused with a number that is not known', () => {
    const blob = Buffer.from([9, 0, 0, 0x80, 1, 2]);
    for (const read of [readSubmission, readResult, blobBodyLength]) {
      expect(() => read(blob)).toThrow(MalformedBytesError);
    }
  });
});
