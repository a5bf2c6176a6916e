import type { Core } from '../../core/interface.js';
import type { JobState, JobView } from '../../core/types.js';
import type { SimCluster } from '../cluster.js';
import type { Scene } from './scene.js';
import type { Scheduler } from './scheduler.js';
import { NAMESPACE } from './specs.js';
import { seenOf } from './text.js';

const LIVE: readonly JobState[] = ['scheduled', 'queued', 'running'];
const EVERYTHING = 10_000_000;

function jobsOf(core: Core, states: readonly JobState[], pageSize: number): readonly JobView[] {
  return core.listJobs({
    namespace: NAMESPACE,
    function: '',
    states,
    uniqueKey: '',
    pageSize,
    after: 0,
    budget: EVERYTHING,
  }).jobs;
}

/** The first thing that has not come to its end on every node that is to be there, as text; null when all has. */
export function unfinishedOf(cluster: SimCluster, scene: Scene, scheduler: Scheduler): string | null {
  if (!scheduler.over) return 'schedules are still there';
  for (const { name, node } of cluster.expected) {
    const core = node?.parts?.core;
    if (core === undefined) return `${name} is down`;
    if (core.appliedIndex < scene.ledger.revision) return `${name} has not applied ${scene.ledger.revision}`;
    const [open] = jobsOf(core, LIVE, 1);
    if (open !== undefined) return `${open.id} is ${open.state} at ${name}`;
  }
  return null;
}

/**
 * Tokens are given out one by one: one that no worker saw went to a worker that was gone, or to a node that died with it.
 * Each is noted at the latest time at which that can have been: when a larger one was seen.
 */
function noteUnseen(scene: Scene): void {
  const seen = [...scene.tokens].sort(([a], [b]) => b - a);
  let at = Number.POSITIVE_INFINITY;
  let next = 0;
  for (const [token, seenAt] of seen) {
    if (next > token + 1) scene.note({ type: 'interrupted', at, worker: 'somebody', node: '' });
    at = Math.min(at, seenAt);
    next = token;
  }
}

/** Notes what every node has of every job, of those too that nobody submitted. */
export function observeAll(cluster: SimCluster, scene: Scene, scheduler: Scheduler): void {
  const jobs = new Set<string>([...scene.ledger.tried.keys(), ...scene.leased]);
  const found = cluster.nodes.map(({ name, node }) => {
    const core = node?.parts?.core;
    const views = core === undefined ? [] : jobsOf(core, [], EVERYTHING);
    for (const { id } of views) jobs.add(id);
    // Payloads are views that hold for this turn.
    return { name, there: core !== undefined, seen: new Map(views.map((job) => [job.id, seenOf(job)])) };
  });
  const at = scene.world.now;
  for (const job of jobs) {
    const madeBy = scene.ledger.tried.has(job) ? '' : scheduler.madeBy(job);
    for (const { name, there, seen } of found) {
      if (there) scene.note({ type: 'last', node: name, job, at, seen: seen.get(job) ?? 'absent', madeBy });
    }
  }
  noteUnseen(scene);
  scene.violations.push(...scheduler.judge(jobs));
}
