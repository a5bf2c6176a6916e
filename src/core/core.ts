import type { Core } from './interface.js';
import type { PayloadStore, Settings } from './types.js';

export interface CoreOptions {
  readonly payloads: PayloadStore;
  /** Initial settings, part of the state: must be the same on all nodes of a cluster at its formation. */
  readonly settings?: Partial<Settings>;
  readonly clusterName: string;
}

export function createCore(options: CoreOptions): Core {
  throw new Error(`the state machine of ${options.clusterName} is not here yet`);
}
