export type { ApiLog, ApiMetrics } from './deps.js';
export { type ApiLimits, DEFAULT_API_LIMITS } from './limits.js';
export { createGrpcServer, type GrpcServer, type GrpcServerOptions } from './server.js';
