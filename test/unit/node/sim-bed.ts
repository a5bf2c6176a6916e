import { expect } from 'vitest';
import type { Core } from '../../../src/core/interface.js';
import type { Assignment, SessionPort, WorkerSession } from '../../../src/node/index.js';
import { SimCluster, type SimClusterOptions, type SimNode } from '../../../src/sim/cluster.js';
import { World } from '../../../src/sim/world.js';
import { jobSpec, settled } from './parts.js';

/** Whole nodes in virtual time, with the few words that their tests need. */
export class SimBed {
  readonly world: World;
  readonly cluster: SimCluster;
  /** Everything noted so far: log lines, frames, crashes. */
  readonly lines: string[] = [];

  constructor(seed: number, options: Partial<SimClusterOptions> = {}) {
    this.world = new World(seed, (line) => this.lines.push(line));
    this.cluster = new SimCluster(this.world, {
      nodes: 3,
      ...options,
      settings: { retentionMs: 86_400_000, ...options.settings },
    });
  }

  static async started(seed: number, options: Partial<SimClusterOptions> = {}): Promise<SimBed> {
    const bed = new SimBed(seed, options);
    for (const node of bed.cluster.nodes) void node.start();
    await bed.until(() => bed.cluster.allReady(), 30_000);
    return bed;
  }

  get leader(): SimNode {
    return this.cluster.leader!;
  }

  get follower(): SimNode {
    return this.cluster.nodes.find((node) => node !== this.cluster.leader)!;
  }

  others(than: SimNode): [SimNode, SimNode] {
    return this.cluster.nodes.filter((node) => node !== than) as [SimNode, SimNode];
  }

  /** Fails when it does not come true within so much virtual time. */
  async until(condition: () => boolean, ms = 10_000): Promise<void> {
    expect(await this.world.run(this.world.now + ms, condition)).toBe(true);
  }

  async pass(ms: number): Promise<void> {
    await this.world.run(this.world.now + ms, () => false);
  }

  settled<T>(work: Promise<T>, ms?: number): Promise<T> {
    return settled(this.world, work, ms);
  }

  /** One job, acknowledged by this node; its id. */
  async submit(node: SimNode, fields: Parameters<typeof jobSpec>[0] = {}, ms?: number): Promise<string> {
    const id = node.node!.newJobId();
    const specs = [jobSpec({ id, ...fields })];
    const [answer] = await this.settled(node.node!.submit('default', specs, { allOrNothing: false }), ms);
    expect(answer!.error).toBeNull();
    return answer!.jobId;
  }

  async worker(
    node: SimNode,
    credit: number,
  ): Promise<{ session: WorkerSession; told: string[]; got: Assignment[] }> {
    const told: string[] = [];
    const got: Assignment[] = [];
    const port: SessionPort = {
      assigned: (jobs) => got.push(...jobs),
      leasesLost: (lost) => told.push(...lost.map(({ token }) => `lost ${token}`)),
      cancelRequested: () => {},
      redirect: (_, reason) => told.push(`redirect: ${reason}`),
      drain: () => {},
      closed: (error) => told.push(error?.code ?? 'closed'),
    };
    const functions = [{ name: 'f', concurrency: 0, runTimeoutMs: 0 }];
    const open = { namespace: 'default', name: 'w', functions, resumable: true, credit };
    return { session: await this.settled(node.node!.openSession(open, port)), told, got };
  }

  core(node: SimNode): Core {
    return node.node!.parts!.core;
  }

  /** Where a replica stands: equal when index and state hash are. */
  place(node: SimNode): string {
    const core = node.node?.parts?.core;
    return core === undefined ? `${node.name} has no state` : `${core.appliedIndex} ${core.stateHash()}`;
  }

  agree(): boolean {
    return new Set(this.cluster.nodes.map((node) => this.place(node))).size === 1;
  }

  voters(): readonly number[] {
    return this.cluster.leader?.node?.parts?.consensus.status().membership.voters ?? [];
  }

  raftId(node: SimNode): number {
    return node.node!.parts!.raftId;
  }

  incarnation(node: SimNode): number {
    return node.node!.engine!.origin.incarnation;
  }
}
