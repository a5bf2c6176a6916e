export { createConsensus } from './core.js';
export { raftIdFromDiskId } from './ids.js';
export { MembershipError } from './membership.js';
export type * from './types.js';
export { messageFromWire, messageToWire } from './wire.js';
