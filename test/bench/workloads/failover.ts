import { Client } from '../../../src/client/index.js';
import type { RealCluster, RealNode } from '../../support/real-cluster.js';
import { FUNCTION, payload, waiting } from '../bench-cluster.js';
import { startCluster } from '../clusters.js';
import type { Context } from '../context.js';
import { longestGap } from '../gaps.js';
import { percentile, sorted, spin } from '../gauge.js';
import { Pace } from '../load.js';
import type { Report } from '../report.js';

/** Submissions a second of the trickle through each client. */
const TRICKLE = 250;
/** Of the trickle alone, before the leader is told to go and after it is gone. */
const AROUND_MS = 400;

/** The leader is killed; time from kill(2) to the answer of a submission that was sent after it. */
export function killed({ report, options }: Context): Promise<void> {
  return failovers(report, 'W6', 'killed', options.kills, async (leader, cluster) => {
    const gone = leader.end('SIGKILL');
    return async () => {
      await gone;
      leader.start();
      await cluster.ready();
    };
  });
}

/** The leader stands still, as a machine that swaps; time to the answer of a submission sent after it. */
export function frozen({ report, options }: Context): Promise<void> {
  return failovers(report, 'W6s', 'frozen', options.kills, async (leader, cluster) => {
    leader.signal('SIGSTOP');
    return async () => {
      leader.signal('SIGCONT');
      await cluster.ready();
    };
  });
}

type Strike = (leader: RealNode, cluster: RealCluster) => Promise<() => Promise<void>>;

async function failovers(
  report: Report,
  workload: string,
  what: string,
  count: number,
  strike: Strike,
): Promise<void> {
  const times: number[] = [];
  const cluster = await startCluster();
  const spinBefore = spin();
  try {
    for (let i = 0; i < count; i++) {
      const leader = await cluster.leader();
      const one = new Client({ endpoints: endpointsBut(cluster, leader) });
      await one.submit(FUNCTION, payload);
      const mended = strike(leader, cluster);
      const began = performance.now();
      await one.submit(FUNCTION, payload);
      times.push(performance.now() - began);
      await one.close();
      await (await mended)();
    }
    await expectThere(cluster, 2 * count);
  } finally {
    await cluster.remove();
  }
  const ascending = sorted(times);
  const [p50, max] = [percentile(ascending, 50), ascending.at(-1)!];
  report.add(
    workload,
    `leader ${what} to next acknowledged submission, ${count} times: p50 ${p50.toFixed(0)} ms, max ${max.toFixed(0)} ms (${listed(ascending)})`,
    { p50, max },
    { calm: { spinBefore, spinAfter: spin() } },
  );
}

/** The leader is told to stop (SIGTERM) under a steady trickle: the longest time without an acknowledgement. */
export async function stopped({ report, options }: Context): Promise<void> {
  const gaps: number[] = [];
  const ownGaps: number[] = [];
  const ends: number[] = [];
  let accepted = 0;
  const trickle = { perSecond: TRICKLE, places: 'spread', connections: 1 } as const;
  const cluster = await startCluster();
  const spinBefore = spin();
  try {
    for (let i = 0; i < options.kills; i++) {
      const leader = await cluster.leader();
      const others = endpointsBut(cluster, leader);
      const beside = await Pace.start(cluster, { ...trickle, endpoints: others });
      const through = await Pace.start(cluster, { ...trickle, endpoints: [leader.grpc, ...others] });
      try {
        await pause(AROUND_MS);
        const from = now();
        await leader.end('SIGTERM');
        ends.push(now() - from);
        await pause(AROUND_MS);
        const to = now();
        const [apart, own] = await Promise.all([beside.stop(), through.stop()]);
        gaps.push(longestGap(apart, from, to));
        ownGaps.push(longestGap(own, from, to));
        accepted += apart.accepted + own.accepted;
      } finally {
        beside.kill();
        through.kill();
      }
      leader.start();
      await cluster.ready();
    }
    await expectThere(cluster, accepted);
  } finally {
    await cluster.remove();
  }
  const [ascending, own] = [sorted(gaps), sorted(ownGaps)];
  const [p50, max] = [percentile(ascending, 50), ascending.at(-1)!];
  const [ownP50, ownMax] = [percentile(own, 50), own.at(-1)!];
  report.add(
    'W6t',
    `leader stopped in order, ${options.kills} times: longest gap between acknowledged submissions p50 ${p50.toFixed(0)} ms, ` +
      `max ${max.toFixed(0)} ms (${listed(ascending)}); of its own clients p50 ${ownP50.toFixed(0)}, max ${ownMax.toFixed(0)} ms; ` +
      `gone after ${percentile(sorted(ends), 50).toFixed(0)} ms; ${accepted} submissions, all there`,
    { p50, max, ownP50, ownMax },
    { calm: { spinBefore, spinAfter: spin() } },
  );
}

function endpointsBut(cluster: RealCluster, leader: RealNode): string[] {
  return cluster.nodes.filter((node) => node !== leader).map((node) => node.grpc);
}

/** Everything that was accepted is there, on all nodes alike. */
async function expectThere(cluster: RealCluster, accepted: number): Promise<void> {
  const there = await waiting(cluster);
  if (there !== accepted) throw new Error(`${accepted} jobs were accepted, ${there} wait`);
  await cluster.agreedHash();
}

/** The clock that the processes of a trickle share. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function listed(values: readonly number[]): string {
  return values.map((value) => value.toFixed(0)).join(' ');
}
