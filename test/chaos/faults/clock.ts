import type { RealNode } from '../../support/real-cluster.js';
import type { Fault } from './fault.js';

const OFF_MS = [3_000, 12_000] as const;
const OFFSET_SECONDS = [3, 40] as const;
const CALL_MS = 2_000;

/** How far the node's clock is from ours, by the date that its HTTP server tells; null: it does not answer. */
async function offsetOf(node: RealNode): Promise<number | null> {
  try {
    const answer = await fetch(`http://${node.http}/livez`, { signal: AbortSignal.timeout(CALL_MS) });
    const told = answer.headers.get('date');
    return told === null ? null : (Date.parse(told) - Date.now()) / 1_000;
  } catch {
    return null;
  }
}

/** The wall clock of one node jumps, forward or backward, and later back. Its monotonic clock is right. */
export const CLOCK: Fault = {
  kind: 'clock',
  lane: 'beside',
  whyNot: (stage) => stage.machine.clocks,
  inject: async (stage, random) => {
    const node = random.pick(stage.cluster.nodes);
    const seconds = Math.round(random.between(...OFFSET_SECONDS)) * (random.chance(500) ? 1 : -1);
    stage.setClock(node, seconds);
    return {
      what: `${node.name} by ${seconds} s`,
      lastsMs: random.between(...OFF_MS),
      heal: async () => {
        const seen = await offsetOf(node);
        stage.setClock(node, 0);
        return seen !== null && Math.abs(seen) > 1.5 && Math.sign(seen) === Math.sign(seconds);
      },
    };
  },
};
