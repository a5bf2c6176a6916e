import { ErrCompacted, ErrUnavailable } from '@coaty/consensus.raft/ported/storage.js';
import { describe, expect, test } from 'vitest';
import { LogOutline } from '../../../src/base/log-outline.js';
import { LogRecord, MemoryLog } from '../../../src/consensus/log.js';
import { members } from './cluster.js';

const membership = members([1]);
const DATA = 36;
/** What one entry counts in memory. */
const COST = DATA + 64;
const KEEP = 10 * COST;

/** A log behind a mark at 10 that keeps ten entries in memory, over a disk that has whatever was appended. */
function bed(keepBytes = KEEP) {
  const disk = new Map<number, LogRecord>();
  const reads: { from: number; to: number; bytes: number }[] = [];
  const log = new MemoryLog(
    {
      hardState: { term: 1, vote: 0, commit: 10 },
      mark: { index: 10, term: 1, membership },
      entries: [],
    },
    {
      keepBytes,
      source: {
        read: (from, to, bytes) => {
          reads.push({ from, to, bytes });
          const found: LogRecord[] = [];
          for (let index = from; index <= to && found.length < 8; index++) found.push(disk.get(index)!);
          return found;
        },
      },
    },
  );
  const append = (from: number, to: number, term: number): void => {
    for (let index = from; index <= to; index++) {
      const record = new LogRecord(term, index, 'command', Buffer.alloc(DATA, index));
      disk.set(index, record);
      log.append([record]);
    }
  };
  const range = (from: number, to: number, bytes = 1e6, most = 1e6): string =>
    log
      .range(from, to, bytes, most)
      .map(({ index, term }) => `${index}/${term}`)
      .join(' ');
  return { log, disk, reads, append, range };
}

