import type { Peer } from './peer.js';

export const PEERS: readonly Peer[] = [];
