import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parsePageToken, parseRevision, toPageToken, toRevision } from '../../../src/api/revision.js';

test('rule: numbers - a revision is an opaque string that comes back as it went', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 31), (index) => {
      expect(parseRevision(toRevision(index))).toBe(index);
    }),
  );
  expect(parseRevision(toRevision(Number.MAX_SAFE_INTEGER))).toBe(Number.MAX_SAFE_INTEGER);
  expect(parseRevision('')).toBe(0);
});

test.each(['1', '0-', '1-5', '0-05', '0-zzzzzzzzzzz', '0-5x!', '-0-5', '0-A'])(
  '%j is no revision',
  (text) => {
    expect(parseRevision(text)).toBeNull();
  },
);

test('rule: numbers - a page token is an opaque string that belongs to its query', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), fc.string(), fc.string(), (position, one, other) => {
      const token = toPageToken(['jobs', one], position);
      expect(parsePageToken(['jobs', one], token)).toBe(Buffer.from(position).toString());
      if (one !== other) expect(parsePageToken(['jobs', other], token)).toBeNull();
    }),
  );
});

test('noise is no page token', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), (noise) => {
      expect(parsePageToken(['jobs'], noise)).toBeNull();
    }),
  );
  expect(parsePageToken(['jobs'], '')).toBe('');
});
