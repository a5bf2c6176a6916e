import { afterEach, describe, expect, it } from 'vitest';
import { KINDS, type Kind, misbehave, type Port } from '../support/bad-frames.js';
import { INSPECTABLE, memoryAfterCollection } from '../support/inspector.js';
import { startWorker } from '../support/jobs.js';
import { Load } from '../support/load.js';
import { parseMetrics } from '../support/prometheus.js';
import { RealCluster, until } from '../support/real-cluster.js';

/**
 * Goal: "Nothing grows without a named limit … and nothing already accepted suffers" (docs/guarantees.md, promise 8).
 * To each of the three ports of one node, which leads, 10,000 connections bring bad frames: random bytes, huge lengths,
 * half frames, readers that do not read; at the gRPC port also huge and half messages inside of calls that are sound, and
 * sound calls by callers who close their window. Some stay until the node ends them.
 * Meanwhile a normal client's submissions through the same node go on undisturbed; afterwards the memory returns.
 */
const CONNECTIONS_PER_PORT = 10_000;
/** The first ones warm the node up: what their kind needs once is no leak. */
const WARM_UP = 1_500;
const AT_ONCE = 150;
const PORTS: readonly Port[] = ['grpc', 'peer', 'http'];
const CONNECTIONS = WARM_UP + CONNECTIONS_PER_PORT * PORTS.length;
/** Beside those, connections that outlast what the node gives a newcomer, so many at a time one after the other. */
const PATIENT = 120;
const PATIENT_ROUNDS = 4;
const STAYING: readonly (readonly [Port, Kind])[] = [
  ['grpc', 'half'],
  ['peer', 'half'],
  ['http', 'half'],
  ['grpc', 'slow'],
  ['grpc', 'huge'],
];
/** What nobody could take for a beginning: the node ends each of these, and they wait for it. */
const AT_ONCE_BAD: ReadonlySet<string> = new Set([
  'grpc random',
  'peer random',
  'http random',
  'peer huge',
  'http huge',
]);
/** Submissions that go on meanwhile, each within `QUIET_MS`; how fast is the machine's affair, which brings the bad frames as well. */
const MEANWHILE = 2_000;
/** Listed by callers who read nothing. */
const SHOWN = 400;
const SHOWN_BYTES = 2_048;
const MIB = 2 ** 20;
/** What may be referred to for longer: half a KiB for each connection that came, and the ids of the jobs meanwhile. */
const LIVE_SLACK = 16 * MIB;
/** What the allocator of a process may keep in hand after such a peak. */
const RESIDENT_SLACK = 128 * MIB;
const RETURN_MS = 30_000;
const QUIET_MS = 2_000;
/** Log segments, snapshots and probes come and go. */
const OWN_FILES = 16;

/** How many connections of a kind there were, and how many of them the node ended by itself. */
interface Ends {
  all: number;
  byNode: number;
}

