import type { RealNode } from '../../support/real-cluster.js';
import type { Stage } from '../stage.js';
import { type Fault, namesOf, nothingAgainst, shuffled, someNode } from './fault.js';
import type { FaultKind } from './kinds.js';

const DOWN_MS = [100, 6_000] as const;

/** SIGKILL to some nodes at one instant; they start again on their disks. */
function killing(
  kind: FaultKind,
  choose: (stage: Stage, random: Parameters<Fault['inject']>[1]) => Promise<readonly RealNode[]>,
): Fault {
  return {
    kind,
    lane: 'nodes',
    whyNot: nothingAgainst,
    inject: async (stage, random) => {
      const nodes = await choose(stage, random);
      for (const node of nodes) stage.away(node);
      const ends = await Promise.all(nodes.map((node) => node.end('SIGKILL')));
      return {
        what: namesOf(nodes),
        lastsMs: random.between(...DOWN_MS),
        heal: async () => {
          for (const node of nodes) node.start();
          for (const node of nodes) {
            await stage.revive(node);
            stage.back(node);
          }
          // Null: it did not exit, it was killed.
          return ends.every((code) => code === null);
        },
      };
    },
  };
}

export const KILLS: readonly Fault[] = [
  killing('kill', async (stage, random) => [await someNode(stage, random)]),
  killing('kill-two', async (stage, random) => shuffled(stage.cluster.nodes, random).slice(0, 2)),
  killing('kill-all', async (stage) => stage.cluster.nodes),
];
