import { beforeEach, describe, expect, it } from 'vitest';
import type { Core } from '../../../src/core/interface.js';
import { SimBed } from './sim-bed.js';

const MARK_MS = 123_457;

/** One field of one job becomes another, as by a fault of memory: the run timeout `MARK_MS`. */
function leadAstray(core: Core): void {
  const pages: { key: string; bytes: Uint8Array }[] = [];
  const cursor = core.beginSnapshot();
  for (let page = cursor.next(() => false); page !== null; page = cursor.next(() => false)) {
    pages.push({ key: page.key, bytes: Buffer.from(page.bytes!) });
  }
  const mark = Buffer.alloc(8);
  mark.writeDoubleLE(MARK_MS);
  const found = pages.filter(
    ({ key, bytes }) => key.startsWith('jobs/') && Buffer.from(bytes).includes(mark),
  );
  expect(found).toHaveLength(1);
  const bytes = found[0]!.bytes as Buffer;
  bytes.writeDoubleLE(MARK_MS + 1, bytes.indexOf(mark));
  const restorer = core.beginRestore();
  for (const page of pages) restorer.page(page.key, page.bytes);
  restorer.finish();
}

/**
 * Goal: three nodes of the code that ships compare their states, and one that differs from the other two neither serves
 * nor votes with what it has, while the others go on (section 11 of the design, rule 8).
 */
describe('a replica whose state differs from the others', () => {
  let bed: SimBed;

  beforeEach(async () => {
    bed = await SimBed.started(11);
  });

  it.each(['follower', 'leader'] as const)(
    'rule: replicated inputs - hashes are compared; a node in the minority stops and reinstalls (the %s)',
    async (role) => {
      const broken = bed[role];
      const [first, second] = bed.others(broken);
      const marked = await bed.submit(bed.leader, { runTimeoutMs: MARK_MS });
      const { told } = await bed.worker(broken, 0);
      await bed.until(() => bed.agree());
      const old = bed.raftId(broken);
      leadAstray(bed.core(broken));
      expect(bed.core(broken).findJob('default', marked)!.runTimeoutMs).toBe(MARK_MS + 1);

      const ids = [await bed.submit(first)];
      await bed.until(() => broken.node!.phase !== 'ready', 2_000);
      expect(told).toEqual(['SHUTTING_DOWN']);
      const read = { consistency: 'eventual', minRevision: 0 } as const;
      await expect(broken.node!.getJob('default', marked, read)).rejects.toMatchObject({ code: 'NO_LEADER' });
      expect(broken.fatal).toBeNull();

      // The others go on meanwhile.
      await bed.until(() => bed.cluster.leader !== null && bed.cluster.leader !== broken, 2_000);
      for (const node of [first, second]) ids.push(await bed.submit(node));
      await bed.until(() => bed.cluster.allReady(), 60_000);
      ids.push(await bed.submit(broken));
      await bed.until(() => bed.agree());
      expect(bed.core(broken).findJob('default', marked)!.runTimeoutMs).toBe(MARK_MS);
      for (const id of ids) expect(bed.core(broken).findJob('default', id)).not.toBeNull();

      // From a snapshot, as another disk that votes again; the old one is no member, and its data is kept aside.
      expect(bed.lines.some((line) => line.includes(`${broken.name} state replaced by a snapshot`))).toBe(
        true,
      );
      await bed.until(() => bed.voters().includes(bed.raftId(broken)));
      expect(bed.raftId(broken)).not.toBe(old);
      expect(bed.voters()).not.toContain(old);
      expect(broken.disk.paths().some((path) => path.includes('/damaged-'))).toBe(true);
      for (const node of [first, second]) expect(node.fatal).toBeNull();
    },
  );

  it('rule: replicated inputs - a node in the minority stops for good when it happens again to what it took from the others', async () => {
    const broken = bed.follower;
    for (let time = 1; time <= 2; time++) {
      const id = await bed.submit(broken, { runTimeoutMs: MARK_MS });
      await bed.until(() => bed.agree());
      leadAstray(bed.core(broken));
      await bed.submit(bed.leader);
      await bed.until(() => broken.node?.phase !== 'ready', 2_000);
      if (time === 2) break;
      await bed.until(() => bed.cluster.allReady(), 60_000);
      await bed.pass(3_000);
      await bed.settled(broken.node!.cancelJob('default', id, '', 0, {}));
      await bed.settled(broken.node!.deleteJob('default', id, {}));
    }
    await bed.until(() => broken.fatal !== null);
    expect(broken.fatal?.message).toContain('again after it had been taken from the others');
    await bed.submit(bed.leader);
  });

  it('rule: replicated inputs - a node in the minority goes on reinstalling after it was killed on the way', async () => {
    const broken = bed.follower;
    await bed.submit(broken, { runTimeoutMs: MARK_MS });
    await bed.until(() => bed.agree());
    leadAstray(bed.core(broken));
    await bed.submit(bed.leader);
    await bed.until(() => broken.node!.phase === 'forming', 2_000);
    broken.kill(true);
    void broken.start();
    await bed.until(() => bed.cluster.allReady(), 60_000);
    await bed.until(() => bed.agree());
  });
});
