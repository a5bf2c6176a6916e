import { check, type Promises, Recorder } from '../checker/index.js';
import { DEFAULT_SETTINGS, type Settings } from '../core/types.js';
import { DEFAULT_TIMINGS } from '../node/index.js';
import { SimCluster, type SimClusterOptions } from './cluster.js';
import { Coverage } from './coverage.js';
import { DeadNodes } from './dead-nodes.js';
import { Absence } from './faults/absence.js';
import { Bed } from './faults/bed.js';
import { Faults } from './faults/scheduler.js';
import { Heard } from './heard.js';
import { Inside } from './inside.js';
import type { SimPlan } from './plan.js';
import type { RunReport, SimViolation } from './report.js';
import { atRest, baseline } from './rest.js';
import { Workload } from './workload/index.js';
import { World } from './world.js';

const FORMATION_MS = 30_000;
/** Faults go on for so much longer where the load has not made its operations yet. */
const LONGER_MS = 30_000;
/** Everything accepted must have ended so long after the last fault, virtual milliseconds. */
const LIVENESS_MS = 180_000;
const LOOK_MS = 250;
/** So much more than a leader's own error may a clock of those who look differ: small errors that every clock has. */
const SMALL_ERRORS_MS = 1_000;

export interface RunOptions extends Partial<Omit<SimClusterOptions, 'nodes'>> {
  readonly lines?: (line: string) => void;
  /** Called once all nodes are ready and before the faults: to break something on purpose. */
  readonly plan?: (cluster: SimCluster) => void;
}

const LITTLE_MEMORY_BYTES = 128 * 1024;

/**
 * One simulated life of a cluster: load under faults; then the faults end and everything accepted must reach its end, on
 * every node alike. Judged while it goes on by looking into the nodes, and afterwards by what clients and workers saw.
 */
export async function runPlan(plan: SimPlan, options: RunOptions = {}): Promise<RunReport> {
  const { lines, plan: breaking, ...clusterOptions } = options;
  const world = new World(plan.seed, lines ?? null);
  // Some runs keep so little log that whoever was away for a moment needs another node's state.
  const logBytes = world.random.pick([16, 64, 512]) * 1024;
  const settings: Partial<Settings> = {
    retentionMs: 86_400_000,
    retainedJobsMax: 1_000_000,
    ...options.settings,
  };
  const cluster = new SimCluster(world, {
    snapshotLogBytes: logBytes,
    keepLogBytes: logBytes >> 3,
    // Every sixth life has room for a few pages of jobs in memory.
    ...(plan.seed % 6 === 0 ? { jobsMemoryBytes: LITTLE_MEMORY_BYTES } : {}),
    diskReserveBytes: 64 * 1024,
    ...clusterOptions,
    nodes: plan.nodes,
    settings,
  });
  const coverage = new Coverage();
  const heard = new Heard(cluster, coverage);
  const inside = new Inside(cluster, coverage);
  const dead = new DeadNodes(cluster, inside);
  const bed = new Bed(cluster, coverage, heard);
  bed.unexcused = (node, error) =>
    inside.broken('stopped', `${node.name} stopped by itself: ${error.message}`);
  cluster.applied = (node) => inside.applied(node);
  world.looking = () => {
    inside.look();
    heard.look(cluster.leader);
    dead.look();
    bed.look();
  };
  for (const node of cluster.nodes) node.boot();
  if (!(await world.run(FORMATION_MS, () => cluster.allReady())))
    inside.broken('liveness', 'the cluster did not form');

  const recorder = new Recorder(promisesOf(settings));
  const workload = new Workload(cluster, recorder, plan);
  workload.start();
  breaking?.(cluster);
  const faults = new Faults(bed, plan);
  faults.start();
  const enough = (): boolean => workload.operations >= plan.operations;
  await world.run(world.now + plan.chaosMs, () => false);
  await world.run(world.now + LONGER_MS, enough);
  faults.stop();
  const absence = new Absence(bed);
  if (plan.faults.includes('silent-node')) await absence.begin();
  if (!(await world.run(world.now + LIVENESS_MS, enough)))
    inside.broken('liveness', `${workload.operations} operations were made, ${plan.operations} are wanted`);
  workload.quiesce();

  const ended = async (): Promise<boolean> => {
    const deadline = world.now + LIVENESS_MS;
    let open: string | null;
    do {
      await world.run(world.now + LOOK_MS, () => false);
      open = atRest(cluster) ?? workload.unfinished();
    } while (open !== null && world.now < deadline);
    if (open !== null) inside.broken('liveness', `not everything came to an end${absence.told}: ${open}`);
    return open === null;
  };
  // With one node less all the same, and then with all of them. What did not end without it is not to end by its return.
  if ((await ended()) && absence.end()) await ended();
  workload.observe();
  workload.stop();
  await baseline(cluster, inside);

  const history = recorder.history();
  for (const text of workload.broken) inside.broken('workload', `the workload itself failed: ${text}`);
  const seen = workload.violations.map((text): SimViolation => ({ seenBy: 'history', rule: 'seen', text }));
  const judged = check(history).map(({ rule, text }): SimViolation => ({ seenBy: 'history', rule, text }));
  for (const text of cluster.diverged) inside.broken('replicas-differ', text);
  coverage.reached('framesLost', cluster.network.lost);
  coverage.reached('connectionsLost', cluster.network.broken);
  coverage.reached('unsyncedBytesLost', cluster.unsyncedLost);
  for (const { disk } of cluster.nodes) {
    for (const [folder, reads] of disk.readsNow) {
      coverage.reached(folder.endsWith('/spill') ? 'jobsFromDisk' : 'logReads', reads);
    }
  }
  for (const event of history.events) {
    if (event.type === 'lease-lost') coverage.reached('leasesLost');
    if (event.type === 'read' && event.consistency === 'linearizable' && event.fate === 'done')
      coverage.reached('linearizableReads');
  }
  return {
    plan,
    traceHash: world.traceHash,
    violations: [...seen, ...judged, ...inside.violations],
    faults: coverage.faults(),
    states: coverage.states(),
    operations: workload.operations,
    acknowledged: workload.acknowledged,
    virtualMs: world.now,
    events: world.events,
    history,
  };
}

function promisesOf(changes: Partial<Settings>): Promises {
  const settings = { ...DEFAULT_SETTINGS, ...changes };
  return {
    skewMs: DEFAULT_TIMINGS.clockSkewMaxMs + SMALL_ERRORS_MS,
    maxAttempts: settings.maxAttempts,
    retentionMs: settings.retentionMs,
    failedRetentionMs: settings.failedRetentionMs,
    dedupeWindowMs: settings.dedupeWindowMs,
    // The workload notes every token that no worker saw.
    unseenLeaseMs: Number.POSITIVE_INFINITY,
  };
}
