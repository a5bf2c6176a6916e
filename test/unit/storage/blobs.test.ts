import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  BLOB_CHUNK_BYTES,
  MemoryDisk,
  openBlobs,
  realDisk,
  type StoredBlob,
} from '../../../src/storage/index.js';
import { inTemporaryDirectory, seeded } from './support.js';

const ID = 'a'.repeat(32);
const OTHER = 'b'.repeat(32);
const PATH = '/blobs';

function bytesOf(size: number, seed = 1): Buffer {
  return Buffer.from(seeded(seed).bytes(size));
}

function headerOf(id: string, bytes: Uint8Array) {
  return { id, size: bytes.length, digest: createHash('sha256').update(bytes).digest() };
}

type Store = Awaited<ReturnType<typeof openBlobs>>;

async function write(store: Store, id: string, bytes: Buffer): Promise<void> {
  const draft = await store.begin(id);
  for (let at = 0; at < bytes.length; at += BLOB_CHUNK_BYTES) {
    await draft.append(bytes.subarray(at, at + BLOB_CHUNK_BYTES));
  }
  await draft.seal(headerOf(id, bytes).digest);
  await draft.close();
}

async function contentOf(blob: StoredBlob | null): Promise<Buffer | null> {
  if (blob === null) return null;
  const parts: Uint8Array[] = [];
  for (let i = 0; i < blob.chunks; i++) parts.push(await blob.read(i));
  await blob.close();
  return Buffer.concat(parts);
}

const read = async (store: Store, id: string, bytes: Buffer) =>
  contentOf(await store.open(headerOf(id, bytes)));

