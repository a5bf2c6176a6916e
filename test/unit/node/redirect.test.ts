import { beforeEach, describe, expect, it } from 'vitest';
import type { SimNode } from '../../../src/sim/cluster.js';
import { SimBed } from './sim-bed.js';

const WORKERS = 300;
const REDIRECT_MS = 3_000;

/** Goal: an election must not move thousands of workers (section 11 of the design, rule 10). */
describe('workers of a node without a leader', () => {
  let bed: SimBed;
  let lonely: SimNode;
  /** Virtual ms at which workers were asked to go. */
  let asked: number[];
  let cutMs: number;

  beforeEach(async () => {
    bed = await SimBed.started(21);
    lonely = bed.follower;
    asked = [];
    const opened = Array.from({ length: WORKERS }, () =>
      lonely.node!.openSession(
        { namespace: 'default', name: 'w', functions: [], resumable: true, credit: 0 },
        {
          assigned: () => {},
          leasesLost: () => {},
          cancelRequested: () => {},
          redirect: () => asked.push(bed.world.now),
          drain: () => {},
          closed: () => {},
        },
      ),
    );
    await bed.settled(Promise.all(opened));
    cutMs = bed.world.now;
  });

  function cutFrom(...others: readonly SimNode[]): void {
    for (const { name } of others) {
      bed.cluster.network.cut(lonely.name, name);
      bed.cluster.network.cut(name, lonely.name);
    }
  }

  it('rule: node down - workers are redirected only after 3 s without a leader, paced with jitter', async () => {
    cutFrom(bed.leader);
    await bed.until(() => asked.length > 0);
    expect(asked[0]! - cutMs).toBeGreaterThan(REDIRECT_MS);
    await bed.until(() => asked.length === WORKERS);
    expect(asked.at(-1)! - asked[0]!).toBeGreaterThan(2_000);
    // Never many at one moment.
    const moments = new Map<number, number>();
    for (const at of asked) moments.set(at, (moments.get(at) ?? 0) + 1);
    expect(Math.max(...moments.values())).toBeLessThanOrEqual(3);
  });

  it('rule: node down - workers are redirected only when another node reports a leader', async () => {
    cutFrom(...bed.others(lonely));
    await bed.pass(30_000);
    expect(asked).toEqual([]);
  });

  it('rule: node down - no more workers are redirected once there is a leader again', async () => {
    cutFrom(bed.leader);
    await bed.until(() => asked.length >= 50);
    bed.cluster.network.heal();
    await bed.until(() => lonely.node!.engine!.leaderlessMs === 0);
    const before = asked.length;
    expect(before).toBeLessThan(WORKERS);
    await bed.pass(10_000);
    expect(asked.length).toBe(before);
  });

  it('rule: node down - an election that succeeds moves nobody', async () => {
    bed.leader.kill();
    await bed.until(() => bed.cluster.leader !== null);
    await bed.pass(10_000);
    expect(asked).toEqual([]);
  });
});
