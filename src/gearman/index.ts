export type { GearmanServer } from './server.js';
export { createGearmanServer } from './server.js';
