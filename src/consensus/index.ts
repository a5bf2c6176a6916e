export { createConsensus } from './core.js';
export { isDiskId, raftIdFromDiskId } from './ids.js';
export { MembershipError } from './membership.js';
export type * from './types.js';
export { messageFromWire, messageToWire } from './wire.js';
