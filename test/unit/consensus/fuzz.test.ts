import { describe, expect, test } from 'vitest';
import { createConsensus, messageFromWire, messageToWire } from '../../../src/consensus/index.js';
import { type FuzzReport, fuzz } from './fuzz.js';

const codec = { toWire: messageToWire, fromWire: messageFromWire };
const steps = Number(process.env.CONSENSUS_FUZZ_STEPS ?? 5_000);
const seeds = Number(process.env.CONSENSUS_FUZZ_SEEDS ?? 25);
const firstSeed = Number(process.env.CONSENSUS_FUZZ_FIRST ?? 1);

const kinds = [
  { name: 'three nodes', voters: [1, 2, 3], membership: false },
  { name: 'five nodes', voters: [1, 2, 3, 4, 5], membership: false },
  { name: 'three nodes that change', voters: [1, 2, 3], membership: true },
  { name: 'five nodes that change', voters: [1, 2, 3, 4, 5], membership: true },
];

describe('random lives, by seed', () => {
  for (const { name, voters, membership } of kinds) {
    test(name, { timeout: 600_000 }, () => {
      const sum: FuzzReport = {
        committed: 0,
        crashes: 0,
        leaders: 0,
        snapshots: 0,
        memberships: 0,
        reads: 0,
        readBack: 0,
      };
      for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
        let report: FuzzReport;
        try {
          report = fuzz({ factory: createConsensus, codec, seed, voters, steps, membership });
        } catch (error) {
          throw new Error(`seed ${seed}: repeat with CONSENSUS_FUZZ_FIRST=${seed} CONSENSUS_FUZZ_SEEDS=1`, {
            cause: error,
          });
        }
        for (const key of Object.keys(sum) as (keyof FuzzReport)[]) sum[key] += report[key];
      }
      // The lives were lively, else they prove nothing.
      expect(sum.committed).toBeGreaterThan(seeds * 20);
      expect(sum.crashes).toBeGreaterThan(seeds * 3);
      expect(sum.leaders).toBeGreaterThan(seeds * 3);
      expect(sum.snapshots).toBeGreaterThan(seeds);
      expect(sum.reads).toBeGreaterThan(seeds * 3);
      expect(sum.readBack).toBeGreaterThan(seeds * 3);
      if (membership) expect(sum.memberships).toBeGreaterThan(seeds);
      if (process.env.CONSENSUS_FUZZ_PRINT !== undefined) console.log(name, sum);
    });
  }
});
