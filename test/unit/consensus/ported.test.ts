import { describe } from 'vitest';
import { createConsensus, messageFromWire, messageToWire } from '../../../src/consensus/index.js';
import type { ConsensusOptions } from '../../../src/consensus/types.js';
import { conformance } from './conformance.js';

const codec = { toWire: messageToWire, fromWire: messageFromWire };

describe('the ported core', () => {
  conformance(createConsensus, codec);
});

describe('the ported core, with nothing in memory that is applied', () => {
  const forgetful = ({ archive, ...options }: ConsensusOptions) =>
    createConsensus({ ...options, archive: { ...archive!, keepBytes: 0 } });
  conformance(forgetful, codec);
});