describe('blobs on disk', () => {
  it('come back whole, of any size, after the process died', async () => {
    const disk = new MemoryDisk();
    const sizes = [
      0,
      1,
      BLOB_CHUNK_BYTES - 1,
      BLOB_CHUNK_BYTES,
      BLOB_CHUNK_BYTES + 1,
      3 * BLOB_CHUNK_BYTES + 5,
    ];
    const store = await openBlobs(disk.mount(), PATH);
    const ids = sizes.map((_, i) => i.toString(16).padStart(32, '0'));
    for (const [i, size] of sizes.entries()) await write(store, ids[i]!, bytesOf(size, i));
    disk.crash({ random: seeded(1), tear: true });
    const again = await openBlobs(disk.mount(), PATH);
    expect([...again.ids()].sort()).toEqual(ids);
    expect(again.count).toBe(sizes.length);
    expect(again.bytes).toBe(sizes.reduce((a, b) => a + b));
    for (const [i, size] of sizes.entries()) {
      const bytes = await read(again, ids[i]!, bytesOf(size, i));
      expect(bytes!.equals(bytesOf(size, i))).toBe(true);
    }
    await again.remove(ids[5]!);
    expect(again.has(ids[5]!)).toBe(false);
    expect(await read(again, ids[5]!, bytesOf(sizes[5]!, 5))).toBeNull();
    expect(disk.paths()).toHaveLength(5);
  });

  it('count only when they are sealed: what was being written is removed at the next start', async () => {
    const disk = new MemoryDisk();
    const store = await openBlobs(disk.mount(), PATH);
    const draft = await store.begin(ID);
    await draft.append(bytesOf(BLOB_CHUNK_BYTES));
    expect(store.writes(ID)).toBe(true);
    expect([store.has(ID), store.count, store.bytes]).toEqual([false, 0, 0]);
    expect(disk.paths()).toHaveLength(1);
    disk.stop();
    const again = await openBlobs(disk.mount(), PATH);
    expect(disk.paths()).toEqual([]);
    await write(again, ID, bytesOf(10));
    expect(again.writes(ID)).toBe(false);
    expect(again.has(ID)).toBe(true);
  });

  it('whenever the power goes during the seal, they are whole or not there', async () => {
    const bytes = bytesOf(2 * BLOB_CHUNK_BYTES + 9);
    let whole = 0;
    for (let at = 0; at < 40; at++) {
      const disk = new MemoryDisk();
      const store = await openBlobs(disk.mount(), PATH);
      let operations = 0;
      let sealed = false;
      disk.before = () => {
        if (operations++ === at) disk.crash({ random: seeded(at), tear: true });
      };
      await write(store, ID, bytes).then(
        () => {
          sealed = true;
        },
        () => {},
      );
      disk.before = null;
      if (operations <= at) disk.crash({ random: seeded(at), tear: true });
      const again = await openBlobs(disk.mount(), PATH);
      if (again.has(ID)) {
        whole += 1;
        expect((await read(again, ID, bytes))!.equals(bytes)).toBe(true);
      } else {
        expect(sealed, 'what was sealed is there').toBe(false);
        expect(disk.paths()).toEqual([]);
      }
    }
    expect(whole).toBeGreaterThan(0);
    expect(whole).toBeLessThan(40);
  });

  it('that are there at a start stay there, also where the process before was killed in the middle of its seal', async () => {
    const disk = new MemoryDisk();
    const store = await openBlobs(disk.mount(), PATH);
    // The name is given, and not durable yet.
    disk.before = ({ kind, path }) => {
      if (kind === 'syncDirectory' && path === PATH && disk.paths().some((one) => !one.endsWith('.tmp')))
        disk.stop();
    };
    await write(store, ID, bytesOf(10)).catch(() => {});
    disk.before = null;
    const found = await openBlobs(disk.mount(), PATH);
    expect(found.has(ID)).toBe(true);
    const { names } = disk.unsynced();
    disk.crashKeeping({ names: names.map(() => false), files: [] });
    const again = await openBlobs(disk.mount(), PATH);
    expect((await read(again, ID, bytesOf(10)))!.equals(bytesOf(10))).toBe(true);
  });

  it('damaged by one bit, wherever it is, are never read as if they were sound', async () => {
    const bytes = bytesOf(BLOB_CHUNK_BYTES + 100);
    const disk = new MemoryDisk();
    await write(await openBlobs(disk.mount(), PATH), ID, bytes);
    const path = disk.paths()[0]!;
    const size = disk.contentOf(path).length;
    for (const offset of [0, 20, 33, 45, 73, 77, 128, 131, 200, 60_000, BLOB_CHUNK_BYTES + 134, size - 1]) {
      disk.flipBit(path, offset, offset % 8);
      const store = await openBlobs(disk.mount(), PATH);
      await expect(read(store, ID, bytes)).rejects.toMatchObject({ code: 'DAMAGED' });
      disk.flipBit(path, offset, offset % 8);
    }
    const store = await openBlobs(disk.mount(), PATH);
    expect((await read(store, ID, bytes))!.equals(bytes)).toBe(true);
    // Sound, but another's.
    await expect(store.open({ ...headerOf(ID, bytes), digest: Buffer.alloc(32) })).rejects.toMatchObject({
      code: 'MISMATCH',
    });
    await expect(store.open({ ...headerOf(ID, bytes), size: 5 })).rejects.toMatchObject({ code: 'MISMATCH' });
  });

  it('damaged stay until another took their place, and as they are where that is given up', async () => {
    const bytes = bytesOf(BLOB_CHUNK_BYTES + 100);
    const disk = new MemoryDisk();
    const store = await openBlobs(disk.mount(), PATH);
    await write(store, ID, bytes);
    const path = disk.paths()[0]!;
    disk.flipBit(path, 200);
    const given = await store.begin(ID, true);
    await given.append(bytes.subarray(0, BLOB_CHUNK_BYTES));
    await given.discard();
    expect([store.count, store.bytes, disk.paths()]).toEqual([1, bytes.length, [path]]);
    await expect(read(store, ID, bytes)).rejects.toMatchObject({ code: 'DAMAGED' });
    const draft = await store.begin(ID, true);
    await draft.append(bytes.subarray(0, BLOB_CHUNK_BYTES));
    await draft.append(bytes.subarray(BLOB_CHUNK_BYTES));
    expect(store.has(ID)).toBe(true);
    await draft.seal(headerOf(ID, bytes).digest);
    await draft.close();
    expect([store.count, store.bytes, disk.paths()]).toEqual([1, bytes.length, [path]]);
    expect((await read(store, ID, bytes))!.equals(bytes)).toBe(true);
  });

  it('of other ids and places do not pass for one another', async () => {
    const disk = new MemoryDisk();
    const bytes = bytesOf(2 * BLOB_CHUNK_BYTES);
    const store = await openBlobs(disk.mount(), PATH);
    await write(store, ID, bytes);
    const path = disk.paths()[0]!;
    const stored = disk.contentOf(path);
    const at = (n: number) => 128 + n * (BLOB_CHUNK_BYTES + 4);
    const file = await disk.open(path, { create: false });
    await file.write([Buffer.from(stored.subarray(at(1), at(2)))], at(0));
    const blob = (await store.open(headerOf(ID, bytes)))!;
    await expect(blob.read(0)).rejects.toMatchObject({ code: 'DAMAGED' });
    expect(Buffer.from(await blob.read(1)).equals(bytes.subarray(BLOB_CHUNK_BYTES))).toBe(true);
    await write(store, OTHER, bytes);
    const other = disk.paths().find((one) => one.includes(OTHER))!;
    await file.write([disk.contentOf(other)], 0);
    await expect(store.open(headerOf(ID, bytes))).rejects.toMatchObject({ code: 'DAMAGED' });
  });

  it('on a full disk are given up, and leave the room that they took', async () => {
    const disk = new MemoryDisk();
    const store = await openBlobs(disk.mount(), PATH);
    disk.fullAfter(BLOB_CHUNK_BYTES * 2);
    const draft = await store.begin(ID);
    await draft.append(bytesOf(BLOB_CHUNK_BYTES));
    await expect(draft.append(bytesOf(BLOB_CHUNK_BYTES))).rejects.toMatchObject({ code: 'FULL' });
    await draft.discard();
    await draft.discard();
    expect(disk.paths()).toEqual([]);
    expect(store.writes(ID)).toBe(false);
    await write(store, ID, bytesOf(BLOB_CHUNK_BYTES));
  });

  it('whose sync fails are not sealed', async () => {
    const disk = new MemoryDisk();
    const store = await openBlobs(disk.mount(), PATH);
    disk.failSync((path) => path.includes(ID));
    await expect(write(store, ID, bytesOf(100))).rejects.toMatchObject({ code: 'FAILED' });
    expect(store.has(ID)).toBe(false);
  });

  it('large ones are synced on the way', async () => {
    const disk = new MemoryDisk();
    const store = await openBlobs(disk.mount(), PATH);
    const draft = await store.begin(ID);
    let syncs = 0;
    disk.before = ({ kind }) => {
      if (kind === 'sync') syncs += 1;
    };
    for (let i = 0; i < 200; i++) await draft.append(bytesOf(BLOB_CHUNK_BYTES));
    expect(syncs).toBe(3);
  });

  it('can be read while they are written, after their seal, and by whoever has them open when they are removed', async () => {
    const disk = new MemoryDisk();
    const store = await openBlobs(disk.mount(), PATH);
    const bytes = bytesOf(BLOB_CHUNK_BYTES + 7);
    const draft = await store.begin(ID);
    expect(draft.chunks).toBe(0);
    await draft.append(bytes.subarray(0, BLOB_CHUNK_BYTES));
    expect(Buffer.from(await draft.read(0)).equals(bytes.subarray(0, BLOB_CHUNK_BYTES))).toBe(true);
    await draft.append(bytes.subarray(BLOB_CHUNK_BYTES));
    await draft.seal(headerOf(ID, bytes).digest);
    const open = await store.open(headerOf(ID, bytes));
    await store.remove(ID);
    expect(disk.paths()).toEqual([]);
    expect(Buffer.from(await draft.read(1)).equals(bytes.subarray(BLOB_CHUNK_BYTES))).toBe(true);
    expect((await contentOf(open))!.equals(bytes)).toBe(true);
    // Given up after its seal there is nothing more to remove, and another may take its place.
    await draft.discard();
    await write(store, ID, bytes);
    expect(store.has(ID)).toBe(true);
  });

  it('work on a real disk', async () => {
    await inTemporaryDirectory(async (path) => {
      const bytes = bytesOf(3 * BLOB_CHUNK_BYTES + 1);
      await write(await openBlobs(realDisk(), `${path}/blobs`), ID, bytes);
      const store = await openBlobs(realDisk(), `${path}/blobs`);
      expect((await read(store, ID, bytes))!.equals(bytes)).toBe(true);
      await store.remove(ID);
      expect(await realDisk().list(`${path}/blobs`)).toEqual([]);
    });
  });
});
