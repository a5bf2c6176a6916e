import { describe, expect, it } from 'vitest';
import type { LogEntry, Output, SnapshotMark } from '../../../src/consensus/types.js';
import { Replica } from '../../../src/node/replica.js';
import { newWorld, pass } from './parts.js';

const nothing: Output = {
  hardState: null,
  entries: [],
  snapshot: null,
  mustSync: false,
  messages: [],
  committed: [],
  reads: [],
  standing: null,
  write: 0,
};

function entries(from: number, to: number): LogEntry[] {
  const all: LogEntry[] = [];
  for (let index = from; index <= to; index++) {
    all.push({ index, term: 1, kind: 'command', data: new Uint8Array(0) });
  }
  return all;
}

describe('the log of a node', () => {
  function bed() {
    const world = newWorld();
    const clock = world.clock(0);
    const outputs: Output[] = [];
    const done: string[] = [];
    let now = 0;
    const replica = new Replica({
      consensus: {
        take: () => outputs.shift() ?? null,
        persisted: (write: number) => done.push(`persisted ${write}`),
        applied: () => {},
      } as never,
      wal: {
        append: () => {},
        sync: async () => {
          await world.sleep(5);
          done.push('synced');
        },
      } as never,
      // Each entry takes 4 ms to apply: a slice ends after a few.
      clock: { ...clock, defer: (fn: () => void) => clock.defer(fn), monotonicMs: () => now } as never,
      observer: { synced: () => {}, applied: () => {} } as never,
      send: () => done.push('sent'),
      apply: (entry) => {
        now += 4;
        done.push(`applied ${entry.index}`);
      },
      applied: () => {},
      reads: (reads) => done.push(`read ${reads[0]!.context}`),
      standing: () => {},
      install: async () => {
        done.push('install begins');
        await world.sleep(20);
        done.push('install ends');
      },
      fatal: (error) => done.push(`fatal ${error.message}`),
    });
    return { world, outputs, done, replica };
  }

  const mark = { index: 50, term: 1, membership: {} } as SnapshotMark;

  it('sends before its write is on disk, and says so to the core only after', async () => {
    const { world, outputs, done, replica } = bed();
    outputs.push({ ...nothing, entries: entries(1, 1), mustSync: true, write: 1, messages: [{} as never] });
    replica.pump();
    expect(done).toEqual(['sent']);
    await pass(world, 10);
    expect(done).toEqual(['sent', 'synced', 'persisted 1']);
  });

  it('applies nothing to a state that a snapshot is replacing', async () => {
    const { world, outputs, done, replica } = bed();
    outputs.push({ ...nothing, committed: entries(1, 20) });
    outputs.push({ ...nothing, snapshot: mark, mustSync: true, write: 1 });
    replica.pump();
    await pass(world, 100);
    const begins = done.indexOf('install begins');
    expect(done.slice(begins)).toEqual(['install begins', 'install ends', 'synced', 'persisted 1']);
    expect(done).not.toContain('applied 20');
  });

  it('answers reads that came together with a snapshot', async () => {
    const { world, outputs, done, replica } = bed();
    outputs.push({
      ...nothing,
      snapshot: mark,
      mustSync: true,
      write: 1,
      reads: [{ context: 'r', index: 50 }],
    });
    replica.pump();
    await pass(world, 100);
    expect(done).toContain('read r');
  });

  it('is at rest once stopped, also in the middle of a snapshot', async () => {
    const { world, outputs, done, replica } = bed();
    outputs.push({ ...nothing, entries: entries(1, 1), mustSync: true, write: 1 });
    replica.pump();
    outputs.push({ ...nothing, snapshot: mark, mustSync: true, write: 2 });
    replica.pump();
    await pass(world, 10);
    let stopped = false;
    void replica.stop().then(() => {
      stopped = true;
    });
    await pass(world, 5);
    expect(stopped).toBe(false);
    await pass(world, 100);
    expect(stopped).toBe(true);
    expect(done.at(-1)).toBe('install ends');
  });
});
