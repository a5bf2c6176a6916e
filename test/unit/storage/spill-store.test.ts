/** Files for what memory has no room for: all that was put is found, and what is not wanted goes. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { MemoryDisk, type OpenSpill, openSpill, realDisk } from '../../../src/storage/index.js';
import { HandClock } from '../api/hand-clock.js';
import { inTemporaryDirectory, seeded } from './support.js';

const FILE_BYTES = 4 * 1024 * 1024;
const DIRECTORY = '/data/spill';

interface Bed {
  readonly disk: MemoryDisk;
  readonly clock: HandClock;
  readonly spill: OpenSpill;
  readonly said: string[];
}

async function bed(disk = new MemoryDisk()): Promise<Bed> {
  const clock = new HandClock();
  const said: string[] = [];
  const log = (_level: string, message: string): void => void said.push(message);
  const spill = await openSpill(disk.mount(), DIRECTORY, { clock, log, fileBytes: FILE_BYTES });
  onTestFinished(() => spill.close());
  return { disk, clock, spill, said };
}

/** All that was begun on a disk in memory has happened. */
async function settled(): Promise<void> {
  for (let i = 0; i < 200; i++) await Promise.resolve();
}

const filled = (length: number, value: number): Buffer => Buffer.alloc(length, value);

describe('spilled bytes', () => {
  it('are found whether they are written yet or not, of any size, until they are released', async () => {
    await inTemporaryDirectory(async (path) => {
      const clock = new HandClock();
      const spill = await openSpill(realDisk(), `${path}/spill`, {
        clock,
        log: () => {},
        fileBytes: FILE_BYTES,
      });
      const random = seeded(5);
      const kept = new Map<number, Buffer>();
      for (let step = 0; step < 3_000; step++) {
        const handles = [...kept.keys()];
        if (random.below(5) < 2 && handles.length > 0) {
          const handle = handles[random.below(handles.length)]!;
          const bytes = kept.get(handle)!;
          expect(Buffer.compare(spill.get(handle, bytes.length), bytes)).toBe(0);
          spill.release(handle, bytes.length);
          kept.delete(handle);
        } else {
          const length = random.below(100) === 0 ? 3 * 1024 * 1024 : random.below(20_000);
          const bytes = filled(length, step & 0xff);
          kept.set(spill.put(bytes), bytes);
        }
        // Writes get their turn from time to time.
        if (step % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      for (const [handle, bytes] of kept) {
        expect(Buffer.compare(spill.get(handle, bytes.length), bytes)).toBe(0);
      }
      await spill.close();
    });
  });

  it('take their files with them once nothing in one is wanted', async () => {
    const { spill, disk } = await bed();
    const handles: number[] = [];
    for (let i = 0; i < 100; i++) handles.push(spill.put(filled(200_000, i)));
    await settled();
    expect((await disk.list(DIRECTORY)).length).toBeGreaterThan(3);
    expect(spill.fileBytes).toBe(100 * 200_004);
    for (const handle of handles) spill.release(handle, 200_000);
    await settled();
    // The one that is being filled stays.
    expect((await disk.list(DIRECTORY)).length).toBeLessThanOrEqual(1);
    expect(spill.fileBytes).toBeLessThan(FILE_BYTES);
  });

  it('of which little is left are to be moved, and their files go then', async () => {
    const { spill, disk } = await bed();
    const kept: number[] = [];
    for (let i = 0; i < 200; i++) {
      const handle = spill.put(filled(200_000, i));
      if (i % 20 === 0) kept.push(handle);
      else spill.release(handle, 200_000);
    }
    await settled();
    const before = (await disk.list(DIRECTORY)).length;
    expect(spill.isWasteful).toBe(true);
    while (spill.isWasteful) {
      const at = kept.findIndex((handle) => spill.isScattered(handle));
      const bytes = Buffer.from(spill.get(kept[at]!, 200_000));
      spill.release(kept[at]!, 200_000);
      kept[at] = spill.put(bytes);
    }
    await settled();
    expect((await disk.list(DIRECTORY)).length).toBeLessThan(before);
    for (const [i, handle] of kept.entries()) expect(spill.get(handle, 200_000)[0]).toBe(i * 20);
  });

  it('stay in memory when the disk is full, nothing more is taken, and it goes on when there is room', async () => {
    const { spill, disk, clock, said } = await bed();
    disk.fullAfter(500_000);
    const handles = [1, 2, 3].map((value) => spill.put(filled(1024 * 1024, value)));
    await settled();
    expect(spill.accepts).toBe(false);
    expect(said.join()).toMatch(/no more jobs are put on disk for now.*full/);
    for (const [i, handle] of handles.entries()) expect(spill.get(handle, 1024 * 1024)[9]).toBe(i + 1);
    disk.fullAfter(50_000_000);
    clock.advance(2_000);
    await settled();
    expect(spill.accepts).toBe(true);
    for (const [i, handle] of handles.entries()) expect(spill.get(handle, 1024 * 1024)[9]).toBe(i + 1);
  });

  it('are not taken while the space is needed for other things, nor when the disk is too slow for them', async () => {
    const { spill, disk } = await bed();
    spill.setLow(true);
    expect(spill.accepts).toBe(false);
    spill.setLow(false);
    let open = (): void => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    disk.before = () => gate;
    const handles: number[] = [];
    for (let i = 0; spill.accepts; i++) handles.push(spill.put(filled(500_000, i)));
    expect(handles.length).toBe(Math.ceil((16 * 1024 * 1024) / 500_004));
    open();
    await settled();
    expect(spill.accepts).toBe(true);
  });

  it('that come back otherwise are an error', async () => {
    const { spill, disk } = await bed();
    const handle = spill.put(filled(1024 * 1024, 1));
    spill.put(filled(1024 * 1024, 2));
    await settled();
    const [name] = await disk.list(DIRECTORY);
    disk.flipBit(`${DIRECTORY}/${name}`, 4_000, 3);
    expect(() => spill.get(handle, 1024 * 1024)).toThrow(/does not hold at 0 what was written there/);
  });

  it('of the process before are deleted', async () => {
    const { spill, disk } = await bed();
    for (let i = 0; i < 20; i++) spill.put(filled(500_000, i));
    await settled();
    await spill.close();
    expect((await disk.list(DIRECTORY)).length).toBeGreaterThan(1);
    await bed(disk);
    expect(await disk.list(DIRECTORY)).toEqual([]);
  });
});
