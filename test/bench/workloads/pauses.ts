import { parseMetrics } from '../../support/prometheus.js';
import type { RealNode } from '../../support/real-cluster.js';
import type { Context } from '../context.js';
import { spin } from '../gauge.js';
import { Gearmesh } from '../gearmesh.js';
import { probe, probedCluster } from '../probe.js';

const LEAST_SECONDS = 5;

/** Event-loop delay (the nodes' own metric) and the collector's longest pause while half of the most is done. */
export async function pauses({ report, options }: Context): Promise<void> {
  const cluster = await probedCluster();
  const system = new Gearmesh(cluster);
  try {
    const { jobs, seconds } = await system.cyclesFor(options.seconds);
    const half = Math.max(1, Math.floor(jobs / seconds / 2));
    const spinBefore = spin();
    const held = await system.beside(half, async () => {
      // Both count since they were last asked.
      for (const node of cluster.nodes) {
        await loopDelay(node);
        await probe(cluster, node);
      }
      const ms = Math.max(LEAST_SECONDS, options.seconds) * 1_000;
      await new Promise((resolve) => setTimeout(resolve, ms));
      const said = [];
      for (const node of cluster.nodes) {
        said.push({ node, loop: await loopDelay(node), gc: await probe(cluster, node), ms });
      }
      return said;
    });
    await cluster.agreedHash();
    const loopP99 = Math.max(...held.result.map(({ loop }) => loop.p99));
    const loopMax = Math.max(...held.result.map(({ loop }) => loop.max));
    const gcMax = Math.max(...held.result.map(({ gc }) => gc.gcLongest));
    const each = held.result.map(
      ({ node, loop, gc, ms }) =>
        `${node.name} loop p99 ${loop.p99.toFixed(1)}, max ${loop.max.toFixed(0)} ms, ` +
        `${gc.gcCount} collections, longest ${gc.gcLongest.toFixed(1)} ms, ${((gc.gcTotal / ms) * 100).toFixed(1)} % of the time`,
    );
    report.add(
      'W9',
      `at ${Math.round(held.perSecond)} whole cycles/s (half of the most would be ${half}): ${each.join('; ')}`,
      { loopP99, loopMax, gcMax, perSecond: held.perSecond },
      { calm: { spinBefore, spinAfter: spin() } },
    );
  } finally {
    await system.stop();
  }
}

/** Since the metrics were last asked for, milliseconds. */
async function loopDelay(node: RealNode): Promise<{ p99: number; max: number }> {
  const scrape = parseMetrics(await node.text('/metrics'));
  const of = (quantile: string): number => {
    const value = scrape.value('gearmesh_event_loop_delay_seconds', { quantile });
    if (value === undefined) throw new Error(`${node.name} tells no delay of its event loop`);
    return value * 1_000;
  };
  return { p99: of('0.99'), max: of('1') };
}
