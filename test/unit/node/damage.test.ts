import { describe, expect, it } from 'vitest';
import type { SimNode } from '../../../src/sim/cluster.js';
import { jobSpec } from './parts.js';
import { SimBed } from './sim-bed.js';

/** Blocks of the log: one holds the head of the segment, the others whole batches. */
const BLOCK = 4096;

/**
 * Goal: what a disk gave back other than it was written is never served nor voted on (section 11 of the design, rule 2).
 * Whole nodes in virtual time; `test/fault/damage.test.ts` does the same to processes.
 */
describe('a log that comes back other than it was written', () => {
  /** A follower that has some log on its disk, and is down. */
  async function stopped(): Promise<{
    bed: SimBed;
    broken: SimNode;
    ids: string[];
    old: number;
    log: string;
  }> {
    const bed = await SimBed.started(5);
    const broken = bed.follower;
    const ids: string[] = [];
    for (let i = 0; i < 20; i++) ids.push(await bed.submit(bed.leader));
    await bed.until(() => bed.agree());
    await bed.until(() => !broken.disk.hasUnsynced);
    const old = bed.raftId(broken);
    broken.kill();
    const log = broken.disk.paths().filter((path) => path.includes('/wal/'))[0]!;
    return { bed, broken, ids, old, log };
  }

  /** The Raft ids under which anybody sends anything. */
  function listen(bed: SimBed): number[] {
    const heard: number[] = [];
    bed.cluster.network.passing = (frame) => {
      if (frame.type === 'raft') heard.push(...frame.messages.map(({ from }) => from));
    };
    return heard;
  }

  it('rule: damage - below what was synced, this identity never again votes, campaigns or acknowledges', async () => {
    const { bed, broken, old, log } = await stopped();
    broken.disk.flipBit(log, 3 * BLOCK + 60);
    const heard = listen(bed);
    void broken.start();
    await bed.until(() => broken.node?.phase === 'forming');
    // Were its vote or its disk worth anything, two of three would be a majority.
    const [left, lost] = bed.others(broken);
    lost.kill();
    let acknowledged = false;
    const asked = left.node!.submit('default', [jobSpec({ id: left.node!.newJobId() })], {
      allOrNothing: false,
    });
    asked.then(
      () => {
        acknowledged = true;
      },
      () => {},
    );
    await bed.pass(20_000);
    expect(acknowledged).toBe(false);
    expect(left.node!.engine!.isOpenLeader).toBe(false);
    expect(heard).not.toContain(old);
    expect(broken.node!.phase).toBe('forming');
    // Not even after another start.
    broken.kill();
    void broken.start();
    await bed.pass(5_000);
    expect(heard).not.toContain(old);
    expect(broken.node!.phase).toBe('forming');
  });

  it('rule: damage - a snapshot page with a flipped bit sets the disk aside, and the node goes on as a new one', async () => {
    const { bed, broken, ids, old } = await stopped();
    const pack = broken.disk.paths().find((path) => path.includes('/snapshots/pack-'))!;
    const { length } = broken.disk.contentOf(pack);
    broken.disk.flipBit(pack, length >> 1);
    const heard = listen(bed);
    void broken.start();
    await bed.until(() => broken.node?.phase === 'forming');
    expect(broken.fatal).toBeNull();
    expect(bed.lines.join('\n')).toContain('a page of the newest snapshot is damaged');
    expect(broken.disk.paths().some((path) => path.includes('/damaged-'))).toBe(true);
    await bed.pass(2_000);
    expect(heard).not.toContain(old);
    await bed.settled(
      bed.leader.node!.replaceNode(broken.name, {}, () => {}),
      30_000,
    );
    await bed.until(() => bed.agree());
    for (const id of ids) expect(bed.core(broken).findJob('default', id)).not.toBeNull();
  });

  it('rule: damage - the node is replaced through a learner', async () => {
    const { bed, broken, ids, old, log } = await stopped();
    broken.disk.flipBit(log, 3 * BLOCK + 60);
    void broken.start();
    await bed.until(() => broken.node?.phase === 'forming');
    await bed.pass(500);
    const learners = new Set<number>();
    let over = false;
    const replaced = bed.leader.node!.replaceNode(broken.name, {}, () => {});
    void replaced.finally(() => {
      over = true;
    });
    await bed.until(() => {
      for (const id of bed.leader.node!.parts!.consensus.status().membership.learners) learners.add(id);
      return over;
    }, 30_000);
    await replaced;
    expect([...learners]).toEqual([bed.raftId(broken)]);
    expect(bed.raftId(broken)).not.toBe(old);
    expect(bed.voters()).toContain(bed.raftId(broken));
    expect(bed.voters()).not.toContain(old);
    await bed.until(() => bed.agree());
    for (const id of ids) expect(bed.core(broken).findJob('default', id)).not.toBeNull();
  });

  it('rule: damage - above what was synced, a torn tail is cut and the node goes on as itself', async () => {
    const { bed, broken, ids, old, log } = await stopped();
    const content = broken.disk.contentOf(log);
    let end = content.length;
    while (content.subarray(end - BLOCK, end).every((byte) => byte === 0)) end -= BLOCK;
    // The beginning of a batch whose rest did not reach the disk.
    const file = await bed.settled(broken.disk.open(log, { create: false }));
    await bed.settled(file.write([content.subarray(end - BLOCK, end - BLOCK + 100)], end));
    await bed.settled(file.sync());
    void broken.start();
    await bed.until(() => broken.node?.phase === 'ready');
    expect(bed.lines.some((line) => line.includes(`${broken.name} a torn tail of the log was cut off`))).toBe(
      true,
    );
    expect(bed.raftId(broken)).toBe(old);
    await bed.until(() => bed.agree());
    for (const id of ids) expect(bed.core(broken).findJob('default', id)).not.toBeNull();
  });
});
