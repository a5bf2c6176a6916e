export { check } from './check.js';
export * from './history.js';
