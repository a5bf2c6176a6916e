import { describe, expect, it } from 'vitest';
import { BlobBed, content } from './blob-bed.js';

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
});
