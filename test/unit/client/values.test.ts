/** Ids, payloads, pauses. */
import { describe, expect, test } from 'vitest';
import { isUlid, ulidTimeMs, ulidToBytes } from '../../../src/base/ulid.js';
import { backoffMs } from '../../../src/client/backoff.js';
import { decodeJson, decodePayload, decodeText, encodePayload } from '../../../src/client/index.js';
import { IdSource } from '../../../src/client/ulid.js';

function timeOf(id: string): number {
  const bytes = new Uint8Array(16);
  ulidToBytes(id, bytes);
  return ulidTimeMs(bytes);
}

describe('ids', () => {
  test('are ULIDs of the present time, ascending and distinct within a millisecond', () => {
    let now = 1_700_000_000_123;
    const ids = new IdSource(() => now);
    const made: string[] = [];
    for (let i = 0; i < 5_000; i++) {
      if (i % 1_000 === 0) now++;
      made.push(ids.next());
    }
    expect(made.every(isUlid)).toBe(true);
    expect(new Set(made).size).toBe(made.length);
    expect([...made].sort()).toEqual(made);
    expect(timeOf(made[0]!)).toBe(1_700_000_000_124);
    expect(timeOf(made.at(-1)!)).toBe(now);
  });

  test('carry the time of the cluster once it is known, also when that is earlier', () => {
    const ids = new IdSource(() => 5_000_000);
    expect(timeOf(ids.next())).toBe(5_000_000);
    ids.observe(5_000_900); // too little to matter
    expect(timeOf(ids.next())).toBe(5_000_000);
    ids.observe(1_000_000);
    expect(timeOf(ids.next())).toBe(1_000_000);
  });

  test('of two sources differ', () => {
    const [a, b] = [new IdSource(() => 1), new IdSource(() => 1)];
    expect(a.next()).not.toBe(b.next());
  });
});

describe('payloads', () => {
  test('name their type and come back as they were', () => {
    for (const value of ['äö', { a: [1, null] }, 5, true, null, '']) {
      const { bytes, contentType } = encodePayload(value);
      expect(decodePayload(bytes, contentType)).toEqual(value);
    }
    const raw = new Uint8Array([0, 255]);
    const { bytes, contentType } = encodePayload(raw);
    expect(contentType).toBe('application/octet-stream');
    expect(decodePayload(bytes, contentType)).toBe(raw);
  });

  test('a type of the caller is kept; +json and text count as such', () => {
    expect(encodePayload('<a/>', 'text/xml').contentType).toBe('text/xml');
    expect(decodePayload(Buffer.from('{}'), 'Application/Problem+JSON; charset=utf-8')).toEqual({});
    expect(decodeText(Buffer.from('x'))).toBe('x');
    expect(() => decodeJson(Buffer.from('{'))).toThrow(SyntaxError);
  });

  test('nothing is no bytes without a type', () => {
    expect(encodePayload(undefined)).toEqual({ bytes: new Uint8Array(0), contentType: '' });
    expect(() => encodePayload((() => 1) as never)).toThrow(TypeError);
  });
});

test('pauses: none while there is another endpoint, then from 10 ms on to the bound', () => {
  expect([0, 1, 2].map((failures) => backoffMs(failures, 3))).toEqual([0, 0, 0]);
  for (let failures = 3; failures < 60; failures++) {
    const full = Math.min(1_000, 10 * 2 ** (failures - 3));
    const ms = backoffMs(failures, 3);
    expect(ms).toBeGreaterThanOrEqual(full / 2);
    expect(ms).toBeLessThanOrEqual(full);
  }
});
