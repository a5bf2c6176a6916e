export {
  createHttpServer,
  type HttpLimits,
  type HttpServer,
} from './server.js';
