import { describe, expect, it } from 'vitest';
import { MalformedBytesError } from '../../../src/base/bytes.js';
import { type Core, createCore, type SnapshotCursor } from '../../../src/core/index.js';
import { Bed, complete, MapPayloads } from './bed.js';

interface Page {
  readonly key: string;
  readonly version: number;
  readonly bytes: Uint8Array | null;
}

function rest(cursor: SnapshotCursor, skip: (key: string, version: number) => boolean = () => false): Page[] {
  const pages: Page[] = [];
  for (let page = cursor.next(skip); page !== null; page = cursor.next(skip)) pages.push(page);
  return pages;
}

function restored(pages: readonly Page[], clusterName = 'test'): { core: Core; payloads: MapPayloads } {
  const payloads = new MapPayloads();
  const core = createCore({ payloads, clusterName });
  const restorer = core.beginRestore();
  for (const { key, bytes } of pages) restorer.page(key, bytes!);
  restorer.finish();
  return { core, payloads };
}

/** Jobs of all states and sizes, sessions, timers, tombstones. */
function busy(): Bed {
  const bed = new Bed({ maxAttempts: 1 });
  const session = bed.open(40, ['f', 'g']);
  for (let i = 0; i < 600; i++) {
    const size = [0, 10, 511, 600, 9_000, 100_000][i % 6]!;
    bed.submit({
      payload: Buffer.alloc(size, i),
      function: i % 2 === 0 ? 'f' : 'h',
      delayMs: i % 7 === 0 ? 50 : 0,
    });
  }
  for (const token of bed.core.heldTokens(session).slice(0, 20)) {
    const seq = bed.core.seqOfToken(token);
    bed.outcome(session, complete(seq, token, 'r'.repeat(seq * 100)));
  }
  bed.submit({ retentionMs: 0, uniqueKey: 'k' });
  bed.submit({ uniqueKey: 'k' });
  return bed;
}

