import { until } from '../../support/real-cluster.js';
import { type Fault, nothingAgainst, shuffled } from './fault.js';

const MOVE_MS = 5_000;
const CALL_MS = 3_000;

/** SIGTERM to each node in turn, as an upgrade does it: the next one goes when the last one is ready. */
export const RESTART: Fault = {
  kind: 'restart',
  lane: 'nodes',
  whyNot: nothingAgainst,
  inject: async (stage, random) => {
    const nodes = shuffled(stage.cluster.nodes, random);
    return {
      what: `${nodes.map((node) => node.name).join(', then ')}`,
      lastsMs: 0,
      heal: async () => {
        let orderly = true;
        for (const node of nodes) {
          stage.away(node);
          const code = await node.end('SIGTERM');
          if (code !== 0) stage.found(`${node.name} was stopped by SIGTERM and exited with ${code}`);
          orderly &&= code === 0;
          await stage.revive(node);
          stage.back(node);
        }
        return orderly;
      },
    };
  },
};

/** Leadership is handed to another node. */
export const TRANSFER: Fault = {
  kind: 'transfer',
  lane: 'beside',
  whyNot: nothingAgainst,
  inject: async (stage, random) => {
    const leader = await stage.leader();
    if (leader === null) return null;
    const target = random.pick(stage.cluster.nodes.filter((node) => node !== leader));
    const client = stage.cluster.client({ only: leader.name, timeoutMs: CALL_MS });
    await client.cluster.transferLeadership(target.name).catch(() => {});
    await client.close();
    return {
      what: `${leader.name} to ${target.name}`,
      lastsMs: 0,
      heal: () =>
        until(MOVE_MS, async () => (await stage.leader()) === target).then(
          () => true,
          () => false,
        ),
    };
  },
};
