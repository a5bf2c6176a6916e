import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ENGINE_FLAGS } from '../../src/cli/engine-flags.js';
import { type RealCluster, type RealNode, until } from '../support/real-cluster.js';
import type { Probed } from './children/probe-data.js';
import { startCluster } from './clusters.js';

const ANSWER_MS = 30_000;
const PROBE = fileURLToPath(new URL('./children/probe.js', import.meta.url));

/** A cluster whose nodes can be asked for their memory and their collector's pauses. */
export async function probedCluster(flags: readonly string[] = []): Promise<RealCluster> {
  return await startCluster({
    flags,
    nodeFlags: [...ENGINE_FLAGS, '--import', PROBE],
    environmentOf: (name, directory) => ({ BENCH_PROBE: join(directory, `${name}.probe`) }),
  });
}

/** What a node says of itself, of the time since it was last asked. */
export async function probe(cluster: RealCluster, node: RealNode): Promise<Probed> {
  const file = join(cluster.directory, `${node.name}.probe`);
  rmSync(file, { force: true });
  node.signal('SIGUSR2');
  let said = '';
  await until(ANSWER_MS, () => {
    said = readFileSync(file, 'utf8');
    return true;
  });
  return JSON.parse(said) as Probed;
}
