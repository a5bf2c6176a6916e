import { describe, expect, it } from 'vitest';
import type { BlobRef, GearmeshError } from '../../../src/core/index.js';
import type { SimNode } from '../../../src/sim/cluster.js';
import { BlobBed, content, sha256 } from './blob-bed.js';

const NOTHING = Buffer.alloc(0);
const BYTES = content(300_000);

const others = (ref: BlobRef): BlobRef[] => [
  { ...ref, digest: Buffer.alloc(32, 9) },
  { ...ref, size: ref.size - 1 },
];

const named = (payloadBlob: BlobRef, fields: object = {}) => ({ payload: NOTHING, payloadBlob, ...fields });

async function everywhere(bed: BlobBed): Promise<void> {
  await bed.until(() => bed.agree() && bed.cluster.nodes.every((node) => bed.statistics(node).held === 1));
}

async function soundEverywhere(bed: BlobBed, ref: BlobRef): Promise<void> {
  for (const node of bed.cluster.nodes) {
    expect(bed.statistics(node)).toMatchObject({ held: 1, missing: 0, fetched: 0 });
    expect(sha256(await bed.read(node, ref))).toEqual(sha256(BYTES));
  }
}

async function reason(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => '',
    (error: GearmeshError) => error.code,
  );
}

describe('a blob that is named with a size or SHA-256 that it has not', () => {
  const cases: [string, (bed: BlobBed) => { took: SimNode; says: SimNode }][] = [
    ['took it', (bed) => ({ took: bed.follower, says: bed.follower })],
    ['did not take it', (bed) => ({ took: bed.follower, says: bed.leader })],
  ];
  for (const [name, nodes] of cases) {
    it(`rule: blobs - at the node that ${name} it is refused and costs nobody anything`, async () => {
      const bed = await BlobBed.started(41);
      const { took, says } = nodes(bed);
      const job = await bed.submit(took, { uniqueKey: 'k' });
      const ref = await bed.upload(took, BYTES);
      await everywhere(bed);
      for (const wrong of others(ref)) {
        for (const fields of [{}, { uniqueKey: 'k' }]) {
          const error = await bed.error(says, named(wrong, fields));
          expect(error).toMatchObject({ code: 'INVALID_FIELD' });
          expect(error!.violations).toMatchObject([{ field: 'payload_blob' }]);
        }
        expect(await reason(bed.read(says, wrong))).toBe('INVALID_FIELD');
      }
      await bed.pass(5_000);
      const id = await bed.submit(took, named(ref));
      await everywhere(bed);
      expect(bed.job(says, id).payloadBlob).toEqual(ref);
      expect(bed.job(says, job).payloadBlob).toBeNull();
      await soundEverywhere(bed, ref);
    });
  }

  it('rule: blobs - nor where a node that is behind is asked, or one that lacks it', async () => {
    const bed = await BlobBed.started(42);
    const ref = await bed.upload(bed.leader, BYTES);
    await bed.submit(bed.leader, named(ref));
    await everywhere(bed);
    for (const wrong of others(ref)) {
      const recount = bed.follower.node!.engine!.blobs.recount(wrong, undefined);
      expect(await reason(bed.settled(recount, 60_000))).toBe('INVALID_FIELD');
    }
    await soundEverywhere(bed, ref);
    const one = bed.follower;
    one.kill();
    one.disk.lose(bed.files(one)[0]!);
    void one.start();
    await bed.until(() => bed.cluster.allReady(), 30_000);
    for (const wrong of others(ref)) {
      const recount = one.node!.engine!.blobs.recount(wrong, undefined);
      expect(await reason(bed.settled(recount, 60_000))).toBe('INVALID_FIELD');
    }
    await everywhere(bed);
    expect(sha256(await bed.read(one, ref))).toEqual(sha256(BYTES));
  });
});

describe('a damaged blob', () => {
  it('stays, for what is sound of it, until another node gave it', async () => {
    const bed = await BlobBed.started(43);
    const id = await bed.submitBlob(bed.leader, BYTES);
    await everywhere(bed);
    const one = bed.follower;
    const ref = bed.job(one, id).payloadBlob!;
    const rest = bed.others(one);
    for (const node of rest) node.kill();
    await bed.pass(5_000);
    one.disk.flipBit(bed.files(one)[0]!, 290_000);
    expect(await reason(bed.read(one, ref))).toBe('NO_LEADER');
    expect(bed.statistics(one)).toMatchObject({ held: 1, missing: 1 });
    expect(bed.files(one)).toHaveLength(1);
    for (const node of rest) void node.start();
    await bed.until(() => bed.cluster.allReady() && bed.statistics(one).fetched === 1, 60_000);
    expect(bed.statistics(one)).toMatchObject({ held: 1, bytes: BYTES.length, missing: 0 });
    expect(bed.files(one)).toHaveLength(1);
    for (const node of rest) node.kill();
    expect(sha256(await bed.read(one, ref))).toEqual(sha256(BYTES));
  });
});
