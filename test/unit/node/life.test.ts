import { beforeEach, describe, expect, it } from 'vitest';
import { SimCluster } from '../../../src/sim/cluster.js';
import { World } from '../../../src/sim/world.js';

/** Goal: whole nodes begin, end and come back as operators expect, in virtual time. */
describe('a node', () => {
  let world: World;
  let cluster: SimCluster;

  beforeEach(() => {
    world = new World(3);
    cluster = new SimCluster(world, { nodes: 3 });
  });

  async function settled<T>(work: Promise<T>, ms: number): Promise<T | 'still waits'> {
    let result: T | 'still waits' = 'still waits';
    let error: unknown = null;
    let over = false;
    work.then(
      (value) => {
        result = value;
        over = true;
      },
      (reason: unknown) => {
        error = reason;
        over = true;
      },
    );
    await world.run(world.now + ms, () => over);
    if (error !== null) throw error;
    return result;
  }

  async function ready(): Promise<void> {
    for (const node of cluster.nodes) void node.start();
    expect(await world.run(30_000, () => cluster.allReady())).toBe(true);
  }

  it('stops while it waits for its peers', async () => {
    const [first] = cluster.nodes;
    void first!.start();
    await world.run(500, () => false);
    expect(first!.node?.phase).toBe('forming');
    expect(await settled(first!.node!.stop(), 5_000)).toBeUndefined();
  });

  it('stops while it recovers from its disk', async () => {
    await ready();
    const [first] = cluster.nodes;
    first!.kill();
    void first!.start();
    await world.run(world.now + 1_000, () => first!.node !== null);
    expect(await settled(first!.node!.stop(), 5_000)).toBeUndefined();
    expect(first!.fatal).toBeNull();
  });

  it('comes back with an empty disk, although no snapshot was taken before', async () => {
    await ready();
    const leader = cluster.leader!;
    const wiped = cluster.nodes.find((node) => node !== leader)!;
    wiped.kill(true);
    wiped.wipe();
    void wiped.start();
    await world.run(world.now + 2_000, () => false);
    expect(wiped.node?.phase).toBe('forming');
    expect(
      await settled(
        leader.node!.replaceNode(wiped.name, {}, () => {}),
        20_000,
      ),
    ).toEqual({ revision: expect.any(Number) });
    await world.run(world.now + 5_000, () => cluster.allReady());
    expect(wiped.node?.phase).toBe('ready');
    const state = (node: typeof wiped): string => {
      const { core } = node.node!.parts!;
      return `${core.appliedIndex} ${core.stateHash()}`;
    };
    await world.run(world.now + 5_000, () => state(wiped) === state(leader));
    expect(state(wiped)).toBe(state(leader));
  });

  it('rule: formation - cluster id and members are fixed before any vote', async () => {
    let frames = 0;
    cluster.network.passing = (frame, from) => {
      if (frame.type !== 'raft') return;
      frames += 1;
      // Whoever sends anything of Raft has them on its disk, and all others have promised to.
      const sender = cluster.nodes.find((node) => node.name === from)!;
      const { clusterId } = sender.node!;
      expect(clusterId).not.toBe('');
      for (const node of cluster.nodes) {
        const written = ['/data/identity', '/data/notes/formation']
          .filter((path) => node.disk.paths().includes(path))
          .map((path) => node.disk.contentOf(path).toString('latin1'));
        expect(
          written.some((text) => text.includes(clusterId)),
          node.name,
        ).toBe(true);
      }
    };
    await ready();
    expect(frames).toBeGreaterThan(0);
    const formed = cluster.nodes.map((node) => node.node!.engine!.members);
    expect(formed[1]).toEqual(formed[0]);
    expect(formed[2]).toEqual(formed[0]);
  });

  it('rule: formation - two wiped nodes that meet a formed one wait to be added, and make no quorum', async () => {
    await ready();
    const leader = cluster.leader!;
    for (const node of cluster.nodes) {
      if (node === leader) continue;
      node.kill(true);
      node.wipe();
      void node.start();
    }
    await world.run(world.now + 20_000, () => false);
    const phases = cluster.nodes.filter((node) => node !== leader).map((node) => node.node?.phase);
    expect(phases).toEqual(['forming', 'forming']);
    expect(leader.node!.engine!.isOpenLeader).toBe(false);
  });
});
