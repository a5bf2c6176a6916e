import { describe, expect, it } from 'vitest';
import { SimCluster, type SimNode } from '../../src/sim/cluster.js';
import { World } from '../../src/sim/world.js';

/**
 * Goal: whole nodes on disks that lose what was not synced, one of which is wiped or loses power while the cluster forms,
 * come to one cluster, or say what to do (design, "Formation and wiped disks").
 */
const TO_EMPTY = 'empty their data directories';
const SEEDS = Array.from({ length: 60 }, (_, i) => i + 1);

/** One that dies while it opens its directory is no failure. */
function start(node: SimNode): void {
  node.start().catch(() => {});
}

async function life(seed: number): Promise<'formed' | 'replaced' | 'emptied'> {
  const world = new World(seed, (line) => {
    told ||= line.includes(TO_EMPTY);
  });
  let told = false;
  const { random } = world;
  const cluster = new SimCluster(world, { nodes: 3, maxSyncMs: 20 });
  cluster.network.faults.lossPermille = random.pick([0, 50]);
  for (const node of cluster.nodes) world.after(random.between(0, 100), () => start(node));
  const victim = random.pick(cluster.nodes);
  const wiped = random.chance(700);
  world.after(random.between(101, 400), () => {
    victim.kill(true);
    if (wiped) victim.wipe();
    world.after(random.between(1, 300), () => start(victim));
  });
  await world.run(2_000, () => false);
  cluster.network.faults.lossPermille = 0;
  const ids = (): (string | null)[] => cluster.nodes.map((node) => node.node?.clusterId || null);
  const isOne = (): boolean => cluster.allReady() && new Set(ids()).size === 1;
  if (await world.run(world.now + 15_000, isOne)) return 'formed';
  const known = new Set(ids().filter((id) => id !== null));
  expect(known.size).toBeLessThanOrEqual(1);
  expect(wiped).toBe(true);
  if (known.size === 1) {
    let done = false;
    void cluster
      .leader!.node!.replaceNode(victim.name, {}, () => {})
      .then(() => {
        done = true;
      });
    await world.run(world.now + 20_000, () => done && isOne());
    expect(isOne()).toBe(true);
    return 'replaced';
  }
  expect(told).toBe(true);
  for (const node of cluster.nodes) {
    node.kill();
    node.wipe();
  }
  for (const node of cluster.nodes) start(node);
  await world.run(world.now + 15_000, isOne);
  expect(isOne()).toBe(true);
  return 'emptied';
}

describe('a cluster that forms while a founder is lost', () => {
  const ends = new Map<string, number>();

  it.each(SEEDS)('rule: formation - (seed %i) is one, or says what to do', async (seed) => {
    const end = await life(seed);
    ends.set(end, (ends.get(end) ?? 0) + 1);
  });

  it('came to each of the three ends', () => {
    expect([...ends.keys()].sort()).toEqual(['emptied', 'formed', 'replaced']);
  });
});
