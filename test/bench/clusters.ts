import { rmSync } from 'node:fs';
import { RealCluster, type RealClusterOptions } from '../support/real-cluster.js';

const started = new Set<RealCluster>();
/**
 * How long ended jobs are kept: each load pays for the whole life of its own jobs. With the default of a minute what ended
 * in one load would be dropped in another, or beside another system's.
 */
const RETENTION_MS = 500;
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** A cluster that does not outlive this process, however that ends, as long as it can see its end. */
export async function startCluster(options: RealClusterOptions = {}): Promise<RealCluster> {
  if (started.size === 0) watch();
  const flags = ['--jobs-retention-ms', String(RETENTION_MS), ...(options.flags ?? [])];
  const cluster = await RealCluster.prepare({ ...options, flags });
  started.add(cluster);
  for (const node of cluster.nodes) node.start();
  await cluster.ready();
  return cluster;
}

function watch(): void {
  process.on('exit', () => {
    for (const cluster of started) {
      for (const node of cluster.nodes) node.signal('SIGKILL');
      // A node that is just being killed may still create a file.
      rmSync(cluster.directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
    }
  });
  for (const [signal, code] of Object.entries(SIGNALS)) process.once(signal, () => process.exit(code));
}
