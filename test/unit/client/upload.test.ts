import { Client, credentials } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { bytesSource, type Source } from '../../../src/client/source.js';
import { upload } from '../../../src/client/upload.js';
import { FakeNode } from './fake-server.js';

/** Goal: whose source may take its time is cut off neither by its own clock nor by the node's; a node may not take it. */
let node: FakeNode;
let client: Client;

beforeEach(async () => {
  node = await FakeNode.start();
  client = new Client(node.address, credentials.createInsecure());
});

afterEach(() => {
  client.close();
  node.kill();
});

test('a silent source is said to go on, as long as it likes', async () => {
  let give!: (piece: Uint8Array) => void;
  const pieces = [Promise.resolve(Buffer.from('a')), new Promise<Uint8Array>((resolve) => (give = resolve))];
  let closed = 0;
  const source: Source = {
    size: 2,
    repeatable: false,
    open: () => ({ next: async () => pieces.shift() ?? null, close: () => closed++ }),
    close() {},
  };
  let moved = 0;
  const done = upload(client, source, {
    idleMs: 50,
    patient: true,
    keepAliveMs: 20,
    moved: () => moved++,
  });
  const came = await node.uploads.next();
  while (came.parts.length < 8) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(came.parts.slice(1).every((part) => part.length === 0)).toBe(true);
  expect(moved).toBeGreaterThan(2);
  give(Buffer.from('b'));
  expect((await came.take()).bytes.toString()).toBe('ab');
  await done;
  expect([came.size, closed]).toEqual([2, 1]);
});

test('a node that takes nothing is given up all the same', async () => {
  const done = upload(client, bytesSource(Buffer.alloc(16 << 20)), { idleMs: 100, patient: true });
  (await node.uploads.next()).pause();
  await expect(done).rejects.toMatchObject({ reason: 'TIMED_OUT' });
});
