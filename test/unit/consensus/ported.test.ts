import { describe } from 'vitest';
import { createConsensus, messageFromWire, messageToWire } from '../../../src/consensus/index.js';
import { conformance } from './conformance.js';

describe('the ported core', () => {
  conformance(createConsensus, { toWire: messageToWire, fromWire: messageFromWire });
});
