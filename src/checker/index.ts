export { check, examine } from './check.js';
export * from './history.js';
export { Recorder } from './recorder.js';
