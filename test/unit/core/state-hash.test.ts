import { describe, expect, it } from 'vitest';
import { type Core, createCore } from '../../../src/core/index.js';
import { Bed, complete, MapPayloads } from './bed.js';

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

/** Where these bytes stand in any page, they become others of the same length. */
function swapped(from: string, to: string): (key: string, bytes: Uint8Array) => Uint8Array {
  return (_, bytes) => {
    const out = Buffer.from(bytes);
    for (let at = out.indexOf(from); at >= 0; at = out.indexOf(from, at + 1)) out.write(to, at);
    return out;
  };
}

/** The hash covers digests; what they are of lies outside the records, and is compared when a state is restored. */
describe('what jobs carry', () => {
  const large = (mark: string, bytes: number) => Buffer.concat([Buffer.from(mark), Buffer.alloc(bytes, 7)]);
  const bed = new Bed({});
  bed.submit({ function: 'g', payload: Buffer.alloc(0) });
  bed.submit({ function: 'g', payload: large('payload-inline', 0), priority: 2 });
  bed.submit({ function: 'g', payload: large('payload-shared', 2_000), uniqueKey: 'u' });
  bed.submit({ function: 'g', payload: large('payload-single', 20_000) });
  bed.submit({
    function: 'g',
    contentType: 'type/first',
    metadata: [['key', 'metadata-value']],
    traceparent: 'trace-parent',
  });
  const session = bed.open(3);
  const done = bed.submit();
  bed.outcome(session, complete(done, bed.token(done), 'result-of-it'));
  const empty = bed.submit({ payload: Buffer.alloc(0) });
  const nothing = { result: Buffer.alloc(0), resultContentType: '', dataCount: 4 };
  bed.outcome(session, { kind: 'complete', seq: empty, token: bed.token(empty), ...nothing });

  it('comes back as it was', () => {
    const copy = copyOf(bed.core, (_, bytes) => bytes);
    expect(copy.stateHash()).toBe(bed.core.stateHash());
    expect(Buffer.from(copy.job(done)!.result).toString()).toBe('result-of-it');
  });

  it.each([
    ['payload-inline', 'payload-inlinf'],
    ['payload-shared', 'payload-sharee'],
    ['payload-single', 'payload-singlf'],
    ['metadata-value', 'metadata-valuf'],
    ['type/first', 'type/firsu'],
    ['trace-parent', 'trace-parenu'],
  ])('rule: replicated inputs - a restore finds %s changed by one bit', (from, to) => {
    expect(() => copyOf(bed.core, swapped(from, to))).toThrow(
      /job \d+ carries other bytes than were submitted/,
    );
  });

  it('rule: replicated inputs - a restore finds a result that was changed by one bit', () => {
    expect(() => copyOf(bed.core, swapped('result-of-it', 'result-of-iu'))).toThrow(
      `job ${done} has another result than its worker gave`,
    );
  });
});