describe('the log in memory', () => {
  test('holds all that is not applied, and of the rest the newest', () => {
    const { log, append } = bed();
    append(11, 110, 1);
    expect(log.heldFrom).toBe(11);
    log.forget(30);
    expect(log.heldFrom).toBe(31);
    log.forget(110);
    expect(log.heldFrom).toBe(101);
    expect(log.heldBytes).toBe(KEEP);
    expect([log.firstIndex, log.lastIndex]).toEqual([11, 110]);
  });

  test('lets go of many at once, and never holds more than an eighth above what it keeps', () => {
    const { log, append } = bed(100 * COST);
    const cuts = new Set<number>();
    for (let index = 11; index <= 2_010; index++) {
      append(index, index, 1);
      log.forget(index);
      cuts.add(log.heldFrom);
      expect(log.heldBytes).toBeLessThanOrEqual((100 * COST * 8) / 7 + COST);
    }
    expect(cuts.size).toBeLessThan(150);
    expect(log.heldFrom).toBeGreaterThan(1_890);
  });

  test('keeps all without an archive', () => {
    const log = new MemoryLog({
      hardState: { term: 1, vote: 0, commit: 0 },
      mark: { index: 10, term: 1, membership },
      entries: [],
    });
    log.append([new LogRecord(1, 11, 'command', Buffer.alloc(1_000))]);
    log.forget(11);
    expect(log.heldFrom).toBe(11);
  });

  test('lets go of what was found at the start as soon as it is applied', () => {
    const found = [11, 12, 13, 14].map((index) => ({
      index,
      term: 1,
      kind: 'command' as const,
      data: Buffer.alloc(DATA),
    }));
    const log = new MemoryLog(
      {
        hardState: { term: 1, vote: 0, commit: 14 },
        mark: { index: 10, term: 1, membership },
        entries: found,
      },
      { keepBytes: COST, source: { read: (from, to) => found.slice(from - 11, to - 10) } },
    );
    log.forget(12);
    expect(log.heldFrom).toBe(13);
    expect(log.range(11, 14, 1e6, 10).map(({ index }) => index)).toEqual([11, 12]);
    log.forget(14);
    expect(log.heldFrom).toBe(14);
  });

  describe('behind entries that a start left on disk', () => {
    /** Entries 11 to 30 are on disk alone, 31 to 40 were handed over; all to 35 is committed, none is applied. */
    function started() {
      const disk = new Map<number, LogRecord>();
      const older = new LogOutline(11);
      for (let index = 11; index <= 40; index++) {
        const kind = index === 14 || index === 33 ? 'membership' : 'command';
        disk.set(index, new LogRecord(index < 20 ? 2 : 3, index, kind, Buffer.alloc(DATA)));
        if (index <= 30) older.add(index, disk.get(index)!.term, kind === 'membership');
      }
      const all = (from: number, to: number): LogRecord[] =>
        Array.from({ length: to - from + 1 }, (_, i) => disk.get(from + i)!);
      const initial = {
        hardState: { term: 3, vote: 0, commit: 35 },
        mark: { index: 10, term: 1, membership },
        entries: all(31, 40),
        older,
      };
      const archive = { keepBytes: 4 * COST, source: { read: all } };
      return { log: new MemoryLog(initial, archive), initial, archive };
    }

    test('begins where it did, and knows all terms and changes of the membership', () => {
      const { log } = started();
      expect([log.firstIndex, log.heldFrom, log.lastIndex]).toEqual([11, 31, 40]);
      expect([10, 11, 19, 20, 30, 31, 40, 41].map((index) => log.termAt(index))).toEqual([
        1,
        2,
        2,
        3,
        3,
        3,
        3,
        null,
      ]);
      expect(log.range(25, 40, 1e6, 1e6).map(({ index }) => index)).toEqual([25, 26, 27, 28, 29, 30]);
      const changes = (from: number, to: number): boolean => log.changesMembership(from, to);
      expect([changes(11, 13), changes(11, 14), changes(14, 14), changes(15, 32)]).toEqual([
        false,
        true,
        true,
        false,
      ]);
      expect([changes(15, 33), changes(33, 99), changes(34, 99), changes(12, 11)]).toEqual([
        true,
        true,
        false,
        false,
      ]);
    });

    test('lets go of nothing while what is on disk is applied, and then of the oldest as ever', () => {
      const { log } = started();
      for (const applied of [11, 20, 30]) {
        log.forget(applied);
        expect([log.heldFrom, log.heldBytes]).toEqual([31, 10 * COST]);
      }
      log.forget(35);
      expect([log.heldFrom, log.heldBytes]).toEqual([36, 5 * COST]);
      log.append([new LogRecord(4, 36, 'command'), new LogRecord(4, 37, 'command')]);
      expect([log.lastIndex, log.termAt(36), log.termAt(35)]).toEqual([37, 4, 3]);
      expect(() => log.append([new LogRecord(4, 35, 'command')])).toThrow('join the log');
    });

    test('is cut short by a snapshot inside of them and behind, and begins anew behind one that came', () => {
      const { log } = started();
      const mark = { index: 25, term: 3, membership };
      log.compact(mark, 18);
      expect([log.firstIndex, log.heldFrom, log.termAt(17), log.termAt(16)]).toEqual([18, 31, 2, null]);
      expect(log.changesMembership(11, 30)).toBe(false);
      log.compact({ index: 34, term: 3, membership }, 34);
      expect([log.firstIndex, log.heldFrom, log.lastIndex, log.heldBytes]).toEqual([34, 34, 40, 7 * COST]);
      const { log: other } = started();
      other.restart({ index: 100, term: 5, membership });
      expect([other.firstIndex, other.heldFrom, other.lastIndex]).toEqual([101, 101, 100]);
    });

    test('stops where what it is given cannot be', () => {
      const { initial, archive } = started();
      const from = (changed: object): MemoryLog => new MemoryLog({ ...initial, ...changed }, archive);
      expect(() => new MemoryLog(initial)).toThrow('can be read');
      expect(() => from({ hardState: { ...initial.hardState, commit: 29 } })).toThrow('may be replaced');
      expect(() => from({ older: initial.older.part(11, 29) })).toThrow('no gap');
      expect(() => from({ older: initial.older.part(12, 30) })).toThrow('begins behind its mark');
      expect(() => from({ entries: [new LogRecord(2, 31, 'command')] })).toThrow('terms never fall');
    });
  });

  test('reads what it let go of, with the same limits, and not beyond it', () => {
    const { log, append, range, reads } = bed();
    append(11, 110, 1);
    log.forget(110);
    reads.length = 0;
    expect(range(101, 110)).toContain('101/1 102/1');
    expect(reads).toEqual([]);
    expect(range(98, 110)).toBe('98/1 99/1 100/1');
    expect(reads).toEqual([{ from: 98, to: 100, bytes: 1e6 }]);
    expect(range(20, 90)).toBe('20/1 21/1 22/1 23/1 24/1 25/1 26/1 27/1');
    expect(range(20, 90, 1e6, 2)).toBe('20/1 21/1');
    expect(reads.at(-1)!.to).toBe(21);
    expect(range(20, 90, 1)).toBe('20/1');
    expect(range(20, 90, 3 * (DATA + 16))).toBe('20/1 21/1 22/1');
    // Whatever the port asks for, a read is a piece.
    log.Entries(20, 90, Number.MAX_SAFE_INTEGER);
    expect(reads.at(-1)!.bytes).toBe(4 * 1024 * 1024);
    expect(log.Entries(10, 90, 1e6)[1]).toBeInstanceOf(ErrCompacted);
    expect(log.Entries(20, 112, 1e6)[1]).toBeInstanceOf(ErrUnavailable);
  });

  test('knows all terms without a read, down to its base', () => {
    const { log, append, reads } = bed(2 * COST);
    const terms = new Map<number, number>([[10, 1]]);
    let last = 10;
    for (const [term, count] of [
      [1, 3],
      [2, 1],
      [5, 30],
      [6, 1],
      [7, 25],
    ] as const) {
      append(last + 1, last + count, term);
      for (let i = 1; i <= count; i++) terms.set(last + i, term);
      last += count;
      log.forget(last);
    }
    const check = (base: number): void => {
      expect(log.firstIndex).toBe(base + 1);
      expect(log.Term(base - 1)[1]).toBeInstanceOf(ErrCompacted);
      for (let index = base; index <= last; index++)
        expect(log.Term(index)).toEqual([terms.get(index), null]);
      expect(log.Term(last + 1)[1]).toBeInstanceOf(ErrUnavailable);
    };
    check(10);
    for (const keepFrom of [12, 14, 15, 16, 40, 45, 46, 47, 60, log.heldFrom, log.heldFrom + 1, last + 1]) {
      log.compact({ index: last, term: 7, membership }, keepFrom);
      check(keepFrom - 1);
    }
    expect(reads).toEqual([]);
    expect(log.heldBytes).toBe(0);
  });

  test('replaces what is not applied, and counts it right', () => {
    const { log, append, range } = bed();
    append(11, 60, 1);
    log.forget(40);
    expect(log.heldFrom).toBe(41);
    append(45, 46, 2);
    expect(log.heldBytes).toBe(6 * COST);
    log.forget(46);
    append(47, 58, 2);
    log.forget(58);
    expect(log.heldFrom).toBe(49);
    expect(log.heldBytes).toBe(KEEP);
    expect(range(43, 48)).toBe('43/1 44/1 45/2 46/2 47/2 48/2');
    // What may leave memory any moment is never replaced.
    expect(() => append(48, 48, 3)).toThrow('join the log');
  });

  test('stops where something else comes back', () => {
    const { log, append, range, disk } = bed();
    append(11, 60, 1);
    log.forget(60);
    disk.set(20, new LogRecord(2, 20, 'command'));
    expect(() => range(19, 25)).toThrow('comes back');
    disk.set(20, new LogRecord(1, 21, 'command'));
    expect(() => range(20, 25)).toThrow('comes back');
  });

  test('begins anew behind a snapshot', () => {
    const { log, append, range } = bed();
    append(11, 60, 1);
    log.forget(60);
    log.restart({ index: 100, term: 3, membership });
    expect([log.firstIndex, log.heldFrom, log.lastIndex, log.heldBytes]).toEqual([101, 101, 100, 0]);
    expect(log.termAt(100)).toBe(3);
    append(101, 103, 3);
    expect(range(101, 103)).toBe('101/3 102/3 103/3');
  });
});
