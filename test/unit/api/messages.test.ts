import { describe, expect, it } from 'vitest';
import { fromBuffer } from '../../../proto/gen/from-buffer.js';
import { JobSpec, SubmitJobsRequest } from '../../../proto/gen/gearmesh/v1/job.js';

/** Goal: the reader of the generated code reads every text as the library's own does, and refuses what that refuses. */
const TEXTS = [
  '',
  'a',
  'resize',
  '\u0000\u007f',
  'é',
  'größe',
  '\u{1f600}',
  'x'.repeat(63),
  'x'.repeat(64),
  'x'.repeat(65),
  `${'x'.repeat(63)}é`,
  'x'.repeat(1_000),
  'ü'.repeat(1_000),
];

/** A message with this in place of its first field, a text. */
function withText(bytes: Uint8Array, length = bytes.length): Buffer {
  return Buffer.concat([Buffer.from([0x0a, length]), bytes]);
}

describe('a message from the wire', () => {
  it('has its texts, whatever they are made of', () => {
    for (const text of TEXTS) {
      for (const next of TEXTS) {
        const bytes = Buffer.from(JobSpec.encode(JobSpec.create({ id: text, function: next })).finish());
        const read = fromBuffer(JobSpec, bytes);
        expect([read.id, read.function]).toEqual([text, next]);
        expect(read).toEqual(JobSpec.decode(bytes));
      }
    }
  });

  it('has views of its bytes, within the buffer in which it came', () => {
    const jobs = [{ function: 'f', payload: Buffer.from('abc') }, { function: 'größe' }].map((job) =>
      JobSpec.create(job),
    );
    const bytes = SubmitJobsRequest.encode(SubmitJobsRequest.create({ namespace: 'n', jobs })).finish();
    const around = Buffer.concat([Buffer.from('before'), bytes, Buffer.from('after')]);
    const read = fromBuffer(SubmitJobsRequest, around.subarray(6, 6 + bytes.length));
    expect(read.jobs.map((job) => job.function)).toEqual(['f', 'größe']);
    expect(Buffer.from(read.jobs[0]!.payload).toString()).toBe('abc');
    expect(read.jobs[0]!.payload.buffer).toBe(around.buffer);
  });

  it('is refused where a text is no UTF-8 or longer than the message', () => {
    for (const bytes of [[0xff], [0x61, 0xc3], [0xed, 0xa0, 0x80], [0xc0, 0x80]]) {
      const message = withText(Uint8Array.from(bytes));
      expect(() => JobSpec.decode(message)).toThrow();
      expect(() => fromBuffer(JobSpec, message)).toThrow();
    }
    for (const length of [2, 64, 100]) {
      const message = withText(Buffer.from('a'), length);
      expect(() => JobSpec.decode(message)).toThrow();
      expect(() => fromBuffer(JobSpec, message)).toThrow();
    }
  });
});
