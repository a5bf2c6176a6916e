export { createBatchBuilder } from './batch-builder.js';
export { isBlobRef, sameBlob } from './blob-refs.js';
export { BLOB_COUNT_MS } from './blob-table.js';
export { checkBatch, encodeEntry, encodeNodeUp, readBatchHead, UnknownCommandError } from './codec.js';
export { createCore } from './core.js';
export * from './errors.js';
export type * from './interface.js';
export { FEATURE_LEVEL } from './state.js';
export * from './types.js';
