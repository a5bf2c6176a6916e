import { mkdir, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { systemRandom } from '../../../src/base/random.js';
import { type Disk, MemoryDisk, openDataDirectory, realDisk } from '../../../src/storage/index.js';
import { inTemporaryDirectory, seeded } from './support.js';

const CLUSTER = { id: 'c-1', name: 'blue' };

function open(disk: Disk, nodeName = 'n1', seed = 1) {
  return openDataDirectory(disk, '/data', { nodeName, random: seeded(seed) });
}

async function rewritten(disk: MemoryDisk, change: (identity: string) => string): Promise<void> {
  const { crc32 } = await import('node:zlib');
  const line = Buffer.from(change(disk.contentOf('/data/identity').toString().split('\n')[1]!));
  const file = await disk.open('/data/identity', { create: false });
  await file.truncate(0);
  const crc = crc32(line).toString(16).padStart(8, '0');
  await file.write([Buffer.from(`gearmesh crc32 ${crc}\n`), line, Buffer.from('\n')], 0);
}

describe('the data directory', () => {
  it('rule: formation - a data directory is born with a random disk id and keeps it', async () => {
    const disk = new MemoryDisk();
    const first = await open(disk);
    const { identity } = first;
    expect(identity).toMatchObject({ formatVersion: 1, nodeName: 'n1', cluster: null });
    expect(identity.diskId).toMatch(/^[0-9a-f]{32}$/);
    expect(first.walPath).toBe('/data/wal');
    await first.close();
    const second = await open(disk, 'n1', 99);
    expect(second.identity).toEqual(identity);
    const other = await openDataDirectory(disk, '/other', { nodeName: 'n1', random: seeded(2) });
    expect(other.identity.diskId).not.toBe(identity.diskId);
  });

  it('joins one cluster, durably', async () => {
    const disk = new MemoryDisk();
    const directory = await open(disk);
    await directory.join(CLUSTER);
    await directory.join(CLUSTER);
    await expect(directory.join({ id: 'c-2', name: 'red' })).rejects.toMatchObject({
      code: 'FOREIGN',
      message: expect.stringContaining('give the node an empty directory'),
    });
    disk.crash({ random: seeded(3), tear: true });
    expect((await open(disk)).identity.cluster).toEqual(CLUSTER);
  });

  it('refuses another node, saying what to do, and frees its lock', async () => {
    const disk = new MemoryDisk();
    await (await open(disk)).close();
    for (let attempt = 0; attempt < 2; attempt++) {
      await expect(open(disk, 'n2')).rejects.toMatchObject({
        code: 'FOREIGN',
        message: expect.stringMatching(/belongs to the node "n1".*--id n1/),
      });
    }
  });

  it('refuses another format', async () => {
    const disk = new MemoryDisk();
    await (await open(disk)).close();
    await rewritten(disk, (line) => line.replace('"formatVersion":1', '"formatVersion":2'));
    await expect(open(disk)).rejects.toMatchObject({
      code: 'FORMAT',
      message: expect.stringContaining('start the newer version'),
    });
  });

  it('refuses a damaged identity, whichever bit it is', async () => {
    const whole = new MemoryDisk();
    await (await open(whole)).close();
    const { length } = whole.contentOf('/data/identity');
    for (let offset = 0; offset < length; offset++) {
      const disk = new MemoryDisk();
      await (await open(disk)).close();
      disk.flipBit('/data/identity', offset, offset % 8);
      await expect(open(disk)).rejects.toMatchObject({ code: 'DAMAGED' });
    }
  });

  it('refuses data that has lost its identity', async () => {
    const disk = new MemoryDisk();
    const directory = await open(disk);
    await disk.makeDirectory(directory.walPath);
    await directory.close();
    disk.lose('/data/identity');
    await expect(open(disk)).rejects.toMatchObject({
      code: 'DAMAGED',
      message: expect.stringContaining('cluster replace n1'),
    });
  });

  it('refuses a second holder', async () => {
    const disk = new MemoryDisk();
    const first = await open(disk);
    await expect(open(disk)).rejects.toMatchObject({ code: 'LOCKED' });
    await first.close();
    await first.close();
    await (await open(disk)).close();
  });

  it('keeps notes, replaces and forgets them', async () => {
    const disk = new MemoryDisk();
    const directory = await open(disk);
    expect(await directory.readNote('formation')).toBeNull();
    await directory.writeNote('formation', { peers: { n1: 'ä', n2: [1, 2] } });
    await directory.writeNote('damage', 'old');
    await directory.writeNote('damage', { at: 7 });
    disk.crash({ random: seeded(4), tear: true });
    const again = await open(disk);
    expect(await again.readNote('formation')).toEqual({ peers: { n1: 'ä', n2: [1, 2] } });
    expect(await again.readNote('damage')).toEqual({ at: 7 });
    await again.writeNote('damage', null);
    await again.writeNote('damage', null);
    expect(await again.readNote('damage')).toBeNull();
    await expect(again.writeNote('../x', 1)).rejects.toThrow('not a note');
    disk.flipBit('/data/notes/formation', 30);
    await expect(again.readNote('formation')).rejects.toMatchObject({ code: 'DAMAGED' });
    await again.close();
    await expect(again.readNote('formation')).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('survives power loss at every operation of its birth, its joining and a note', async () => {
    for (let at = 0; ; at++) {
      const disk = new MemoryDisk();
      let operations = 0;
      let crashed = false;
      const random = seeded(at + 1);
      disk.before = () => {
        if (operations++ === at) {
          crashed = true;
          disk.crash({ random, tear: true });
        }
      };
      const done = { diskId: '', joined: false, note: 0 };
      try {
        const directory = await open(disk.mount(), 'n1', at + 1);
        done.diskId = directory.identity.diskId;
        await directory.join(CLUSTER);
        done.joined = true;
        await directory.writeNote('count', 1);
        done.note = 1;
        await directory.writeNote('count', 2);
        done.note = 2;
      } catch (error) {
        if (!crashed) throw error;
      }
      disk.before = null;
      if (!crashed) disk.stop();
      const again = await open(disk, 'n1', 1_000 + at);
      if (done.diskId !== '') expect(again.identity.diskId).toBe(done.diskId);
      if (done.joined) expect(again.identity.cluster).toEqual(CLUSTER);
      const note = ((await again.readNote('count')) ?? 0) as number;
      expect([done.note, done.note + 1]).toContain(note);
      expect((await disk.list('/data')).some((name) => name.endsWith('.tmp'))).toBe(false);
      if (!crashed) break;
    }
  });

  it('works on the real disk, beside what a volume brings along', () =>
    inTemporaryDirectory(async (path) => {
      await mkdir(`${path}/lost+found`);
      await writeFile(`${path}/README`, 'mine');
      const options = { nodeName: 'n1', random: systemRandom };
      const directory = await openDataDirectory(realDisk(), path, options);
      await directory.join(CLUSTER);
      await directory.writeNote('seen', [1]);
      await expect(openDataDirectory(realDisk(), path, options)).rejects.toMatchObject({ code: 'LOCKED' });
      await directory.close();
      const again = await openDataDirectory(realDisk(), path, options);
      expect(again.identity).toEqual({ ...directory.identity });
      expect(await again.readNote('seen')).toEqual([1]);
      await again.close();
    }));
});
