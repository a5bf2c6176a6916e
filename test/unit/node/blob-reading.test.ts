import { createHash } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { type BlobRef, GearmeshError } from '../../../src/core/index.js';
import { readBlob } from '../../../src/node/blobs/reading.js';
import { BlobBed, content, sha256 } from './blob-bed.js';

describe('a reader', () => {
  it('passes over a peer whose queue is full', async () => {
    const asked: string[] = [];
    const parts = {
      store: { open: async () => null },
      transfers: {
        get: (peer: string) => {
          asked.push(peer);
          return null;
        },
      },
      peers: () => ['n2', 'n3'],
      damaged: () => {},
      absent: (lacking: ReadonlySet<string>) => {
        expect(lacking.size).toBe(0);
        return new GearmeshError('NO_LEADER');
      },
    };
    const ref: BlobRef = { id: '0'.repeat(32), size: 10, digest: Buffer.alloc(32) };
    await expect(readBlob(parts, ref, 0, undefined).next()).rejects.toMatchObject({ code: 'NO_LEADER' });
    expect(asked).toEqual(['n2', 'n3']);
  });

  for (const pauseMs of [3_000, 40_000]) {
    it(`that pauses for ${pauseMs / 1_000} s between chunks gets all of what only another node has`, async () => {
      const bed = await BlobBed.started(51);
      const bytes = content(5_000_000);
      const id = await bed.submitBlob(bed.leader, bytes);
      await bed.until(
        () => bed.agree() && bed.cluster.nodes.every((node) => bed.statistics(node).held === 1),
      );
      const one = bed.follower;
      const ref = bed.job(one, id).payloadBlob!;
      one.kill();
      one.disk.lose(bed.files(one)[0]!);
      // Nothing is fetched: what comes is asked for by the reader.
      one.disk.fullAfter(0);
      void one.start();
      await bed.until(() => bed.cluster.allReady(), 30_000);
      const hash = createHash('sha256');
      const reading = one.node!.readBlob(ref, 0, {})[Symbol.asyncIterator]();
      for (let next = await bed.settled(reading.next()); next.done !== true; ) {
        hash.update(next.value);
        await bed.pass(pauseMs);
        next = await bed.settled(reading.next(), 60_000);
      }
      expect(hash.digest()).toEqual(sha256(bytes));
    });
  }
});

describe('an upload', () => {
  it('that is given up as its majority is counted is given up', async () => {
    const bed = await BlobBed.started(52);
    const giveUp = new AbortController();
    const { leader } = bed;
    const writer = await bed.begin(leader, -1, giveUp.signal);
    await bed.settled(bed.give(writer, content(300_000)));
    const core = bed.core(leader);
    const { configuration } = core;
    vi.spyOn(core, 'configuration', 'get').mockImplementation(() => {
      // All looks but the one that finds the majority: there is none before two nodes have it.
      if (bed.cluster.nodes.filter((node) => bed.statistics(node).held === 1).length > 1) {
        queueMicrotask(() => giveUp.abort());
      }
      return configuration;
    });
    await expect(bed.settled(writer.finish())).rejects.toMatchObject({ code: 'CANCELLED' });
    vi.restoreAllMocks();
    await bed.until(() => bed.cluster.nodes.every((node) => bed.files(node).length === 0));
    expect(bed.statistics(leader).uploads).toBe(0);
  });
});
