/** What a consensus core must do, whichever library does the work: one suite, by way of the interface alone. */
import { describe } from 'vitest';
import type { Codec, Factory } from './cluster.js';
import { electionConformance } from './conformance-election.js';
import { logConformance } from './conformance-log.js';
import { membershipConformance } from './conformance-membership.js';
import { readConformance } from './conformance-reads.js';

export function conformance(factory: Factory, codec: Codec): void {
  describe('elections', () => electionConformance(factory, codec));
  describe('the log', () => logConformance(factory, codec));
  describe('membership', () => membershipConformance(factory, codec));
  describe('reads', () => readConformance(factory, codec));
}
