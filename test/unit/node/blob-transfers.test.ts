import { describe, expect, it } from 'vitest';
import { type BlobEnd, type BlobSink, BlobTransfers } from '../../../src/node/blobs/transfers.js';
import type { PeerFrame } from '../../../src/peer/types.js';
import { World } from '../../../src/sim/world.js';

const ID = 'ab'.repeat(16);
const DIGEST = Buffer.alloc(32, 1);
const CHUNK = Buffer.alloc(131_072, 7);

/** What came of one stream. */
class Sink implements BlobSink {
  readonly told: string[] = [];
  /** While set, pieces are not taken. */
  hold: Promise<void> | null = null;

  async piece(bytes: Uint8Array): Promise<void> {
    await this.hold;
    this.told.push(`${bytes.length}`);
  }

  async end(end: BlobEnd): Promise<void> {
    this.told.push(`end ${end.size}`);
  }

  stopped(reason: string): void {
    this.told.push(`stopped: ${reason}`);
  }
}

/** One node and a peer that says whatever the test says. */
class Bed {
  readonly world = new World(1, () => {});
  readonly sent: PeerFrame[] = [];
  readonly sink = new Sink();
  accepted: BlobSink | null = this.sink;
  refuses: Error | null = null;
  readonly transfers = new BlobTransfers({
    transport: {
      send: (_to, _channel, frame) => {
        this.sent.push(frame);
        return true;
      },
      isConnected: () => true,
    },
    clock: this.world.clock(0),
    accept: async () => {
      if (this.refuses !== null) throw this.refuses;
      return this.accepted;
    },
    serve: async () => {
      if (this.refuses !== null) throw this.refuses;
      const source = {
        id: ID,
        announced: 0,
        chunks: 3,
        end: { size: 3 * CHUNK.length, digest: DIGEST },
        read: async () => CHUNK,
      };
      return { source, close: () => this.sink.told.push('closed') };
    },
  });

  put(transfer = 1): void {
    this.say({ type: 'blob-put', transfer, id: ID, size: 0, digest: Buffer.alloc(0) });
  }

  piece(number: number, bytes: Uint8Array = CHUNK, transfer = 1): void {
    this.say({ type: 'blob-piece', transfer, fetch: false, number, bytes });
  }

  say(frame: PeerFrame): void {
    this.transfers.frame('n2', frame);
  }

  async rest(ms = 50): Promise<void> {
    await this.world.run(this.world.now + ms, () => false);
  }

  /** The last answer. */
  get answer(): PeerFrame | undefined {
    return this.sent.at(-1);
  }
}

