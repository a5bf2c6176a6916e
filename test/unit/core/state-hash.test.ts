import { describe, expect, it } from 'vitest';
import { type Core, createCore } from '../../../src/core/index.js';
import { Bed, MapPayloads } from './bed.js';

/** Goal: a replica that differs in one field of one record is noticed, and the page with the difference is named. */
function copyOf(core: Core, change: (key: string, bytes: Uint8Array) => Uint8Array): Core {
  const copy = createCore({ payloads: new MapPayloads(), clusterName: 'test' });
  const restorer = copy.beginRestore();
  const cursor = core.beginSnapshot();
  for (let page = cursor.next(() => false); page !== null; page = cursor.next(() => false)) {
    restorer.page(page.key, change(page.key, page.bytes!));
  }
  restorer.finish();
  return copy;
}

/** The eight bytes of `from` as a double, replaced by `to` wherever they stand. */
function replaced(bytes: Uint8Array, from: number, to: number): Uint8Array {
  const [old, fresh] = [Buffer.alloc(8), Buffer.alloc(8)];
  old.writeDoubleLE(from);
  fresh.writeDoubleLE(to);
  const out = Buffer.from(bytes);
  for (let at = out.indexOf(old); at >= 0; at = out.indexOf(old, at + 8)) fresh.copy(out, at);
  return out;
}

describe('the state hash', () => {
  const RUN_TIMEOUT_MS = 123_457;
  const bed = new Bed({});
  bed.submit({ function: 'f', runTimeoutMs: RUN_TIMEOUT_MS });
  bed.submit({ function: 'f' });

  it('is the same for an exact copy', () => {
    const copy = copyOf(bed.core, (_, bytes) => bytes);
    expect(copy.stateHash()).toBe(bed.core.stateHash());
  });

  it('rule: replicated inputs - the hash differs when one field of one job does, and so does that of its page alone', () => {
    const changed = copyOf(bed.core, (_, bytes) => replaced(bytes, RUN_TIMEOUT_MS, RUN_TIMEOUT_MS + 1));
    expect(changed.job(1)?.runTimeoutMs).toBe(RUN_TIMEOUT_MS + 1);
    expect(changed.stateHash()).not.toBe(bed.core.stateHash());
    const before = bed.core.pageHashes();
    const different = [...changed.pageHashes()].filter(([key, hash]) => before.get(key) !== hash);
    expect(different).toHaveLength(1);
  });
});
