import { afterEach, describe, expect, it } from 'vitest';
import { KINDS, misbehave, type Port } from '../support/bad-frames.js';
import { startWorker } from '../support/jobs.js';
import { Load } from '../support/load.js';
import { RealCluster, type RealNode, until } from '../support/real-cluster.js';

/**
 * Goal: "Nothing grows without a named limit … and nothing already accepted suffers" (docs/guarantees.md, promise 8).
 * 10,000 connections bring bad frames to the three ports of one node, which leads: random bytes, huge lengths, half
 * frames, readers that do not read. Meanwhile a normal client's submissions through the same node go on undisturbed;
 * afterwards the memory returns.
 */
const CONNECTIONS = 10_000;
const AT_ONCE = 150;
const PORTS: readonly Port[] = ['grpc', 'peer', 'http'];
const MIB = 2 ** 20;
/** What the heap of a process may keep in hand beyond its baseline. */
const MEMORY_SLACK = 96 * MIB;
const MEMORY_MS = 60_000;
const QUIET_MS = 2_000;

/** The lowest of what is seen until the condition holds. */
async function memoryReturns(node: RealNode, bound: number): Promise<number> {
  let lowest = Number.POSITIVE_INFINITY;
  await until(MEMORY_MS, () => {
    lowest = Math.min(lowest, node.residentBytes());
    return lowest <= bound;
  }).catch(() => {});
  return lowest;
}

describe('bad frames at every port', () => {
  let cluster: RealCluster;
  afterEach(async () => {
    await cluster.remove();
  });

  it('disturb nobody, and leave no memory behind', async () => {
    cluster = await RealCluster.start();
    const target = await cluster.leader();
    const client = cluster.client({ only: target.name });
    const worker = await startWorker(cluster, 'reverse');
    const load = new Load([client], 'reverse', 4, { resultRetentionMs: 0 });
    await load.reached(2_000);
    const baseline = target.residentBytes();
    const { term } = await cluster.info(target.name);
    const addresses: Record<Port, string> = { grpc: target.grpc, peer: target.peer, http: target.http };

    const begin = performance.now();
    let begun = 0;
    const hungUp = { server: 0, us: 0 };
    const lane = async (): Promise<void> => {
      while (begun < CONNECTIONS) {
        const turn = begun++;
        const port = PORTS[turn % PORTS.length]!;
        const kind = KINDS[Math.floor(turn / PORTS.length) % KINDS.length]!;
        hungUp[await misbehave(addresses[port], port, kind)]++;
      }
    };
    let peak = 0;
    const watch = setInterval(() => {
      peak = Math.max(peak, target.residentBytes());
    }, 100);
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    clearInterval(watch);
    const end = performance.now();

    const acknowledged = load.times.filter((time) => time >= begin && time <= end).length;
    const gap = load.longestGap(begin, end);
    expect(load.failures).toEqual([]);
    expect(acknowledged).toBeGreaterThan(100);
    expect(gap).toBeLessThan(QUIET_MS);
    // No election, no peer lost: the other nodes noticed nothing.
    expect(await cluster.info(target.name)).toMatchObject({ leader: target.name, term });
    expect(await target.probe('/readyz')).toBe(200);
    await load.more(100);
    const lowest = await memoryReturns(target, baseline + MEMORY_SLACK);
    const mib = (bytes: number): string => `${Math.round(bytes / MIB)} MiB`;
    console.log(
      `${CONNECTIONS} connections in ${((end - begin) / 1_000).toFixed(1)} s, ${hungUp.server} ended by the node; ` +
        `${acknowledged} submissions meanwhile, longest wait ${gap.toFixed(0)} ms; ` +
        `memory ${mib(baseline)}, at most ${mib(peak)}, then ${mib(lowest)}`,
    );
    expect(lowest).toBeLessThanOrEqual(baseline + MEMORY_SLACK);
    await load.stop();
    expect(load.failures).toEqual([]);
    await worker.stop();
    await client.close();
    await cluster.agreedHash();
  });
});
