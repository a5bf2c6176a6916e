import { describe, expect, it } from 'vitest';
import type { Membership } from '../../../src/consensus/index.js';
import { Spread } from '../../../src/node/blobs/spread.js';
import { type BlobSource, BlobTransfers } from '../../../src/node/blobs/transfers.js';
import type { PeerFrame } from '../../../src/peer/types.js';
import { World } from '../../../src/sim/world.js';

const NOBODY: Membership = { voters: [], outgoing: [], learners: [], learnersNext: [], autoLeave: false };

/** A node with Raft id 1 whose frames go nowhere; the others answer as the test says. */
class Bed {
  readonly world = new World(1, () => {});
  readonly sent: { readonly to: string; readonly frame: PeerFrame }[] = [];
  readonly away = new Set<string>();
  membership = NOBODY;
  changes = 0;
  readonly transfers: BlobTransfers;
  readonly spread: Spread;
  readonly source: BlobSource = {
    id: 'ab'.repeat(16),
    announced: 40 * 131_072,
    chunks: 40,
    end: { size: 40 * 131_072, digest: Buffer.alloc(32) },
    read: async () => Buffer.alloc(131_072),
  };

  constructor(voters: readonly number[], outgoing: readonly number[] = []) {
    this.membership = { ...NOBODY, voters, outgoing };
    const transport = {
      send: (to: string, _: string, frame: PeerFrame) => {
        this.sent.push({ to, frame });
        return true;
      },
      isConnected: (name: string) => !this.away.has(name),
    };
    const clock = this.world.clock(0);
    this.transfers = new BlobTransfers({
      transport,
      clock,
      accept: () => Promise.reject(new Error('nothing comes here')),
      serve: () => Promise.reject(new Error('nothing is asked for here')),
    });
    this.spread = new Spread(
      {
        clock,
        transport,
        transfers: this.transfers,
        raftId: 1,
        membership: () => this.membership,
        nameOf: (id) => `n${id}`,
      },
      this.source,
      () => {
        this.changes += 1;
      },
    );
  }

  /** Who was sent the blob, in order. */
  get puts(): string[] {
    return this.sent.flatMap(({ to, frame }) => (frame.type === 'blob-put' ? [to] : []));
  }

  transferOf(name: string): number {
    for (const { to, frame } of this.sent.toReversed()) {
      if (to === name && frame.type === 'blob-put') return frame.transfer;
    }
    throw new Error(`${name} was sent nothing`);
  }

  taken(name: string, count: number, sealed = false): void {
    const transfer = this.transferOf(name);
    this.transfers.frame(name, { type: 'blob-taken', transfer, fetch: false, count, sealed });
  }

  pieces(name: string): number {
    return this.sent.filter(({ to, frame }) => to === name && frame.type === 'blob-piece').length;
  }

  async rest(): Promise<void> {
    await this.world.run(this.world.now + 100, () => false);
  }
}

describe('a blob on its way to the voters', () => {
  it('is counted when more than half of them have it, this one only when it is sealed here', async () => {
    const bed = new Bed([1, 2, 3, 4, 5]);
    bed.spread.look();
    expect(bed.puts).toEqual(['n2', 'n3', 'n4', 'n5']);
    bed.taken('n2', 40, true);
    bed.taken('n3', 40, true);
    expect(bed.spread.isCounted).toBe(false);
    bed.spread.sealedHere = true;
    expect(bed.spread.isCounted).toBe(true);
    // A voter less; then one that is no voter any more and another that is.
    bed.membership = { ...NOBODY, voters: [1, 4, 5] };
    expect(bed.spread.isCounted).toBe(false);
    bed.taken('n5', 40, true);
    expect(bed.spread.isCounted).toBe(true);
  });

  it('is counted by both halves of a joint membership', () => {
    const bed = new Bed([1, 2, 4], [1, 2, 3]);
    bed.spread.sealedHere = true;
    bed.spread.look();
    expect(bed.puts).toEqual(['n2', 'n4', 'n3']);
    bed.taken('n4', 40, true);
    expect(bed.spread.isCounted).toBe(false);
    bed.taken('n3', 40, true);
    expect(bed.spread.isCounted).toBe(true);
  });

  it('does not count a node that has no vote', () => {
    const bed = new Bed([2, 3]);
    bed.spread.sealedHere = true;
    bed.spread.look();
    bed.taken('n2', 40, true);
    expect(bed.spread.isCounted).toBe(false);
    bed.taken('n3', 40, true);
    expect(bed.spread.isCounted).toBe(true);
  });

  it('is no further ahead of any node than its window, and paced by the majority', async () => {
    const bed = new Bed([1, 2, 3]);
    bed.spread.look();
    await bed.rest();
    expect([bed.pieces('n2'), bed.pieces('n3')]).toEqual([16, 16]);
    expect(bed.spread.pace).toBe(0);
    bed.taken('n2', 10);
    await bed.rest();
    expect([bed.pieces('n2'), bed.pieces('n3')]).toEqual([26, 16]);
    expect(bed.spread.pace).toBe(10);
    // More than was ever sent is not believed.
    bed.taken('n2', 1_000);
    expect(bed.spread.pace).toBe(26);
  });

  it('begins anew where a stream ended, after a pause, and where a node comes', async () => {
    const bed = new Bed([1, 2, 3]);
    bed.away.add('n3');
    bed.spread.look();
    expect(bed.puts).toEqual(['n2']);
    const stop = { type: 'blob-stop', transfer: bed.transferOf('n2'), fetch: false, reason: 'full' } as const;
    bed.transfers.frame('n2', stop);
    bed.away.delete('n3');
    bed.spread.look();
    expect(bed.puts).toEqual(['n2', 'n3']);
    await bed.world.run(bed.world.now + 1_001, () => false);
    bed.spread.look();
    expect(bed.puts).toEqual(['n2', 'n3', 'n2']);
  });

  it('gives up a node that takes nothing, and goes on with those that are nearly done at the end', async () => {
    const bed = new Bed([1, 2, 3, 4]);
    bed.spread.look();
    await bed.rest();
    bed.taken('n2', 16);
    await bed.rest();
    expect(bed.spread.linger()).toBe(true);
    const stopped = () => bed.sent.flatMap(({ to, frame }) => (frame.type === 'blob-stop' ? [to] : []));
    expect(stopped()).toEqual(['n3', 'n4']);
    await bed.world.run(bed.world.now + 10_200, () => false);
    bed.transfers.look();
    expect(stopped()).toEqual(['n3', 'n4', 'n2']);
    expect(bed.spread.linger()).toBe(false);
  });
});
