import { expect, it } from 'vitest';
import { Recorder } from '../../src/checker/index.js';
import { DEFAULT_SETTINGS } from '../../src/core/types.js';
import { SimCluster } from '../../src/sim/cluster.js';
import { Workload } from '../../src/sim/workload/index.js';
import { World } from '../../src/sim/world.js';

const SKEW_MS = 1_000;
const BUSY_MS = 40_000;
/** Somebody may just have begun a job that takes half a minute. */
const END_MS = 45_000;

it('what has piled up behind slow workers is worked off soon once no more comes', async () => {
  let world: World;
  let cluster: SimCluster;
  let workload: Workload;
  let seed = 0;
  do {
    world = new World(++seed);
    cluster = new SimCluster(world, { nodes: 3 });
    const recorder = new Recorder({ ...DEFAULT_SETTINGS, skewMs: SKEW_MS, unseenLeaseMs: 5_000 });
    workload = new Workload(cluster, recorder, { clients: 6, workers: 3 });
  } while (workload.style !== 'backlog');
  for (const node of cluster.nodes) node.boot();
  expect(await world.run(30_000, () => cluster.allReady())).toBe(true);
  workload.start();
  await world.run(world.now + BUSY_MS, () => false);
  const waiting = (): number => cluster.nodes[0]!.node!.parts!.core.counts().waiting;
  expect(waiting()).toBeGreaterThan(300);
  workload.quiesce();
  await world.run(world.now + END_MS, () => workload.unfinished() === null);
  const end = workload.unfinished();
  workload.stop();
  expect(end).toBeNull();
  expect(workload.broken).toEqual([]);
}, 60_000);