describe('a stream from a peer', () => {
  it('is written in order, answered for, and over when it is sealed', async () => {
    const bed = new Bed();
    bed.put();
    for (let i = 0; i < 3; i++) bed.piece(i);
    expect(bed.transfers.receives(ID)).toBe(true);
    await bed.rest();
    expect(bed.answer).toMatchObject({ type: 'blob-taken', count: 3, sealed: false });
    bed.say({ type: 'blob-end', transfer: 1, fetch: false, size: 3 * CHUNK.length, digest: DIGEST });
    await bed.rest();
    expect(bed.answer).toMatchObject({ type: 'blob-taken', count: 3, sealed: true });
    expect(bed.sink.told).toEqual(['131072', '131072', '131072', `end ${3 * CHUNK.length}`]);
    expect(bed.transfers.receives(ID)).toBe(false);
    bed.piece(3);
    bed.say({ type: 'blob-stop', transfer: 1, fetch: false, reason: 'late' });
    await bed.rest();
    expect(bed.sink.told).toHaveLength(4);
  });

  it('of what is here already is answered at once', async () => {
    const bed = new Bed();
    bed.accepted = null;
    bed.put();
    bed.piece(0);
    await bed.rest();
    expect(bed.sent).toEqual([{ type: 'blob-taken', transfer: 1, fetch: false, count: 0, sealed: true }]);
  });

  it('that is not wanted is refused in words', async () => {
    const bed = new Bed();
    bed.refuses = new Error('the disk is nearly full');
    bed.put();
    bed.piece(0);
    await bed.rest();
    expect(bed.sent).toEqual([
      { type: 'blob-stop', transfer: 1, fetch: false, reason: 'the disk is nearly full' },
    ]);
  });

  it.each<[string, (bed: Bed) => void]>([
    ['chunks out of order', (bed) => bed.piece(1)],
    ['an empty chunk', (bed) => bed.piece(0, Buffer.alloc(0))],
    ['a chunk that is too long', (bed) => bed.piece(0, Buffer.alloc(131_073))],
    [
      'a chunk behind the end',
      (bed) => {
        bed.say({ type: 'blob-end', transfer: 1, fetch: false, size: 0, digest: DIGEST });
        bed.piece(0);
      },
    ],
    [
      'more than its window',
      (bed) => {
        bed.sink.hold = new Promise(() => {});
        for (let i = 0; i < 17; i++) bed.piece(i);
      },
    ],
  ])('with %s is given up, and its room with it', async (_, act) => {
    const bed = new Bed();
    bed.put();
    act(bed);
    expect(bed.answer).toMatchObject({ type: 'blob-stop', fetch: false });
    expect(bed.transfers.receives(ID)).toBe(false);
    bed.sink.hold = null;
    await bed.rest();
    expect(bed.sink.told.filter((line) => line === '131072')).toEqual([]);
  });

  it('ends with its connection, and when its sender says nothing for long', async () => {
    const bed = new Bed();
    bed.put();
    await bed.rest();
    bed.transfers.peerLost('n3');
    expect(bed.sink.told).toEqual([]);
    bed.transfers.peerLost('n2');
    await bed.rest();
    expect(bed.sink.told).toEqual(['stopped: the connection was lost']);
    bed.put(2);
    await bed.rest(299_000);
    bed.transfers.look();
    await bed.rest();
    expect(bed.sink.told).toHaveLength(1);
    await bed.rest(2_000);
    bed.transfers.look();
    await bed.rest();
    expect(bed.sink.told.at(-1)).toBe('stopped: no more chunks came');
  });

  it('is one of not too many', async () => {
    const bed = new Bed();
    for (let i = 1; i <= 256; i++) bed.put(i);
    await bed.rest();
    expect(bed.sent).toEqual([]);
    bed.put(257);
    await bed.rest();
    expect(bed.answer).toMatchObject({ type: 'blob-stop', reason: 'too many blobs come in at once' });
    bed.transfers.stop();
    await bed.rest();
    expect(bed.sink.told).toHaveLength(256);
  });
});

describe('a stream that a peer asked for', () => {
  const get = { type: 'blob-get', transfer: 5, id: ID, size: 3 * CHUNK.length, digest: DIGEST } as const;

  it('begins where it is asked for, and is closed at its end', async () => {
    const bed = new Bed();
    bed.say({ ...get, from: 1 });
    await bed.rest();
    expect(bed.sent.map((frame) => (frame.type === 'blob-piece' ? frame.number : frame.type))).toEqual([
      1,
      2,
      'blob-end',
    ]);
    bed.say({ type: 'blob-taken', transfer: 5, fetch: true, count: 3, sealed: true });
    expect(bed.sink.told).toEqual(['closed']);
  });

  it('from behind its end, or of what is not here, is refused', async () => {
    const bed = new Bed();
    bed.say({ ...get, from: 4 });
    await bed.rest();
    expect(bed.sent).toEqual([
      { type: 'blob-stop', transfer: 5, fetch: true, reason: 'it has 3 chunks, not 4' },
    ]);
    expect(bed.sink.told).toEqual(['closed']);
    bed.refuses = new Error('it is not here');
    bed.say({ ...get, from: 0 });
    await bed.rest();
    expect(bed.answer).toMatchObject({ reason: 'it is not here' });
  });
});
