import type { Consensus, ConsensusOptions } from './types.js';

export function createConsensus(_options: ConsensusOptions): Consensus {
  throw new Error('not built yet');
}
