import { describe, expect, it } from 'vitest';
import { Recorder } from '../../../src/checker/index.js';
import type { GearmeshError } from '../../../src/core/errors.js';
import { DEFAULT_SETTINGS, type JobSpec } from '../../../src/core/types.js';
import type { SessionPort, WorkerSession } from '../../../src/node/index.js';
import { SimCluster, type SimNode } from '../../../src/sim/cluster.js';
import { Workload } from '../../../src/sim/workload/index.js';
import { World } from '../../../src/sim/world.js';

const DRAIN_MS = 20_000;
/** The longest that a stop may take where nothing under way is worth the wait. */
const SOON_MS = 6_000;

/** Goal: an orderly end waits for what somebody waits for, and for nothing else (virtual time). */
describe('nodes that are stopped', () => {
  async function formed(seed: number): Promise<SimCluster> {
    const cluster = new SimCluster(new World(seed), { nodes: 3, drainMs: DRAIN_MS });
    for (const node of cluster.nodes) void node.start();
    expect(await cluster.world.run(30_000, () => cluster.allReady())).toBe(true);
    return cluster;
  }

  /** The promise's result, with virtual time passing. */
  async function result<T>(cluster: SimCluster, work: Promise<T>): Promise<T> {
    let over = false;
    const done = (): void => {
      over = true;
    };
    work.then(done, done);
    expect(await cluster.world.run(cluster.world.now + 60_000, () => over)).toBe(true);
    return work;
  }

  function spec(node: SimNode): JobSpec {
    return {
      id: node.node!.newJobId(),
      function: 'fn',
      payload: new Uint8Array(0),
      payloadBlob: null,
      contentType: '',
      metadata: [],
      priority: 1,
      runAtWall: 0,
      delayMs: 0,
      uniqueKey: '',
      retry: null,
      runTimeoutMs: 0,
      startDeadlineWall: 0,
      retentionMs: -1,
      traceparent: '',
      foreground: false,
      seed: 1,
    };
  }

  /** A worker that stays where it is, whatever the node says. */
  async function stubborn(
    cluster: SimCluster,
    at: SimNode,
  ): Promise<{ session: WorkerSession; tokens: number[] }> {
    const tokens: number[] = [];
    const port: SessionPort = {
      assigned: (jobs) => tokens.push(...jobs.map((job) => job.token)),
      leasesLost: () => {},
      cancelRequested: () => {},
      redirect: () => {},
      drain: () => {},
      closed: () => {},
    };
    const functions = [{ name: 'fn', concurrency: 0, runTimeoutMs: 0 }];
    const opening = at.node!.openSession(
      { namespace: 'default', name: 'w', functions, resumable: true, credit: 1 },
      port,
    );
    return { session: await result(cluster, opening), tokens };
  }

  async function busy(
    cluster: SimCluster,
    at: SimNode,
  ): Promise<{ session: WorkerSession; tokens: number[] }> {
    const worker = await stubborn(cluster, at);
    await result(cluster, at.node!.submit('default', [spec(at)], { allOrNothing: false }));
    expect(await cluster.world.run(cluster.world.now + 1_000, () => worker.tokens.length === 1)).toBe(true);
    worker.session.ack(worker.tokens);
    return worker;
  }

  it('end soon, however the ends of a whole cluster fall together', async () => {
    const slow: string[] = [];
    for (let seed = 1; seed <= 30; seed++) {
      const cluster = await formed(seed);
      const { world } = cluster;
      if (seed % 2 === 0) {
        const recorder = new Recorder({ ...DEFAULT_SETTINGS, skewMs: 1_000 });
        new Workload(cluster, recorder, { clients: 2, workers: 2 }).start();
        await world.run(world.now + 500, () => false);
      }
      // From all at one instant to one after the other.
      const spreadMs = world.random.pick([0, 5, 50, 500, 2_000]);
      const took: number[] = [];
      for (const node of cluster.nodes) {
        world.after(world.random.between(0, spreadMs), () => {
          void node.stop().then((ms) => took.push(ms));
        });
      }
      await world.run(world.now + 60_000, () => took.length === 3);
      const longest = took.length === 3 ? Math.max(...took) : Number.POSITIVE_INFINITY;
      if (longest > SOON_MS) slow.push(`seed ${seed}, spread ${spreadMs} ms: ${longest.toFixed(0)} ms`);
      expect(cluster.nodes.map((node) => node.fatal)).toEqual([null, null, null]);
    }
    expect(slow).toEqual([]);
  });

  it('tell open calls truthfully how they stand when no quorum is left', async () => {
    const cluster = await formed(1);
    const { world, nodes } = cluster;
    const last = cluster.leader!;
    for (const node of nodes) if (node !== last) node.kill();
    let told: GearmeshError | null = null;
    last.node!.submit('default', [spec(last)], { allOrNothing: false }).catch((error: GearmeshError) => {
      told = error;
    });
    // The leader has it in its log: it may yet count.
    await world.run(world.now + 100, () => false);
    expect(await result(cluster, last.stop())).toBeLessThan(SOON_MS);
    expect(told).toMatchObject({ outcome: 'UNKNOWN' });
  });

  it('wait for a worker that holds a job', async () => {
    const cluster = await formed(2);
    const { world } = cluster;
    const [node] = cluster.nodes;
    const { session, tokens } = await busy(cluster, node!);
    const stopping = node!.stop();
    await world.run(world.now + DRAIN_MS / 2, () => false);
    const settled = session.settle(
      [
        {
          kind: 'complete',
          jobId: '',
          token: tokens[0]!,
          result: Buffer.from('done'),
          resultBlob: null,
          resultContentType: '',
          dataCount: 0,
        },
      ],
      0,
    );
    expect((await result(cluster, settled))[0]!.error).toBeNull();
    expect(await result(cluster, stopping)).toBeLessThan(DRAIN_MS / 2 + 1_000);
  });

  it('do not wait for a worker that holds none', async () => {
    const cluster = await formed(2);
    const [node] = cluster.nodes;
    await stubborn(cluster, node!);
    expect(await result(cluster, node!.stop())).toBeLessThan(SOON_MS);
  });

  it.each([3, 4, 5])('hand over to one that stays (seed %i)', async (seed) => {
    const cluster = await formed(seed);
    const { world } = cluster;
    const leader = cluster.leader!;
    const [draining, staying] = cluster.nodes.filter((node) => node !== leader);
    await busy(cluster, draining!);
    void draining!.stop();
    await world.run(world.now + 300, () => false);
    expect(await result(cluster, leader.stop())).toBeLessThan(1_000);
    await world.run(world.now + 1_000, () => cluster.leader !== null);
    expect(cluster.leader).toBe(staying);
  });

  it('give up the handover when its target is gone', async () => {
    const cluster = await formed(6);
    const { world, network } = cluster;
    const leader = cluster.leader!;
    const others = cluster.nodes.filter((node) => node !== leader);
    // Nobody hears the leader, so that nobody takes over.
    for (const other of others) network.cut(leader.name, other.name);
    const stopping = leader.stop();
    await world.run(world.now + 30, () => false);
    for (const other of others) other.kill();
    expect(await result(cluster, stopping)).toBeLessThan(1_500);
  });
});
