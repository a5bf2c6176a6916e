import type { ByteReader } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import type { State } from '../state.js';
import { addSweep, SWEEP } from '../sweeps.js';

/** The node answers but applies nothing, or does so again: its sessions get no jobs meanwhile. */
export function nodeStalled(state: State, reader: ByteReader): void {
  const node = state.nodes.live(readCount(reader));
  const stalled = reader.u8() === 1;
  if (node === null || node.stalled === stalled) return;
  state.pages.touch(state.nodes);
  node.stalled = stalled;
  addSweep(state, SWEEP.stall, node.incarnation, 0);
}
