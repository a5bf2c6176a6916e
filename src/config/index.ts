export { configurationPage } from './docs.js';
export type { Sources } from './load.js';
export { ConfigError } from './load.js';
export type { Address, Option, PeerEntry } from './option.js';
export { parseAddress, parseMs, showAddress } from './option.js';
export type { OptionKey, Values } from './options.js';
export { environmentNameOf, flagOf, isSeed, OPTIONS } from './options.js';
export type { ServerConfig } from './server-config.js';
export { loadServerConfig } from './server-config.js';
