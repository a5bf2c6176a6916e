import { beforeEach, describe, expect, it } from 'vitest';
import { messageFromWire } from '../../../src/consensus/index.js';
import type { JobSpec } from '../../../src/core/types.js';
import { FullDisk } from '../../../src/node/full-disk.js';
import { SnapshotReceiver } from '../../../src/node/snapshot-receiver.js';
import { SnapshotSender, UNWRITTEN_BYTES_MAX } from '../../../src/node/snapshot-sender.js';
import type { PeerFrame } from '../../../src/peer/types.js';
import { SimCluster } from '../../../src/sim/cluster.js';
import type { World } from '../../../src/sim/world.js';
import { MemoryDisk, openSnapshots, type SnapshotStore } from '../../../src/storage/index.js';
import { newWorld, pass, silent } from './parts.js';

const PAGE_BYTES = 1024 * 1024;
const PAGES = 40;

/** Goal: a disk that is full or slow costs a snapshot, never the node or its memory. */
describe('a snapshot on its way to another node', () => {
  type Taken = Extract<PeerFrame, { type: 'piece-taken' }>;
  let world: World;
  let disk: MemoryDisk;
  let store: SnapshotStore;
  let sender: SnapshotSender;
  let receiver: SnapshotReceiver;
  let failures: number;
  let logged: { fields: object; message: string }[];
  let reported: boolean[];
  let arrived: number;
  let sent: number;
  let answers: Taken[];
  /** Answers get through. */
  let open: boolean;

  /** A snapshot's message: type, to, from, term, log term, index, commit, reject, hint, context, entries, mark. */
  const message = messageFromWire([7, 2, 1, 1, 0, 0, 0, 0, 0, '', [], [100, 1, [1, 2], [], [], [], 0]]);

  beforeEach(async () => {
    world = newWorld();
    disk = new MemoryDisk();
    store = await openSnapshots(disk.mount(), '/s', { log: () => {} });
    [failures, reported, arrived, sent, answers, open, logged] = [0, [], 0, 0, [], true, []];
    const clock = world.clock(0);
    const full = new FullDisk({
      clock,
      log: { ...silent, error: (fields, text) => logged.push({ fields, message: text }) },
      observer: { snapshotFailed: () => failures++ },
      freeBytes: () => disk.freeBytes('/s'),
      again: () => {},
    });
    receiver = new SnapshotReceiver({
      core: { appliedIndex: 0 },
      store,
      transport: {
        send: (_to, _channel, frame) => {
          answers.push(frame as Taken);
          if (open) world.after(1, () => sender.taken('n2', frame as Taken));
          return true;
        },
      },
      clock,
      log: silent,
      full,
      storeFree: () => Promise.resolve(),
      arrived: () => arrived++,
    });
    sender = new SnapshotSender({
      consensus: {
        status: () => ({ progress: [{ id: 2, match: arrived > 0 ? 100 : 0, state: 'snapshot' }] }) as never,
        reportSnapshot: (_id, ok) => reported.push(ok),
      },
      store: {
        async *pages() {
          for (let i = 0; i < PAGES; i++)
            yield { key: `p${i}`, version: 1, bytes: Buffer.alloc(PAGE_BYTES, i) };
        },
      },
      transport: {
        isConnected: () => true,
        send: (_to, _channel, frame) => {
          const piece = frame as Extract<PeerFrame, { type: 'piece' }>;
          if (Array.isArray(piece.body) && piece.seq > 0) sent += PAGE_BYTES;
          world.after(1, () => receiver.piece('n1', piece));
          return true;
        },
      },
      clock,
      log: silent,
    });
  });

  it('arrives, and is as large there as here', async () => {
    sender.start('n2', message, message.snapshot!);
    await pass(world, 5_000);
    expect(reported).toEqual([true]);
    expect(arrived).toBe(1);
    expect(store.newest).toMatchObject({ pages: PAGES, bytes: PAGES * PAGE_BYTES });
  });

  it('is not more than the bound ahead of the disk over there', async () => {
    let written = 0;
    let most = 0;
    disk.before = async ({ kind, bytes }) => {
      if (kind === 'write') {
        await world.sleep(100);
        written += bytes;
      }
      most = Math.max(most, sent - written);
    };
    sender.start('n2', message, message.snapshot!);
    await pass(world, 1_000);
    expect(sent).toBeLessThan((PAGES * PAGE_BYTES) / 2);
    await pass(world, 10_000);
    expect(reported).toEqual([true]);
    expect(sent).toBe(PAGES * PAGE_BYTES);
    expect(most).toBeGreaterThan(UNWRITTEN_BYTES_MAX / 2);
    expect(most).toBeLessThanOrEqual(UNWRITTEN_BYTES_MAX);
  });

  it('is given up when nothing is written any more', async () => {
    open = false;
    sender.start('n2', message, message.snapshot!);
    await pass(world, 9_000);
    expect(reported).toEqual([]);
    expect(sent).toBeLessThanOrEqual(UNWRITTEN_BYTES_MAX);
    await pass(world, 2_000);
    expect(reported).toEqual([false]);
    expect(sender.pauses('n2')).toBe(true);
  });

  it('is refused by a receiver that is sent more than it can write', async () => {
    disk.before = () => world.sleep(1_000);
    const piece = (seq: number): PeerFrame => ({
      type: 'piece',
      transfer: 1,
      seq,
      last: false,
      body: [`p${seq}`, 1, Buffer.alloc(PAGE_BYTES)],
    });
    open = false;
    sender.start('n2', message, message.snapshot!);
    await pass(world, 100);
    expect(answers).toEqual([]);
    for (let seq = 8; seq < 12; seq++) receiver.piece('n1', piece(seq) as never);
    expect(answers).toMatchObject([{ transfer: 1, refusal: expect.stringContaining('not written') }]);
    expect(receiver.receiving).toBe(false);
  });

  it('ends where the disk is full: nothing stays there, and the next one waits a while', async () => {
    disk.fullAfter(PAGE_BYTES * 3);
    sender.start('n2', message, message.snapshot!);
    await pass(world, 500);
    expect(reported).toEqual([false]);
    expect(failures).toBe(1);
    expect(logged).toMatchObject([
      { fields: { from: 'n1', index: 100, againMs: 1_000, free: expect.any(Number) } },
    ]);
    expect(disk.bytes).toBe(0);
    expect(sender.pauses('n2')).toBe(true);
    // Still paused here: refused before anything is sent.
    answers = [];
    sent = 0;
    sender.start('n2', message, message.snapshot!);
    await pass(world, 100);
    expect(answers).toMatchObject([{ seq: 0, refusal: 'the disk is full' }]);
    disk.fullAfter(Number.POSITIVE_INFINITY);
    await pass(world, 5_000);
    expect(sender.pauses('n2')).toBe(false);
    sender.start('n2', message, message.snapshot!);
    await pass(world, 5_000);
    expect(reported).toEqual([false, false, true]);
    expect(arrived).toBe(1);
  });
});

