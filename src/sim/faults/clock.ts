import type { SimNode } from '../cluster.js';
import type { Bed, Fault } from './bed.js';

/** Far more than a leader's clock may be off. */
const FAR_MS = [5_000, 60_000, 3_600_000];
/** Every clock may be off by as much, each by another amount: less than what makes a leader hand over. */
const NEAR_MS = 400;

/**
 * What happens to wall clocks. Far off is at most one at a time: that the time of a majority is right is what the
 * promises about delays rest on.
 */
export function clockFaults(bed: Bed): Fault[] {
  const { cluster, random, coverage, world } = bed;
  let far: SimNode | null = null;

  const near = (node: SimNode): void => {
    node.setClock(random.between(-NEAR_MS, NEAR_MS) - node.wallOffMs);
    bed.lasting(random.between(2_000, 30_000), () => {
      if (node !== far) node.setClock(-node.wallOffMs);
    });
  };

  const jump = (): boolean => {
    const node = bed.target();
    if (node === null || node === far) return false;
    if (far !== null || random.chance(400) || !cluster.allReady()) {
      near(node);
      return true;
    }
    far = node;
    coverage.injected('clock-jump');
    const before = coverage.count('clocksNoticed');
    const ms = random.between(2_000, 15_000);
    node.setClock(random.pick(FAR_MS) * (random.chance(500) ? 1 : -1));
    bed.effectWithin('clock-jump', ms, () => coverage.count('clocksNoticed') > before);
    const right = (): void => {
      if (far !== node) return;
      far = null;
      node.setClock(-node.wallOffMs);
    };
    bed.lasting(ms, right);
    // Not promised: which of two clocks is right, where a node was started with the wrong one and a third does not run.
    const life = node.starts;
    const inDoubt = (): boolean =>
      node.starts !== life && cluster.nodes.some((other) => other !== node && !other.up);
    bed.when(() => far !== node || inDoubt(), right);
    world.note(`${node.name} is ${node.wallOffMs} ms off`);
    return true;
  };

  return [{ kind: 'clock-jump', weight: 4, strike: jump }];
}
