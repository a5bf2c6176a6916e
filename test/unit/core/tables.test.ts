import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AckRing } from '../../../src/core/tables/ack-ring.js';
import { mix32, mixId, mixSeq } from '../../../src/core/tables/hash.js';
import { HashIndex } from '../../../src/core/tables/hash-index.js';
import { TimerHeap } from '../../../src/core/tables/timer-heap.js';
import { TokenTable } from '../../../src/core/tables/token-table.js';
import { TombIndex } from '../../../src/core/tables/tomb-index.js';

describe('HashIndex', () => {
  it('finds what a Map finds, with hashes that collide', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ key: fc.nat(200), add: fc.boolean() }), { maxLength: 600 }),
        fc.integer({ min: 1, max: 0xffffffff }),
        (steps, spread) => {
          const index = new HashIndex(2);
          const model = new Map<number, number>();
          const hash = (key: number) => Math.imul(key % 50, spread) >>> 0;
          const value = (key: number) => key + 1 + 2 ** 40 * (key % 2);
          for (const { key, add } of steps) {
            if (add && !model.has(key)) {
              index.add(hash(key), value(key));
              model.set(key, value(key));
            } else if (!add && model.has(key)) {
              index.remove(hash(key), value(key));
              model.delete(key);
            }
          }
          for (let key = 0; key <= 200; key++) {
            const found = index.find(hash(key), key, (wanted, at) => at === value(wanted));
            expect(found).toBe(model.get(key) ?? 0);
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  it('finds every value while its shards grow far, shrink, and values of other parts come and go', () => {
    const index = new HashIndex(1);
    const COUNT = 60_000;
    const hash = (key: number) => mix32(key);
    // Old, present and future seqs, as after restores.
    const value = (key: number) => key + 1 + (key % 10 === 0 ? 0 : key % 10 === 1 ? 2 ** 52 : 2 ** 41);
    const same = (wanted: number, at: number) => at === value(wanted);
    for (let key = 0; key < COUNT; key++) index.add(hash(key), value(key));
    for (let key = 0; key < COUNT; key++) expect(index.find(hash(key), key, same)).toBe(value(key));
    for (let key = 0; key < COUNT; key++) if (key % 50 !== 0) index.remove(hash(key), value(key));
    for (let key = 0; key < COUNT; key++) {
      expect(index.find(hash(key), key, same)).toBe(key % 50 === 0 ? value(key) : 0);
    }
    for (let key = 0; key < COUNT; key++) if (key % 50 !== 0) index.add(hash(key), value(key));
    for (let key = 0; key < COUNT; key++) expect(index.find(hash(key), key, same)).toBe(value(key));
    for (let key = 0; key < COUNT; key++) index.remove(hash(key), value(key));
    for (let key = 0; key < COUNT; key++) expect(index.find(hash(key), key, same)).toBe(0);
  });

  it('keeps the first and the last value of a part', () => {
    const index = new HashIndex(2);
    const values = [1, 2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1];
    for (const value of values) index.add(7, value);
    for (const value of values) expect(index.find(7, value, (wanted, at) => at === wanted)).toBe(value);
    for (const value of values) {
      index.remove(7, value);
      expect(index.find(7, value, (wanted, at) => at === wanted)).toBe(0);
    }
  });

  it('complains about the removal of what is not there', () => {
    const index = new HashIndex(2);
    expect(() => index.remove(1, 1)).toThrow('in it');
    index.add(1, 1);
    expect(() => index.remove(1, 2)).toThrow('in it');
    expect(() => index.remove(1, 2 ** 40)).toThrow('in it');
  });
});

