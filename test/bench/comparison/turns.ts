import { ENGINE_FLAGS } from '../../../src/cli/engine-flags.js';
import { appliedIndex } from '../bench-cluster.js';
import { startCluster } from '../clusters.js';
import type { Context } from '../context.js';
import { percentile, residentBytes, sorted, spin } from '../gauge.js';
import { Gearmesh } from '../gearmesh.js';
import type { Peer, RunningPeer } from '../peers/peer.js';
import { TURN, takeTurn } from '../turn.js';
import { fill } from '../workloads/fill.js';
import { gearman, gearmanSummary, PARTS } from '../workloads/gearman.js';
import { roundTrip } from '../workloads/round-trip.js';
import { countSyncs, whyNotCounted } from './syncs.js';

const MIB = 1024 * 1024;
/** The part of the time that is there after which no other system has a second turn: what is done once needs the rest. */
const OTHERS_PART = 0.5;
const SYNC_SECONDS = 2;
/** Servers run for weeks: what their engine compiles in the first seconds is no cost of a job. */
const WARM_LOADS = 4;
/** Other systems need seconds to come back from each. */
const FAILOVERS_MAX = 3;

/** By turns, a few times over: ours, then each of the others, all with the same loads. Resolves with those that failed. */
export async function turns(context: Context, peers: readonly Peer[]): Promise<string[]> {
  const { options, report } = context;
  const parts = PARTS.filter((part) => options.only.has(`W10${part}`));
  const failed = new Set<string>();
  const profile = options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profile}`];
  const cluster = await startCluster({ nodeFlags: [...ENGINE_FLAGS, ...profile] });
  const system = new Gearmesh(cluster, options.places);
  try {
    if (options.fill > 0) await fill(system, report, options.fill);
    // Others say that they are warm when they have started.
    await system.cyclesFor(options.seconds * WARM_LOADS);
    await system.submitFor(options.seconds * 2);
    await system.submitManyFor(options.seconds * 2);
    await system.purge();
    for (let run = 1; run <= options.runs; run++) {
      const { seconds } = options;
      const entries = (): Promise<number> => appliedIndex(cluster);
      await takeTurn({ report, side: '', running: system, run, seconds, entries }, options.only);
      if (options.only.has('W3f')) await roundTrip(system, report, run);
      if (parts.length > 0) {
        await gearman({ cluster, report, run, seconds, compare: options.peers !== 'none' }, parts);
      }
      await system.purge();
      if (run === 1) await syncs(context, '', system);
      for (const peer of peers) {
        if (!failed.has(peer.name) && !(await peerTurn(context, peer, run))) failed.add(peer.name);
      }
    }
    if (parts.length > 0) gearmanSummary(report);
    const rss = cluster.nodes.map((node) => Math.round(residentBytes(node.pid) / MIB));
    const max = Math.max(...rss);
    report.add('mem', `resident memory of the nodes at the end: ${rss.join(', ')} MiB`, { max });
    await cluster.agreedHash();
    report.add('hash', 'all replicas agree', { agree: 1 });
  } catch (error) {
    process.stderr.write(`${cluster.logs()}\n`);
    throw error;
  } finally {
    if (options.profile !== undefined) await Promise.all(cluster.nodes.map((node) => node.end('SIGTERM')));
    await system.stop();
  }
  return [...failed];
}

/** False: it failed, and is not asked again. */
async function peerTurn(context: Context, peer: Peer, run: number): Promise<boolean> {
  const { options, report } = context;
  const side = peer.name;
  // Ours, W10 and what runs once need nobody else.
  const nothing = !TURN.some((one) => options.only.has(one));
  if (run > 1 && (nothing || performance.now() > options.minutes * 60_000 * OTHERS_PART)) {
    if (!nothing) report.add('peers', 'no time for another turn', {}, { run, side });
    return true;
  }
  if (nothing && !options.only.has('W6') && !options.only.has('syncs')) return true;
  try {
    const running = await peer.start(options.places);
    try {
      if (run === 1) report.add('peers', `version ${running.version}; ${peer.promise}`, {}, { side });
      await takeTurn({ report, side, running, run, seconds: options.seconds }, options.only);
      if (run === 1) {
        await syncs(context, side, running);
        await failover(context, side, running);
      }
    } finally {
      await running.stop();
    }
    return true;
  } catch (error) {
    report.add('peers', `failed, left out from here on: ${String(error)}`, {}, { run, side });
    return false;
  }
}

/** The syncs of one accepted job: a run of its own, since whoever is traced is slow. */
async function syncs({ options, report }: Context, side: string, running: RunningPeer): Promise<void> {
  if (!options.only.has('syncs')) return;
  const why = whyNotCounted();
  if (why !== null) {
    report.add('syncs', `skipped: ${why}`, {}, { side });
    return;
  }
  let jobs = 0;
  const count = await countSyncs(running.pids, async () => {
    ({ jobs } = await running.submitFor(Math.min(SYNC_SECONDS, options.seconds)));
  });
  await running.purge();
  const perJob = count / jobs;
  report.add(
    'syncs',
    `${count} calls of fdatasync and fsync, all servers together, for ${jobs} accepted jobs: ${perJob.toFixed(4)} a job`,
    { perJob, count, jobs },
    { side },
  );
}

async function failover({ options, report }: Context, side: string, running: RunningPeer): Promise<void> {
  if (!options.only.has('W6') || running.failover === undefined) return;
  const spinBefore = spin();
  const times = sorted(await running.failover(Math.min(FAILOVERS_MAX, options.kills)));
  const [p50, max] = [percentile(times, 50), times.at(-1)!];
  report.add(
    'W6',
    `leader killed to next acknowledged submission, ${times.length} times: p50 ${p50.toFixed(0)} ms, max ${max.toFixed(0)} ms`,
    { p50, max },
    { side, calm: { spinBefore, spinAfter: spin() } },
  );
}
