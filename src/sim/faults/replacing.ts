import type { SimNode } from '../cluster.js';
import type { Bed } from './bed.js';

const AGAIN_MS = 300;

/** Says it to whoever leads, again and again, until the node votes with its new disk. */
export async function replaceUntilDone(bed: Bed, node: SimNode): Promise<void> {
  const { cluster, world } = bed;
  for (;;) {
    const { leader } = cluster;
    if (leader !== null && leader !== node && node.up) {
      const done = await leader
        .attached((api) => api.replaceNode(node.name, {}, () => {}))
        .then(
          () => true,
          (error: unknown) => {
            world.note(`${node.name} is not replaced yet: ${(error as Error).message}`);
            return false;
          },
        );
      if (done && node.node?.phase === 'ready') return;
    }
    await world.sleep(AGAIN_MS);
  }
}