/** Brings connections `from` to `to`; each port and kind in turn. Returns how they ended, by port and kind. */
async function misbehaveAll(
  addresses: Record<Port, string>,
  from: number,
  to: number,
): Promise<Map<string, Ends>> {
  let begun = from;
  const ends = new Map<string, Ends>();
  const lane = async (): Promise<void> => {
    while (begun < to) {
      const turn = begun++;
      const port = PORTS[turn % PORTS.length]!;
      const kinds = KINDS[port];
      const kind = kinds[Math.floor(turn / PORTS.length) % kinds.length]!;
      const name = `${port} ${kind}`;
      const seen = ends.get(name) ?? { all: 0, byNode: 0 };
      ends.set(name, seen);
      const by = await misbehave(addresses[port], port, kind, AT_ONCE_BAD.has(name));
      seen.all++;
      if (by === 'server') seen.byNode++;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return ends;
}

/** Those who say too little to be anything and stay: it is for the node to end them. Returns how many it left alone. */
async function stayAll(addresses: Record<Port, string>): Promise<number> {
  let begun = 0;
  let left = 0;
  const lane = async (): Promise<void> => {
    while (begun < PATIENT) {
      const [port, kind] = STAYING[begun++ % STAYING.length]!;
      if ((await misbehave(addresses[port], port, kind, true)) === 'us') left++;
    }
  };
  await Promise.all(Array.from({ length: PATIENT / PATIENT_ROUNDS }, lane));
  return left;
}

describe('bad frames at every port', () => {
  let cluster: RealCluster;
  afterEach(async () => {
    await cluster.remove();
  });

  it('disturb nobody, and leave no memory behind', async () => {
    cluster = await RealCluster.start({ environment: INSPECTABLE });
    const target = await cluster.leader();
    const client = cluster.client({ only: target.name });
    const worker = await startWorker(cluster, 'reverse');
    const load = new Load([client], 'reverse', 4, { resultRetentionMs: 0 });
    const shown = { function: 'shown', payload: 'x'.repeat(SHOWN_BYTES), delayMs: 3_600_000 };
    await client.submitMany(Array.from({ length: SHOWN }, () => shown));
    await load.reached(2_000);
    const calm = performance.now();
    await load.more(2_000);
    const perSecondBefore = 2_000_000 / (performance.now() - calm);
    const addresses: Record<Port, string> = { grpc: target.grpc, peer: target.peer, http: target.http };
    const openFiles = target.openFiles();
    await misbehaveAll(addresses, 0, WARM_UP);
    await until(RETURN_MS, () => target.openFiles() <= openFiles + OWN_FILES);
    const baseline = await memoryAfterCollection(target);
    const { term } = await cluster.info(target.name);

    const begin = performance.now();
    let peak = 0;
    const watch = setInterval(() => {
      peak = Math.max(peak, target.residentBytes());
    }, 100);
    const [ends, leftAlone] = await Promise.all([
      misbehaveAll(addresses, WARM_UP, CONNECTIONS),
      stayAll(addresses),
    ]);
    clearInterval(watch);
    const end = performance.now();

    const acknowledged = load.times.filter((time) => time >= begin && time <= end).length;
    const gap = load.longestGap(begin, end);
    expect(load.failures).toEqual([]);
    const perSecond = (acknowledged * 1_000) / (end - begin);
    expect(acknowledged).toBeGreaterThan(MEANWHILE);
    const shares = [...ends].map(([name, { all, byNode }]) => `${name} ${byNode}/${all}`);
    console.log(`ended by the node: ${shares.join(', ')}; left alone: ${leftAlone} of ${PATIENT}`);
    expect(leftAlone).toBe(0);
    for (const name of AT_ONCE_BAD) {
      const { all, byNode } = ends.get(name)!;
      expect(byNode, name).toBe(all);
    }
    expect(gap).toBeLessThan(QUIET_MS);
    // No election, no peer lost: the other nodes noticed nothing.
    expect(await cluster.info(target.name)).toMatchObject({ leader: target.name, term });
    expect(await target.probe('/readyz')).toBe(200);
    // Bad messages came as far as the calls that they belong to.
    const metrics = parseMetrics(await target.text('/metrics'));
    const calls = (method: string, codes: readonly string[]): number => {
      const name = `gearmesh.v1.${method}`;
      const of = (code: string) => metrics.value('gearmesh_rpc_total', { method: name, code }) ?? 0;
      return codes.reduce((sum, code) => sum + of(code), 0);
    };
    const perKind = CONNECTIONS_PER_PORT / KINDS.grpc.length - 1;
    expect(calls('JobService/SubmitJob', ['RESOURCE_EXHAUSTED'])).toBeGreaterThan(perKind);
    expect(calls('JobService/SubmitStream', ['OK', 'CANCELLED'])).toBeGreaterThan(perKind);
    expect(calls('JobService/ListJobs', ['OK', 'CANCELLED'])).toBeGreaterThan(perKind);
    expect(calls('QueueService/WatchQueues', ['OK', 'CANCELLED'])).toBeGreaterThan(perKind);
    await load.more(100);
    await load.stop();
    expect(load.failures).toEqual([]);
    await until(RETURN_MS, () => target.openFiles() <= openFiles + OWN_FILES);
    const left = await memoryAfterCollection(target);
    const mib = (bytes: number): string => `${Math.round(bytes / MIB)} MiB`;
    console.log(
      `${CONNECTIONS_PER_PORT} connections at each port in ${((end - begin) / 1_000).toFixed(1)} s; ` +
        `${perSecond.toFixed(0)} submissions/s meanwhile, ${perSecondBefore.toFixed(0)}/s before, longest wait ${gap.toFixed(0)} ms; ` +
        `memory ${mib(baseline.resident)}, at most ${mib(peak)}, then ${mib(left.resident)}; of it live ${mib(baseline.live)}, then ${mib(left.live)}`,
    );
    expect(left.live).toBeLessThanOrEqual(baseline.live + LIVE_SLACK);
    expect(left.resident).toBeLessThanOrEqual(baseline.resident + RESIDENT_SLACK);
    await worker.stop();
    await client.close();
    await cluster.agreedHash();
  });
});