/** A job with its bytes as text, which is compared fast. */
function plain(core: Core, seq: number): unknown {
  const job = core.job(seq);
  return job === null ? null : { ...job, payload: text(job.payload), result: text(job.result) };
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

describe('snapshots', () => {
  it('bring back everything, payloads and results of all sizes included', () => {
    const bed = busy();
    const { core, payloads } = restored(rest(bed.core.beginSnapshot()));
    expect(core.stateHash()).toBe(bed.core.stateHash());
    expect(core.appliedIndex).toBe(bed.core.appliedIndex);
    expect(core.counts()).toEqual(bed.core.counts());
    expect(payloads.count).toBe(bed.payloads.count);
    expect(core.nextDue()).toEqual(bed.core.nextDue());
    expect(core.queues(null)).toEqual(bed.core.queues(null));
    for (let seq = 1; seq <= 602; seq++) expect(plain(core, seq)).toEqual(plain(bed.core, seq));
  });

  it('stand still at their index while entries go on', () => {
    const bed = busy();
    const hash = bed.core.stateHash();
    const index = bed.core.appliedIndex;
    const cursor = bed.core.beginSnapshot();
    const pages: Page[] = [];
    for (let page = cursor.next(() => false); page !== null; page = cursor.next(() => false)) {
      pages.push(page);
      const session = bed.core.session(1)!;
      const [token] = bed.core.heldTokens(1);
      if (token !== undefined) bed.outcome(session.id, complete(bed.core.seqOfToken(token), token), 1_000);
      bed.submit();
      bed.pass(3_000);
    }
    expect(bed.core.stateHash()).not.toBe(hash);
    const { core } = restored(pages);
    expect(core.appliedIndex).toBe(index);
    expect(core.stateHash()).toBe(hash);
  });

  it('stand still at their index also when entries are applied before the first page is asked for', () => {
    const bed = busy();
    const { appliedIndex } = bed.core;
    const hash = bed.core.stateHash();
    const cursor = bed.core.beginSnapshot();
    bed.submit();
    bed.core.skip(bed.core.appliedIndex + 1);
    expect(cursor.index).toBe(appliedIndex);
    const { core } = restored(rest(cursor));
    expect(core.appliedIndex).toBe(appliedIndex);
    expect(core.stateHash()).toBe(hash);
  });

  it('let go of what they kept when they end, early or not', () => {
    const bed = busy();
    for (const early of [true, false]) {
      const cursor = bed.core.beginSnapshot();
      bed.do((b) => b.purge('default', 'h', ['queued', 'scheduled']));
      bed.ticks();
      bed.pass(10_000_000_000);
      const kept = bed.payloads.count;
      if (early) cursor.cancel();
      else rest(cursor);
      if (early) expect(bed.payloads.count).toBeLessThan(kept);
      expect(cursor.next(() => false)).toBeNull();
    }
    expect(() => bed.core.beginSnapshot().cancel()).not.toThrow();
  });

  it('rule: snapshots - unchanged pages are named by the same version, changed ones by another', () => {
    const bed = busy();
    bed.pass(100);
    const before = new Map(
      rest(bed.core.beginSnapshot()).map(({ key, version, bytes }) => [key, { version, bytes }]),
    );
    bed.submit({ function: 'idle' });
    const skipped: string[] = [];
    const after = rest(bed.core.beginSnapshot(), (key, version) => before.get(key)?.version === version);
    for (const { key, version, bytes } of after) {
      if (bytes === null) skipped.push(key);
      else if (before.has(key)) expect(version, key).toBeGreaterThan(before.get(key)!.version);
    }
    expect(skipped).toContain('jobs/0');
    expect(skipped).toContain('jobs/1');
    expect(skipped.some((key) => key.startsWith('blob/'))).toBe(true);
    expect(
      after
        .filter(({ bytes }) => bytes !== null)
        .map(({ key }) => key)
        .sort(),
    ).toEqual(['functions/0', 'jobs/2', 'meta', 'nodes']);
    // Old pages and new ones together make the new state.
    const pages = after.map(({ key, version, bytes }) => ({
      key,
      version,
      bytes: bytes ?? before.get(key)!.bytes,
    }));
    expect(restored(pages).core.stateHash()).toBe(bed.core.stateHash());
  });

  it('keep every page small enough to be written in one slice', () => {
    for (const { key, bytes } of rest(busy().core.beginSnapshot())) {
      expect(bytes!.length, key).toBeLessThanOrEqual(300 * 1024);
    }
  });

  it('rule: replicated inputs - a snapshot of another form or of a higher feature level is refused', () => {
    const pages = rest(busy().core.beginSnapshot());
    for (const at of [8, 12]) {
      const changed = pages.map(({ key, version, bytes }) => {
        const copy = Buffer.from(bytes!);
        if (key === 'meta') copy.writeUInt32LE(at === 8 ? 3 : 2, at);
        return { key, version, bytes: copy };
      });
      expect(() => restored(changed)).toThrow(at === 8 ? 'snapshot format 3' : 'feature level 2');
    }
  });

  it('are refused when a page is missing, cut, unknown or of another cluster', () => {
    const pages = rest(busy().core.beginSnapshot());
    for (const key of ['meta', 'nodes', 'dedupe', 'functions/0', 'labels/0', 'sessions/0']) {
      const others = pages.filter((page) => page.key !== key);
      expect(() => restored(others), `without ${key}`).toThrow(MalformedBytesError);
    }
    const blob = pages.find(({ key }) => key.startsWith('blob/'))!;
    expect(() => restored(pages.filter((page) => page !== blob))).toThrow(MalformedBytesError);
    for (const kind of ['meta', 'jobs/0', 'sessions/0']) {
      const cut = pages.map((page) =>
        page.key === kind ? { ...page, bytes: page.bytes!.subarray(0, page.bytes!.length - 3) } : page,
      );
      expect(() => restored(cut), `${kind} cut`).toThrow(MalformedBytesError);
    }
    expect(() => restored([...pages, { key: 'what/1', version: 1, bytes: Buffer.alloc(9) }])).toThrow(
      MalformedBytesError,
    );
    expect(() => restored(pages, 'another')).toThrow('cluster');
  });
});

describe('the state hash', () => {
  it('differs when one field of one job differs, and says in which page', () => {
    const make = (priority: 0 | 1) => {
      const bed = new Bed();
      for (let i = 0; i < 300; i++) bed.submit();
      bed.submit({ priority });
      for (let i = 0; i < 300; i++) bed.submit();
      return bed.core;
    };
    const [a, b, c] = [make(0), make(1), make(1)];
    expect(b.stateHash()).toBe(c.stateHash());
    expect(a.stateHash()).not.toBe(b.stateHash());
    const others = b.pageHashes();
    const differ = Array.from(a.pageHashes()).filter(([key, hash]) => others.get(key) !== hash);
    expect(differ.map(([key]) => key)).toEqual(['jobs/1']);
  });

  it('comes back to the same value by another way of computing it', () => {
    const bed = busy();
    const incremental: string[] = [];
    for (let i = 0; i < 20; i++) {
      bed.submit();
      bed.pass(1_000);
      incremental.push(bed.core.stateHash());
    }
    const { core } = restored(rest(bed.core.beginSnapshot()));
    expect(core.stateHash()).toBe(incremental.at(-1));
    expect(new Set(incremental).size).toBe(20);
  });
});

describe('a core that is emptied', () => {
  it('holds neither records, nor payloads, nor tombstones, nor sessions', () => {
    const bed = busy();
    const session = bed.open(10_000, ['f', 'g', 'h']);
    bed.pass(100);
    for (const id of [1, session]) {
      for (const token of bed.core.heldTokens(id))
        bed.outcome(id, complete(bed.core.seqOfToken(token), token));
      bed.do((b) => b.sessionClose(id, 1));
    }
    for (let i = 0; i < 30; i++) bed.pass(60_000);
    expect(bed.core.counts()).toMatchObject({
      jobs: 0,
      running: 0,
      sessions: 0,
      dedupeEntries: 0,
      payloadBytes: 0,
    });
    expect(Array.from(bed.core.pageHashes().keys()).sort()).toEqual([
      'dedupe',
      'functions/0',
      'meta',
      'nodes',
    ]);
    expect(bed.core.nextDue()).toEqual({
      elapsedUs: Number.POSITIVE_INFINITY,
      wall: Number.POSITIVE_INFINITY,
      tidyWall: Number.POSITIVE_INFINITY,
      sweeping: false,
    });
  });
});
