import type { NetworkTransport, TransportOptions } from './options.js';
import { PeerTransport } from './transport.js';

export { DEFAULT_PEER_LIMITS, type PeerLimits } from './limits.js';
export type { NetworkTransport, TransportOptions } from './options.js';

/** Node-to-node transport: three websocket connections between each pair of nodes. */
export function createTransport(options: TransportOptions): NetworkTransport {
  return new PeerTransport(options);
}
