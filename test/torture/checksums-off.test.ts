/** The torture can fail: with checksums that fit whatever they are of, turned bits are taken for data, and it says so. */
import { expect, it, vi } from 'vitest';
import { Violation } from './examine.js';
import { tortureByFlips } from './flips.js';

// Storage has no switch for its checks, and needs none for this: its checksums all come from here.
vi.mock('node:zlib', async (original) => ({
  ...(await original<typeof import('node:zlib')>()),
  crc32: () => 7,
}));

it('finds storage whose checksums are not checked', async () => {
  const found = new Set<string>();
  for (let seed = 1; seed <= 12; seed++) {
    await tortureByFlips(seed, 4, new Map()).catch((error) => {
      if (!(error instanceof Violation)) throw error;
      found.add(error.message);
    });
  }
  expect(found.size).toBe(12);
  expect([...found].some((message) => /other bytes|instead of/.test(message))).toBe(true);
});