describe('a node whose disk is full', () => {
  it('goes on without a snapshot, and takes one when there is room', async () => {
    const world = newWorld();
    const lines: string[] = [];
    const noted = world.note.bind(world);
    world.note = (line) => {
      lines.push(line);
      noted(line);
    };
    const cluster = new SimCluster(world, { nodes: 1, snapshotLogBytes: 16 * 1024, keepLogBytes: 1024 });
    const [one] = cluster.nodes;
    void one!.start();
    expect(await world.run(30_000, () => cluster.allReady())).toBe(true);
    await pass(world, 1_000);
    const node = one!.node!;
    const spec = (): JobSpec => ({
      id: node.newJobId(),
      function: 'fn',
      payload: Buffer.alloc(2_000, 7),
      payloadBlob: null,
      contentType: '',
      metadata: [],
      priority: 1,
      runAtWall: 0,
      delayMs: 0,
      uniqueKey: '',
      retry: null,
      runTimeoutMs: 0,
      startDeadlineWall: 0,
      retentionMs: -1,
      traceparent: '',
      foreground: false,
      seed: 1,
    });
    let acknowledged = 0;
    const submit = async (jobs: number): Promise<void> => {
      for (let i = 0; i < jobs; i++) {
        void node.submit('default', [spec()], { allOrNothing: false }).then(() => acknowledged++);
        await pass(world, 10);
      }
    };
    const failures = (): string[] => lines.filter((line) => line.includes('no snapshot could be taken'));

    one!.disk.fullAfter(1_000);
    const before = one!.disk.paths();
    await submit(30);
    expect(failures().length).toBe(1);
    expect(failures()[0]).toContain('"free":');
    expect(one!.disk.paths()).toEqual(before);
    // Tried again by itself, each time later.
    await pass(world, 10_000);
    expect(failures().length).toBeGreaterThanOrEqual(3);
    expect(failures().length).toBeLessThanOrEqual(5);
    await submit(10);
    expect(acknowledged).toBe(40);
    expect(one!.fatal).toBeNull();
    expect(node.parts!.store.newest!.mark.index).toBe(1);

    one!.disk.fullAfter(Number.POSITIVE_INFINITY);
    await pass(world, 20_000);
    expect(node.parts!.store.newest!.mark.index).toBeGreaterThan(40);
    expect(node.parts!.core.counts().jobs).toBe(40);
    one!.kill();
    void one!.start();
    expect(await world.run(world.now + 30_000, () => cluster.allReady())).toBe(true);
    expect(one!.node!.parts!.core.counts().jobs).toBe(40);
  });
});
