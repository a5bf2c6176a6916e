import type { ByteReader } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import { depart } from '../jobs/waiters.js';
import type { NodeState } from '../nodes.js';
import type { State } from '../state.js';
import { addSweep, SWEEP } from '../sweeps.js';

/** The leader has not heard of this life of a node for long enough. */
export function nodeDown(state: State, reader: ByteReader): void {
  const node = state.nodes.live(readCount(reader));
  if (node !== null) retire(state, node);
}

/** Its batches no longer apply, its sessions are detached by a sweep, and its waiting clients count for a grace. */
export function retire(state: State, node: NodeState): void {
  if (!node.up) return;
  state.nodes.retire(node);
  addSweep(state, SWEEP.detach, node.incarnation, 0);
  depart(state, node);
  state.effects.nodeRetired(node.incarnation);
}
