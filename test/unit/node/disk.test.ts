import { describe, expect, it } from 'vitest';
import type { GearmeshError } from '../../../src/core/errors.js';
import type { SubmitResult } from '../../../src/node/index.js';
import { SimCluster, type SimClusterOptions, type SimNode } from '../../../src/sim/cluster.js';
import { World } from '../../../src/sim/world.js';
import { jobSpec, settled } from './parts.js';

const isLog = (path: string): boolean => path.includes('/wal/');

async function formed(lines: string[], options: Partial<SimClusterOptions> = {}): Promise<SimCluster> {
  const cluster = new SimCluster(new World(21, (line) => lines.push(line)), { nodes: 3, ...options });
  for (const node of cluster.nodes) void node.start();
  expect(await cluster.world.run(30_000, () => cluster.allReady())).toBe(true);
  return cluster;
}

function pass(cluster: SimCluster, ms: number): Promise<boolean> {
  return cluster.world.run(cluster.world.now + ms, () => false);
}

function submit(node: SimNode, id = node.node!.newJobId()): Promise<SubmitResult> {
  return node
    .attached((living) => living.submit('default', [jobSpec({ id })], { allOrNothing: false }))
    .then(([result]) => result!);
}

/** Goal: after a failed sync nobody knows what is on disk, so that a node stops, and nothing stands on what it wrote. */
describe('a sync of the log that fails', () => {
  it.each(['follower', 'leader'])('stops the node at once and is never repeated (the %s)', async (role) => {
    const cluster = await formed([]);
    const leader = cluster.leader!;
    const hit = role === 'leader' ? leader : cluster.nodes.find((node) => node !== leader)!;
    const others = cluster.nodes.filter((node) => node !== hit);
    const engine = hit.node!.engine!;
    let failed = 0;
    hit.disk.failSync((path) => {
      if (isLog(path)) failed += 1;
      return isLog(path);
    });
    // Through the node itself: it never says that this is done.
    await expect(settled(cluster.world, submit(hit))).rejects.toThrow('connection lost');
    expect(hit.fatal?.message).toContain('EIO');
    expect(hit.up).toBe(false);
    expect(engine.isOpenLeader).toBe(false);
    await pass(cluster, 2_000);
    expect(failed).toBe(1);

    // The other two go on, and what they say is kept.
    expect(others).toContain(cluster.leader);
    const ids: string[] = [];
    for (const node of others) {
      const result = await settled(cluster.world, submit(node));
      expect(result.error).toBeNull();
      ids.push(result.jobId);
    }
    for (const node of others) expect(node.fatal).toBeNull();

    // With a sound disk in its place it comes back, and has all of it.
    hit.disk.failSync(null);
    void hit.start();
    expect(await cluster.world.run(cluster.world.now + 10_000, () => cluster.allReady())).toBe(true);
    for (const id of ids) expect(hit.node!.parts!.core.findJob('default', id)).not.toBeNull();
  });

  it('attests nothing: with it at two of three, no submission is acknowledged', async () => {
    const cluster = await formed([]);
    const leader = cluster.leader!;
    const followers = cluster.nodes.filter((node) => node !== leader);
    for (const node of followers) node.disk.failSync(isLog);
    const id = leader.node!.newJobId();
    let answered = false;
    const call = submit(leader, id).finally(() => {
      answered = true;
    });
    await pass(cluster, 200);
    expect(followers.map((node) => node.fatal?.message.includes('EIO'))).toEqual([true, true]);
    expect(answered).toBe(false);

    for (const node of followers) {
      node.disk.failSync(null);
      void node.start();
    }
    expect((await settled(cluster.world, call)).error).toBeNull();
    for (const node of cluster.nodes) {
      const known = (): boolean => (node.node?.parts?.core.seqOf('default', id) ?? 0) > 0;
      expect(await cluster.world.run(cluster.world.now + 5_000, known)).toBe(true);
    }
  });
});

/** Goal: before a full disk hurts the log, new jobs are refused there and another node leads. */
describe('a disk that is nearly full', () => {
  const RESERVE = 1024 * 1024;
  const LEFT = 512 * 1024;
  const LIMIT = { limit: 'disk-reserve-bytes', value: String(RESERVE) };

  async function refusal(cluster: SimCluster, node: SimNode): Promise<GearmeshError> {
    return settled(
      cluster.world,
      submit(node).then(
        () => Promise.reject(new Error('it was accepted')),
        (error: GearmeshError) => error,
      ),
    );
  }

  it('moves leadership to a node with room; what was accepted goes on', async () => {
    const lines: string[] = [];
    const cluster = await formed(lines, { diskReserveBytes: RESERVE });
    const { world } = cluster;
    const full = cluster.leader!;
    const { term } = full.node!.engine!.standing;
    const { jobId } = await settled(world, submit(full));
    full.disk.fullAfter(LEFT);
    expect(await world.run(world.now + 2_500, () => cluster.leader !== full && cluster.leader !== null)).toBe(
      true,
    );
    // Handed over, not lost: nobody waited for an election timeout.
    expect(lines.some((line) => line.includes(`${full.name} the disk is nearly full`))).toBe(true);
    expect(cluster.leader!.node!.engine!.standing.term).toBe(term + 1);
    const next = cluster.leader!;

    const refused = await refusal(cluster, full);
    expect(refused).toMatchObject({ code: 'LIMIT_REACHED', outcome: 'NOT_APPLIED', metadata: LIMIT });
    expect(refused.retryAfterMs).toBeGreaterThan(0);
    for (const node of cluster.nodes) {
      if (node !== full) expect((await settled(world, submit(node))).error).toBeNull();
    }
    const cancelled = full.node!.cancelJob('default', jobId, '', 0, {});
    await settled(world, cancelled);
    // It stays a follower, also when the leader goes.
    await pass(cluster, 5_000);
    expect(cluster.leader).toBe(next);
    for (const node of cluster.nodes) expect(node.fatal).toBeNull();

    full.disk.fullAfter(Number.POSITIVE_INFINITY);
    await world.run(world.now + 2_000, () => full.node!.engine?.diskLow === false);
    expect((await settled(world, submit(full))).error).toBeNull();
  });

  it('of the leader ends submissions everywhere while no other node has room', async () => {
    const cluster = await formed([], { diskReserveBytes: RESERVE });
    const { world } = cluster;
    for (const node of cluster.nodes) node.disk.fullAfter(LEFT);
    await pass(cluster, 3_000);
    const leader = cluster.leader!;
    const { term } = leader.node!.engine!.standing;
    await pass(cluster, 5_000);
    // Each knows of the others that they have no room: leadership does not go around.
    expect(leader.node!.engine!.standing).toMatchObject({ role: 'leader', term });
    for (const node of cluster.nodes) {
      expect(await refusal(cluster, node)).toMatchObject({ code: 'LIMIT_REACHED', metadata: LIMIT });
    }
    for (const node of cluster.nodes) if (node !== leader) node.disk.fullAfter(Number.POSITIVE_INFINITY);
    expect(
      await world.run(world.now + 3_000, () => cluster.leader !== leader && cluster.leader !== null),
    ).toBe(true);
    const other = cluster.nodes.find((node) => node !== leader)!;
    expect((await settled(world, submit(other))).error).toBeNull();
  });
});