describe('hashes of ids and seqs', () => {
  const words = new Uint32Array(4);
  const idAt = (ms: number, random: number): number => {
    const bytes = Buffer.from(words.buffer);
    bytes.writeUIntBE(ms, 0, 6);
    for (let at = 6; at < 16; at += 2) bytes.writeUInt16LE(mix32(random + at) & 0xffff, at);
    return mixId(words[0]!, words[1]!, words[2]!, words[3]!);
  };
  /** Most values that have the same bits from `shift` on, `count` of them. */
  const fullest = (hashes: readonly number[], shift: number, count: number): number => {
    const parts = new Uint32Array(count);
    for (const hash of hashes) parts[(hash >>> shift) & (count - 1)]! += 1;
    return Math.max(...parts);
  };

  it('lead with the time, so that ids of one moment are together, and are spread below it', () => {
    const now = 1_770_000_000_000 - (1_770_000_000_000 % 256);
    const moment = Array.from({ length: 4_096 }, (_, i) => idAt(now + (i % 256), i));
    expect(new Set(moment.map((hash) => hash >>> 25)).size).toBe(1);
    expect(new Set(moment).size).toBeGreaterThan(4_090);
    for (const [shift, count] of [
      [17, 256],
      [9, 256],
      [0, 256],
      [22, 8],
    ] as const) {
      expect(fullest(moment, shift, count)).toBeLessThan((4_096 / count) * 1.5 + 24);
    }
    const seconds = Array.from({ length: 128 }, (_, i) => idAt(now + i * 256, 7) >>> 25);
    expect(new Set(seconds).size).toBe(128);
  });

  it('keep seqs that follow one another together, sixteen by sixteen, and spread those', () => {
    const first = 2 ** 40;
    for (let i = 1; i < 16; i++) expect(mixSeq(first + i)).toBe(mixSeq(first) + i);
    const lines = Array.from({ length: 4_096 }, (_, i) => mixSeq(first + i * 16));
    expect(new Set(lines).size).toBeGreaterThan(4_090);
    for (const shift of [4, 12, 24]) expect(fullest(lines, shift, 256)).toBeLessThan(48);
  });
});

describe('TombIndex', () => {
  it('finds every entry again while it grows', () => {
    const hash = (entry: number) => mix32(entry % 5000);
    const first = new TombIndex(hash, null);
    for (let entry = 0; entry < 20_000; entry++) first.add(hash(entry), entry);
    const second = new TombIndex(hash, first);
    for (let entry = 0; entry < 20_000; entry++) second.add(hash(entry), entry);
    for (const index of [first, second]) {
      for (let entry = 0; entry < 20_000; entry += 7) {
        const found: number[] = [];
        for (let at = index.first(hash(entry)); at >= 0; at = index.next()) found.push(at);
        expect(found).toContain(entry);
      }
      expect(index.first(mix32(999_999))).toBe(-1);
    }
  });
});

describe('TimerHeap', () => {
  it('gives timers by due time, then key, whatever is taken out between', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ due: fc.nat(50), remove: fc.nat(3), pick: fc.nat(1000) }), { maxLength: 300 }),
        (steps) => {
          const heap = new TimerHeap();
          const set: { due: number; key: number; handle: number }[] = [];
          let key = 0;
          for (const { due, remove, pick } of steps) {
            if (remove === 0 && set.length > 0) {
              const [gone] = set.splice(pick % set.length, 1);
              heap.remove(gone!.handle);
            } else {
              key++;
              set.push({ due, key, handle: heap.add(due, key) });
            }
          }
          set.sort((a, b) => a.due - b.due || a.key - b.key);
          for (const timer of set) {
            expect([heap.due, heap.key]).toEqual([timer.due, timer.key]);
            heap.remove(timer.handle);
          }
          expect([heap.size, heap.due, heap.key]).toEqual([0, Number.POSITIVE_INFINITY, 0]);
        },
      ),
    );
  });
});

describe('TokenTable', () => {
  it('forgets pages of which no lease is left', () => {
    const table = new TokenTable();
    for (let token = 1; token <= 1000; token++) table.add(token, token * 2);
    for (let token = 1; token <= 1000; token++) {
      if (token !== 500) table.remove(token);
    }
    expect(table.get(500)).toBe(1000);
    expect(table.get(501)).toBe(0);
    expect(table.get(2 ** 45)).toBe(0);
    table.add(2 ** 45, 7);
    expect(table.get(2 ** 45)).toBe(7);
  });
});

describe('AckRing', () => {
  it('keeps its order while it grows and turns', () => {
    const ring = new AckRing();
    let next = 1;
    let expected = 1;
    for (let round = 0; round < 50; round++) {
      for (let i = 0; i < 100; i++) ring.push(next, next++ * 10);
      for (let i = 0; i < 60; i++) {
        expect([ring.token, ring.startedUs]).toEqual([expected, expected++ * 10]);
        ring.shift();
      }
    }
    expect(ring.size).toBe(next - expected);
  });
});
