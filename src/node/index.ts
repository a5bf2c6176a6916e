export type * from './interface.js';
export { GearmeshNode, startNode } from './node.js';
export {
  DEFAULT_TIMINGS,
  type Log,
  type NodeObserver,
} from './options.js';
