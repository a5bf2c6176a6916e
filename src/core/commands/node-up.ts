import type { ByteReader } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import type { State } from '../state.js';
import { retire } from './node-down.js';

/** A node's life begins. The same nonce again (the proposal was repeated) answers with the same incarnation. */
export function nodeUp(state: State, reader: ByteReader): void {
  const name = reader.string();
  const nonce = readCount(reader);
  const grpc = reader.string();
  const http = reader.string();
  const version = reader.string();
  const before = state.nodes.byName(name);
  if (before !== null && before.nonce === nonce) {
    state.effects.nodeUp(name, nonce, before.incarnation);
    return;
  }
  if (before !== null) retire(state, before);
  const incarnation = ++state.lastIncarnation;
  state.nodes.put({
    name,
    nonce,
    incarnation,
    grpc,
    http,
    version,
    up: true,
    stalled: false,
    waits: false,
    lastBatch: 0,
  });
  state.effects.nodeUp(name, nonce, incarnation);
}
