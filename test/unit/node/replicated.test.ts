import { describe, expect, it } from 'vitest';
import { encodeEntry } from '../../../src/core/index.js';
import type { ReadOptions } from '../../../src/node/index.js';
import { SimBed } from './sim-bed.js';

/** Goal: replicas apply the same to the same, whatever each was started with (section 11 of the design, rule 8). */
describe('what apply reads', () => {
  it('rule: replicated inputs - the flags of a node seed the formation and count for nothing afterwards', async () => {
    const bed = await SimBed.started(3, { settings: { maxAttempts: 7 } });
    const { follower } = bed;
    for (const node of bed.cluster.nodes) expect(bed.core(node).settings.maxAttempts).toBe(7);
    await bed.settled(bed.leader.node!.changeSettings({ sessionGraceMs: 4_321 }, {}));
    follower.kill();
    follower.settings = { maxAttempts: 2, sessionGraceMs: 99 };
    void follower.start();
    await bed.until(() => bed.cluster.allReady());
    await bed.until(() => bed.agree());
    expect(bed.core(follower).settings).toMatchObject({ maxAttempts: 7, sessionGraceMs: 4_321 });
  });

  it('says of a purge that nobody has used the function by 0 jobs', async () => {
    const bed = await SimBed.started(3);
    const purged = await bed.settled(bed.follower.node!.purgeQueue('default', 'nobody', ['queued'], {}));
    expect(purged.value).toBe(0);
    expect(purged.revision).toBeGreaterThan(0);
  });

  it('is shown by any node as it was changed', async () => {
    const bed = await SimBed.started(3);
    const { leader, follower } = bed;
    for (let i = 1; i <= 20; i++) {
      const { revision } = await bed.settled(leader.node!.changeSettings({ jobsMax: i }, {}));
      const read = {
        consistency: i % 2 === 0 ? 'linearizable' : 'eventual',
        minRevision: i % 2 === 0 ? 0 : revision,
      };
      const settings = await bed.settled(follower.node!.readSettings(read as ReadOptions));
      expect(settings.jobsMax).toBe(i);
    }
  });

  it('rule: replicated inputs - a node that meets an unknown command stops, and does not skip it', async () => {
    const bed = await SimBed.started(3);
    const { leader } = bed;
    const cores = bed.cluster.nodes.map((node) => bed.core(node));
    const { elapsedUs, wall } = bed.core(leader);
    leader.node!.parts!.consensus.propose([encodeEntry(elapsedUs, wall, [Buffer.from([99, 2])])]);
    const unknown = leader.node!.parts!.consensus.status().lastIndex;
    leader.node!.engine!.askTurn();
    await bed.until(() => leader.fatal !== null);
    expect(leader.fatal?.message).toContain('not known to this version');
    await bed.pass(5_000);
    for (const core of cores) expect(core.appliedIndex).toBeLessThanOrEqual(unknown);
    // It is in the log: starting again does not get past it.
    for (const node of bed.cluster.nodes) {
      node.fatal = null;
      if (!node.up) void node.start();
    }
    await bed.until(() => bed.cluster.nodes.some((node) => node.fatal !== null));
    for (const node of bed.cluster.nodes) {
      if (node.up) expect(bed.core(node).appliedIndex).toBeLessThan(unknown);
    }
  });
});
