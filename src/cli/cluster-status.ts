import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterInfo } from '../client/index.js';
import { CliError } from './exit-codes.js';

/** The cluster as its nodes see it, once it has a leader. `timeoutMs`: how long to wait for one. */
export async function readClusterStatus(
  endpoints: readonly string[],
  timeoutMs: number,
): Promise<ClusterInfo> {
  const { Client } = await import('../client/index.js');
  const client = new Client({ endpoints, order: 'listed', timeoutMs });
  const deadline = performance.now() + timeoutMs;
  try {
    for (;;) {
      const info = await client.cluster.get();
      if (info.leader !== '') return info;
      if (performance.now() >= deadline) throw new CliError('UNAVAILABLE', 'the cluster found no leader');
      await sleep(20);
    }
  } finally {
    await client.close();
  }
}
