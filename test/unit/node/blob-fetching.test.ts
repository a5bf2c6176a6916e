import { describe, expect, it } from 'vitest';
import type { SimNode } from '../../../src/sim/cluster.js';
import { BlobBed, content } from './blob-bed.js';

const MIB = 1024 * 1024;

/** Chunks of blobs that this node reads from its disk from now on. */
function reads(node: SimNode): { count: number } {
  const seen = { count: 0 };
  const before = node.disk.before!;
  node.disk.before = (operation) => {
    if (operation.kind === 'read' && operation.path.includes('/blobs/')) seen.count += 1;
    return before(operation);
  };
  return seen;
}

describe('a payload outside the log', () => {
  it('is asked for as soon as there is somebody to ask, however long there was nobody', async () => {
    const bed = await BlobBed.started(41);
    const { network } = bed.cluster;
    const id = await bed.submitBlob(bed.leader, content(300_000));
    const [lone] = bed.others(bed.leader);
    await bed.until(() => bed.statistics(lone).held === 1);
    for (const other of bed.others(lone)) {
      network.cut(lone.name, other.name);
      network.cut(other.name, lone.name);
    }
    await bed.pass(5_000);
    lone.disk.flipBit(bed.files(lone)[0]!, 200_000);
    await expect(bed.read(lone, bed.job(lone, id).payloadBlob!)).rejects.toMatchObject({ code: 'NO_LEADER' });
    await bed.pass(60_000);
    expect(bed.statistics(lone)).toMatchObject({ missing: 1, fetched: 0, failedFetches: 0 });
    network.heal();
    await bed.until(() => bed.statistics(lone).missing === 0, 500);
    expect(bed.statistics(lone)).toMatchObject({ held: 1, fetched: 1, failedFetches: 0 });
  });

  it('goes from memory to those who keep up, and from the disk to those who come late', async () => {
    const bed = await BlobBed.started(42);
    const { leader } = bed;
    const [, late] = bed.others(leader);
    const seen = reads(leader);
    const writer = await bed.begin(leader);
    await bed.settled(bed.give(writer, content(2 * MIB)));
    expect(seen.count).toBe(0);
    late.kill();
    for (let i = 0; i < 4; i++) {
      await bed.settled(bed.give(writer, content(MIB)));
      await bed.pass(50);
    }
    expect(seen.count).toBe(0);
    void late.start();
    await bed.until(() => bed.cluster.allReady(), 30_000);
    await bed.pass(5_000);
    // All but the last 16.
    expect(seen.count).toBe(32);
    await bed.settled(writer.finish());
    await bed.until(() => bed.statistics(late).held === 1);
    expect(bed.statistics(late).fetched).toBe(0);
  });
});
