import type { BlobRef } from '../../core/types.js';
import type { SimNode } from '../cluster.js';
import type { SeededRandom } from '../random.js';
import { type Scene, unnoted } from './scene.js';

const BYTES_MAX = 24_000;
const PIECE = 9_000;

/** A payload or result that is kept outside the log, uploaded to one node. Null: it did not come to an end there. */
export async function upload(scene: Scene, random: SeededRandom, target: SimNode): Promise<BlobRef | null> {
  const bytes = Buffer.alloc(1_000 + random.below(BYTES_MAX), random.bytes(16));
  const known = random.chance(500);
  // Some are given up, before or after their end.
  const abortAt = random.chance(80) ? random.below(4) : -1;
  const { value } = await scene.call(
    target,
    async (node, call) => {
      const writer = await node.createBlob(known ? bytes.length : -1, call);
      for (let at = 0; at < bytes.length; at += PIECE) {
        if (abortAt * PIECE === at) break;
        await writer.write(Buffer.from(bytes.subarray(at, at + PIECE)));
      }
      if (abortAt >= 0) {
        writer.abort();
        return null;
      }
      return writer.finish();
    },
    unnoted,
  );
  return value;
}
