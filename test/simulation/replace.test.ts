import { describe, expect, it } from 'vitest';
import { SimCluster, type SimNode } from '../../src/sim/cluster.js';
import { World } from '../../src/sim/world.js';

/**
 * Goal: `gearmesh cluster replace` can be said again, at whichever leader, and finishes from wherever it stopped: each
 * run kills the leader (or the node itself) at another event of the work.
 */
/** Moments of one replacement at which something dies. */
const POINTS = 30;

interface Bed {
  readonly world: World;
  readonly cluster: SimCluster;
  readonly leader: SimNode;
  readonly wiped: SimNode;
}

async function wipedNode(seed: number, nodes = 3): Promise<Bed> {
  const world = new World(seed);
  const cluster = new SimCluster(world, { nodes });
  for (const node of cluster.nodes) void node.start();
  expect(await world.run(30_000, () => cluster.allReady())).toBe(true);
  const leader = cluster.leader!;
  const wiped = cluster.nodes.find((node) => node !== leader)!;
  wiped.kill(true);
  wiped.wipe();
  void wiped.start();
  await world.run(world.now + 2_000, () => false);
  expect(wiped.node?.phase).toBe('forming');
  return { world, cluster, leader, wiped };
}

/** Says it once; what became of it is not always heard. */
function say(bed: Bed, through: SimNode): { over: boolean; error: Error | null; lines: string[] } {
  const call: ReturnType<typeof say> = { over: false, error: null, lines: [] };
  through
    .attached((node) => node.replaceNode(bed.wiped.name, {}, (line) => call.lines.push(line)))
    .catch((error: unknown) => {
      call.error = error as Error;
    })
    .finally(() => {
      call.over = true;
    });
  return call;
}

/** Says it again until it is done, as an operator would, through a node that is up. */
async function sayAgain(bed: Bed): Promise<void> {
  const { world, cluster, wiped } = bed;
  let last: Error | null = null;
  for (let attempt = 0; attempt < 5; attempt++) {
    await world.run(world.now + 5_000, () => cluster.leader !== null && wiped.up);
    const call = say(bed, cluster.leader!);
    await world.run(world.now + 20_000, () => call.over);
    if (call.over && call.error === null) return;
    last = call.error;
    await world.run(world.now + 1_000, () => false);
  }
  throw last ?? new Error('it never ended');
}

async function expectWhole({ world, cluster, wiped }: Bed): Promise<void> {
  const states = (): Set<string> =>
    new Set(
      cluster.nodes.map((node) => {
        const core = node.node?.parts?.core;
        return core === undefined ? node.name : `${core.appliedIndex} ${core.stateHash()}`;
      }),
    );
  await world.run(world.now + 20_000, () => cluster.allReady() && states().size === 1);
  expect(cluster.nodes.map((node) => node.node?.phase)).toEqual(['ready', 'ready', 'ready']);
  expect(states().size).toBe(1);
  const { membership } = cluster.leader!.node!.parts!.consensus.status();
  expect(membership).toMatchObject({ outgoing: [], learners: [] });
  expect(membership.voters).toContain(wiped.node!.parts!.raftId);
  expect(membership.voters).toHaveLength(3);
  expect(cluster.nodes.map((node) => node.fatal)).toEqual([null, null, null]);
}

/** Events that one undisturbed replacement takes. */
async function events(seed: number): Promise<number> {
  const bed = await wipedNode(seed);
  const before = bed.world.events;
  const call = say(bed, bed.leader);
  await bed.world.run(bed.world.now + 20_000, () => call.over);
  expect(call.error).toBeNull();
  expect(call.lines.at(-1)).toBe(`${bed.wiped.name} has caught up and votes`);
  const count = bed.world.events - before;
  await expectWhole(bed);
  return count;
}

/** Lets the work go on for so many events, then kills. */
async function killedAt(seed: number, at: number, victim: 'leader' | 'wiped', power: boolean): Promise<void> {
  const bed = await wipedNode(seed);
  const { world, leader } = bed;
  const call = say(bed, leader);
  const end = world.events + at;
  expect(await world.run(world.now + 20_000, () => call.over || world.events >= end)).toBe(true);
  const node = bed[victim];
  node.kill(power);
  await world.run(world.now + 1_500, () => false);
  void node.start();
  await sayAgain(bed);
  await expectWhole(bed);
}

describe('replacing a node', () => {
  it('again when it is done says so', async () => {
    const bed = await wipedNode(1);
    await sayAgain(bed);
    const call = say(bed, bed.cluster.leader!);
    await bed.world.run(bed.world.now + 5_000, () => call.over);
    expect(call).toMatchObject({
      error: null,
      lines: [`${bed.wiped.name} votes, with the disk that the cluster knows`],
    });
    await expectWhole(bed);
  });

  it('goes on with another disk when the new one is wiped as well', async () => {
    const bed = await wipedNode(1);
    const { world, wiped, leader } = bed;
    const call = say(bed, leader);
    await world.run(world.now + 20_000, () => (wiped.node?.clusterId ?? '') !== '');
    expect(call.over).toBe(false);
    wiped.kill(true);
    wiped.wipe();
    void wiped.start();
    await world.run(world.now + 20_000, () => call.over);
    if (call.error !== null) await sayAgain(bed);
    await expectWhole(bed);
  });

  it.each(['at once', 'later'] as const)(
    'lets who was away meanwhile follow the new disk that leads, met %s',
    async (met) => {
      const bed = await wipedNode(21, 5);
      const { world, cluster, leader, wiped } = bed;
      const away = cluster.nodes.find((node) => node !== leader && node !== wiped)!;
      away.kill(false);
      await sayAgain(bed);
      leader.node!.engine!.transferTo(wiped.name);
      expect(await world.run(world.now + 5_000, () => cluster.leader === wiped)).toBe(true);
      if (met === 'later') {
        cluster.network.cut(wiped.name, away.name);
        cluster.network.cut(away.name, wiped.name);
      }
      void away.start();
      if (met === 'later') {
        await world.run(world.now + 10_000, () => away.node?.parts !== null);
        await world.run(world.now + 1_000, () => false);
        cluster.network.heal();
      }
      expect(await world.run(world.now + 20_000, () => cluster.allReady())).toBe(true);
      expect(cluster.leader).toBe(wiped);
      const index = (node: SimNode): number | undefined => node.node?.parts?.core.appliedIndex;
      expect(index(away)).toBe(index(wiped));
    },
  );

  it.each(['leader', 'wiped'] as const)(
    'is finished by the next one whenever the %s one dies',
    async (victim) => {
      for (const seed of [11, 12, 13]) {
        const count = await events(seed);
        const step = Math.max(1, Math.floor(count / POINTS));
        for (let at = 0; at < count; at += step) await killedAt(seed, at, victim, at % 2 === 0);
      }
    },
  );
});
