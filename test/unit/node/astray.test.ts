import { beforeEach, describe, expect, it } from 'vitest';
import type { Core } from '../../../src/core/interface.js';
import type { SessionPort } from '../../../src/node/index.js';
import { SimCluster, type SimNode } from '../../../src/sim/cluster.js';
import { World } from '../../../src/sim/world.js';
import { jobSpec, settled } from './parts.js';

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
  let world: World;
  let cluster: SimCluster;
  let lines: string[];

  beforeEach(async () => {
    lines = [];
    world = new World(11, (line) => lines.push(line));
    cluster = new SimCluster(world, { nodes: 3, settings: { retentionMs: 86_400_000 } });
    for (const node of cluster.nodes) void node.start();
    expect(await world.run(30_000, () => cluster.allReady())).toBe(true);
  });

  /** Submits at this node and waits until all nodes know it. */
  async function submit(node: SimNode, runTimeoutMs = 0): Promise<string> {
    const id = node.node!.newJobId();
    const [answer] = await settled(
      world,
      node.node!.submit('default', [jobSpec({ id, runTimeoutMs })], { allOrNothing: false }),
    );
    expect(answer!.error).toBeNull();
    return id;
  }

  const core = (node: SimNode): Core => node.node!.parts!.core;
  const place = (node: SimNode): string => `${core(node).appliedIndex} ${core(node).stateHash()}`;
  const member = (node: SimNode, at: SimNode) =>
    at.node!.engine!.members.find((one) => one.name === node.name)!;

  it.each(['follower', 'leader'])(
    'rule: replicated inputs - hashes are compared; a node in the minority stops and reinstalls (the %s)',
    async (role) => {
      const leader = cluster.leader!;
      const broken = role === 'leader' ? leader : cluster.nodes.find((node) => node !== leader)!;
      const [first, second] = cluster.nodes.filter((node) => node !== broken) as [SimNode, SimNode];
      const marked = await submit(leader, MARK_MS);
      const told: string[] = [];
      const port: SessionPort = {
        assigned: () => {},
        leasesLost: () => {},
        cancelRequested: () => {},
        redirect: () => {},
        drain: () => {},
        closed: (error) => told.push(error?.code ?? 'closed'),
      };
      await settled(
        world,
        broken.node!.openSession(
          { namespace: 'default', name: 'w', functions: [], resumable: true, credit: 0 },
          port,
        ),
      );
      await world.run(world.now + 1_000, () => new Set(cluster.nodes.map(place)).size === 1);
      const old = member(broken, first);
      leadAstray(core(broken));
      expect(core(broken).findJob('default', marked)!.runTimeoutMs).toBe(MARK_MS + 1);

      const ids = [await submit(first)];
      const before = core(first).appliedIndex;
      expect(await world.run(world.now + 2_000, () => broken.node!.phase !== 'ready')).toBe(true);
      expect(told).toEqual(['SHUTTING_DOWN']);
      const read = { consistency: 'eventual', minRevision: 0 } as const;
      await expect(broken.node!.getJob('default', marked, read)).rejects.toMatchObject({ code: 'NO_LEADER' });
      expect(broken.fatal).toBeNull();

      // The others go on meanwhile, and say that they disagree no longer once it is back.
      await world.run(world.now + 2_000, () => [first, second].includes(cluster.leader!));
      for (const node of [first, second]) ids.push(await submit(node));
      expect(await world.run(world.now + 60_000, () => cluster.allReady())).toBe(true);
      ids.push(await submit(broken));
      await world.run(world.now + 5_000, () => new Set(cluster.nodes.map(place)).size === 1);
      expect(new Set(cluster.nodes.map(place)).size).toBe(1);
      expect(core(broken).appliedIndex).toBeGreaterThan(before);
      expect(core(broken).findJob('default', marked)!.runTimeoutMs).toBe(MARK_MS);
      for (const id of ids) expect(core(broken).findJob('default', id)).not.toBeNull();

      // From a snapshot, as another disk that votes again; the old one is no member, and its data is kept aside.
      expect(lines.some((line) => line.includes(`${broken.name} state replaced by a snapshot`))).toBe(true);
      const fresh = member(broken, first);
      expect(fresh.diskId).not.toBe(old.diskId);
      const voters = () => cluster.leader?.node?.parts?.consensus.status().membership.voters ?? [];
      expect(await world.run(world.now + 5_000, () => voters().includes(fresh.raftId))).toBe(true);
      expect(voters()).not.toContain(old.raftId);
      expect(broken.disk.paths().some((path) => path.includes('/damaged-'))).toBe(true);
      for (const node of [first, second]) expect(node.fatal).toBeNull();
    },
  );

  it('rule: replicated inputs - a node in the minority stops for good when it happens again to what it took from the others', async () => {
    const broken = cluster.nodes.find((node) => node !== cluster.leader)!;
    for (let time = 1; time <= 2; time++) {
      const id = await submit(broken, MARK_MS);
      await world.run(world.now + 1_000, () => new Set(cluster.nodes.map(place)).size === 1);
      leadAstray(core(broken));
      await submit(cluster.leader!);
      const gone = (): boolean => broken.node?.phase !== 'ready';
      expect(await world.run(world.now + 2_000, gone)).toBe(true);
      if (time === 2) break;
      expect(await world.run(world.now + 60_000, () => cluster.allReady())).toBe(true);
      await world.run(world.now + 3_000, () => false);
      await settled(world, broken.node!.cancelJob('default', id, '', 0, {}));
      await settled(world, broken.node!.deleteJob('default', id, {}));
    }
    await world.run(world.now + 1_000, () => broken.fatal !== null);
    expect(broken.fatal?.message).toContain('again after it had been taken from the others');
    await submit(cluster.leader!);
  });

  it('rule: replicated inputs - a node in the minority goes on reinstalling after it was killed on the way', async () => {
    const broken = cluster.nodes.find((node) => node !== cluster.leader)!;
    await submit(broken, MARK_MS);
    await world.run(world.now + 1_000, () => new Set(cluster.nodes.map(place)).size === 1);
    leadAstray(core(broken));
    await submit(cluster.leader!);
    expect(await world.run(world.now + 2_000, () => broken.node!.phase === 'forming')).toBe(true);
    broken.kill(true);
    void broken.start();
    expect(await world.run(world.now + 60_000, () => cluster.allReady())).toBe(true);
    await world.run(world.now + 5_000, () => new Set(cluster.nodes.map(place)).size === 1);
    expect(new Set(cluster.nodes.map(place)).size).toBe(1);
  });
});
