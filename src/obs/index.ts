export { createLogger, type LoggerOptions } from './logger.js';
export { createMetrics, type MetricsOptions, type NodeMetrics } from './metrics.js';
export type * from './source.js';
