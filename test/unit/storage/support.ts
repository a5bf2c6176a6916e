import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Random } from '../../../src/base/random.js';
import type { HardState, LogEntry } from '../../../src/consensus/types.js';
import type { Disk, Wal, WalRecovery } from '../../../src/storage/index.js';
import { MemoryDisk, openWal, realDisk } from '../../../src/storage/index.js';

/** Repeats by its seed (xorshift). */
export function seeded(seed: number): Random {
  let state = seed >>> 0 || 1;
  const next = (): number => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
  for (let i = 0; i < 8; i++) next();
  return {
    below: (below) => next() % below,
    bytes: (length) => Uint8Array.from({ length }, () => next() & 0xff),
  };
}

export async function inTemporaryDirectory<T>(use: (path: string) => Promise<T>): Promise<T> {
  const path = await mkdtemp(join(tmpdir(), 'gearmesh-storage-'));
  try {
    return await use(path);
  } finally {
    await rm(path, { recursive: true, force: true });
  }
}

export const quiet = (): void => {};

export function entry(index: number, term = 1, data: Uint8Array | string = `entry ${index}`): LogEntry {
  return { index, term, kind: 'command', data: Buffer.from(data) };
}

export function entries(from: number, to: number, term = 1, bytes = 100): LogEntry[] {
  const list: LogEntry[] = [];
  for (let index = from; index <= to; index++) list.push(entry(index, term, Buffer.alloc(bytes, index)));
  return list;
}

export function state(term: number, commit = 0, vote = 7): HardState {
  return { term, vote, commit };
}

export const SMALL = 16 * 4096;

export function openLog(
  disk: Disk,
  options: { seed?: number; segmentBytes?: number; path?: string; keepBytes?: number } = {},
): Promise<{ wal: Wal; recovery: WalRecovery }> {
  const { seed = 1, segmentBytes = SMALL, path = '/wal', keepBytes } = options;
  // As one process sees it: what its log does in the background ends with that process.
  const mounted = disk instanceof MemoryDisk ? disk.mount() : disk;
  const kept = keepBytes === undefined ? {} : { keepBytes };
  return openWal(mounted, path, { segmentBytes, ...kept, random: seeded(seed), log: quiet });
}

/** All entries of this part, in as many pieces as it takes. */
export function readAll(wal: Wal, from: number, to: number, bytes = 10_000): LogEntry[] {
  const all: LogEntry[] = [];
  while (from + all.length <= to) {
    const piece = wal.read(from + all.length, to, bytes);
    expect(piece.length).toBeGreaterThan(0);
    all.push(...piece);
  }
  return all;
}

export const disks: readonly {
  readonly name: string;
  readonly use: (work: (disk: Disk, path: string) => Promise<void>) => Promise<void>;
}[] = [
  { name: 'a disk in memory', use: (work) => work(new MemoryDisk(), '/wal') },
  {
    name: "the machine's disk",
    use: (work) => inTemporaryDirectory((path) => work(realDisk(), `${path}/wal`)),
  },
];

/** Comparable form of entries whose bytes lie in different kinds of arrays. */
export function plain(list: readonly LogEntry[]): string[] {
  return list.map((e) => `${e.index}/${e.term}/${e.kind}/${Buffer.from(e.data).toString('base64')}`);
}
