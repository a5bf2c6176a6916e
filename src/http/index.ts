export {
  createHttpServer,
  DEFAULT_HTTP_LIMITS,
  type HttpLimits,
  type HttpLog,
  type HttpOptions,
  type HttpServer,
} from './server.js';
