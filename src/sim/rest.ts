import type { SimCluster } from './cluster.js';
import type { Inside } from './inside.js';
import { checkTables } from './tables.js';

/** Sessions whose workers are gone end within their grace; the jobs that they held are done again by nobody. */
const BASELINE_MS = 60_000;
const LOOK_MS = 250;

/** What is not at rest yet, as text; null once all nodes that are to be there serve and have applied the same. */
export function atRest(cluster: SimCluster): string | null {
  const indexes = new Set<number>();
  for (const { name, node } of cluster.expected) {
    if (node?.phase !== 'ready') return `${name} is ${node?.phase ?? 'down'}`;
    indexes.add(node.parts?.core.appliedIndex ?? -1);
  }
  return indexes.size > 1 ? `replicas are at the indexes ${[...indexes].join(', ')}` : null;
}

/** After the load: nothing is held any more, logs are as long as they may be, and all states are one. */
export async function baseline(cluster: SimCluster, inside: Inside): Promise<void> {
  const { world } = cluster;
  const deadline = world.now + BASELINE_MS;
  let open: string | null;
  do {
    await world.run(world.now + LOOK_MS, () => false);
    open = atRest(cluster) ?? held(cluster);
  } while (open !== null && world.now < deadline);
  if (open !== null) inside.broken('baseline', `after everything ended ${open}`);
  const hashes = new Set<string>();
  for (const { name, node } of cluster.nodes) {
    const parts = node?.parts;
    if (parts === undefined || parts === null) continue;
    checkTables(name, parts.core, (rule, text) => inside.broken(rule, text));
    hashes.add(`${parts.core.appliedIndex}:${parts.core.stateHash()}`);
    const most = cluster.logBytesMax;
    if (parts.wal.bytes > most)
      inside.broken('baseline', `the log of ${name} has ${parts.wal.bytes} bytes, ${most} will do`);
  }
  if (hashes.size > 1) inside.broken('replicas-differ', `states at rest: ${[...hashes].join(' ')}`);
}

function held(cluster: SimCluster): string | null {
  for (const { name, node } of cluster.expected) {
    const counts = node?.parts?.core.counts();
    if (counts === undefined) return `${name} is down`;
    if (counts.running > 0) return `${name} has ${counts.running} running jobs`;
    if (counts.sessions > 0) return `${name} has ${counts.sessions} sessions`;
  }
  return null;
}
