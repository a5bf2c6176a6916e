export type { MetricInfo } from './definitions.js';
export { createLogger, LOG_LEVELS, type LoggerOptions, type LogLevel } from './logger.js';
export { createMetrics, type MetricsOptions, type NodeMetrics } from './metrics.js';
export type * from './source.js';
