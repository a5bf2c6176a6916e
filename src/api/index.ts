export { createGrpcServer, type GrpcServerOptions } from './server.js';
