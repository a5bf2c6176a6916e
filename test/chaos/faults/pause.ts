import { readFileSync } from 'node:fs';
import { type Fault, nothingAgainst, someNode } from './fault.js';

const PAUSED_MS = [300, 9_000] as const;

/** SIGSTOP, and later SIGCONT: the process comes back with a memory of the world as it was. */
export const PAUSE: Fault = {
  kind: 'pause',
  lane: 'nodes',
  whyNot: nothingAgainst,
  inject: async (stage, random) => {
    const node = await someNode(stage, random);
    stage.away(node);
    node.signal('SIGSTOP');
    return {
      what: node.name,
      lastsMs: random.between(...PAUSED_MS),
      heal: async () => {
        const stopped = node.running && /^State:\s+T/m.test(readFileSync(`/proc/${node.pid}/status`, 'utf8'));
        node.signal('SIGCONT');
        await stage.revive(node);
        stage.back(node);
        return stopped;
      },
    };
  },
};
