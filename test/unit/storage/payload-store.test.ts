import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createPayloadStore } from '../../../src/storage/index.js';

describe('the payload store', () => {
  it('gives back what was put, at any size, and counts the bytes', () => {
    const store = createPayloadStore();
    const sizes = [0, 1, 15, 16, 17, 100, 1_000, 65_535, 65_536, 65_537, 300_000];
    const handles = sizes.map((size, i) => store.put(Buffer.alloc(size, i + 1)));
    expect(new Set(handles).size).toBe(sizes.length);
    handles.forEach((handle, i) => {
      expect(Number.isSafeInteger(handle) && handle > 0).toBe(true);
      expect(Buffer.from(store.get(handle)).equals(Buffer.alloc(sizes[i]!, i + 1))).toBe(true);
    });
    expect(handles.map((handle) => store.length(handle))).toEqual(sizes);
    expect(store.bytes).toBe(sizes.reduce((sum, size) => sum + size, 0));
    for (const handle of handles) store.release(handle);
    expect(store.bytes).toBe(0);
    expect(store.reservedBytes).toBe(0);
  });

  it('behaves like a map, whatever the order of puts and releases', () => {
    const size = fc.oneof(
      fc.integer({ min: 0, max: 64 }),
      fc.integer({ min: 0, max: 5_000 }),
      fc.integer({ min: 60_000, max: 70_000 }),
    );
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ put: size }) },
      { weight: 2, arbitrary: fc.record({ release: fc.nat() }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const store = createPayloadStore();
        const model = new Map<number, Buffer>();
        let fill = 0;
        for (const one of steps) {
          if ('put' in one) {
            const bytes = Buffer.alloc(one.put, ++fill);
            const handle = store.put(bytes);
            expect(model.has(handle)).toBe(false);
            model.set(handle, bytes);
          } else if (model.size > 0) {
            const handle = [...model.keys()][one.release % model.size]!;
            store.release(handle);
            model.delete(handle);
            expect(() => store.get(handle)).toThrow('live');
          }
        }
        let bytes = 0;
        for (const [handle, content] of model) {
          expect(content.equals(store.get(handle))).toBe(true);
          bytes += content.length;
        }
        expect(store.bytes).toBe(bytes);
      }),
      { numRuns: 60 },
    );
  });

  it('wastes little, and gives memory back when it is empty', () => {
    const store = createPayloadStore();
    const handles: number[] = [];
    for (let i = 0; i < 50_000; i++) handles.push(store.put(Buffer.alloc(100 + (i % 50))));
    expect(store.reservedBytes).toBeLessThan(store.bytes * 1.4);
    const full = store.reservedBytes;
    for (const handle of handles) store.release(handle);
    expect(store.reservedBytes).toBe(0);
    const again = handles.map((_, i) => store.put(Buffer.alloc(100 + (i % 50))));
    expect(store.reservedBytes).toBe(full);
    again.forEach((handle, i) => {
      if (i % 2 === 0) store.release(handle);
    });
    for (let i = 0; i < 25_000; i++) store.put(Buffer.alloc(100));
    expect(store.reservedBytes).toBeLessThan(full * 1.5);
  });

  it('wastes next to nothing on many small payloads, and little on a few of each size', () => {
    const many = createPayloadStore();
    for (let i = 0; i < 100_000; i++) many.put(Buffer.alloc(104));
    expect(many.reservedBytes).toBeLessThan(many.bytes * 1.11);
    const few = createPayloadStore();
    for (let size = 0; size <= 256; size++) few.put(Buffer.alloc(size));
    // A chunk of 64 KiB for every multiple of 8 from 16 to 256.
    expect(few.reservedBytes).toBe(31 * 64 * 1024);
  });

  it('stops on a handle that is not live', () => {
    const store = createPayloadStore();
    const first = store.put(Buffer.from('a'));
    const second = store.put(Buffer.from('b'));
    store.release(first);
    expect(() => store.release(first)).toThrow('invariant');
    expect(() => store.get(first)).toThrow('invariant');
    const third = store.put(Buffer.from('c'));
    expect(() => store.release(first)).toThrow('invariant');
    expect(Buffer.from(store.get(second)).toString()).toBe('b');
    for (const bad of [0, -1, 7, third + 65_536 * 1_000, 2 ** 52, Number.NaN]) {
      expect(() => store.get(bad)).toThrow('invariant');
    }
    store.release(second);
    store.release(third);
    expect(() => store.release(third)).toThrow('invariant');
  });

  it('recognises an old handle after its whole chunk went and came again', () => {
    const store = createPayloadStore();
    const old = store.put(Buffer.alloc(100_000));
    store.release(old);
    const next = store.put(Buffer.alloc(100_000));
    expect(next).not.toBe(old);
    expect(() => store.release(old)).toThrow('invariant');
  });
});
