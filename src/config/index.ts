export { ConfigError } from './load.js';
export { parseMs, showAddress } from './option.js';
export { environmentNameOf, flagOf, isSeed, OPTIONS } from './options.js';
export type { ServerConfig } from './server-config.js';
export { loadServerConfig } from './server-config.js';
