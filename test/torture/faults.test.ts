/** A full disk and a broken one: an acknowledged byte is never lost, and each time somebody is told what happened. */
import { expect, it } from 'vitest';
import { callsOf, FAULTS, type FaultFigures, tortureByFault } from './faults.js';
import { LIMIT_MS, report, seeds } from './seeds.js';

it(
  'loses nothing that was acknowledged whichever call of the disk fails, and says what failed',
  async () => {
    const figures: FaultFigures = new Map();
    let tried = 0;
    for (const seed of seeds(1, 0.15)) {
      const calls = (await callsOf(seed)).length;
      expect(calls).toBeGreaterThan(200);
      for (let at = 1; at <= calls; at++) {
        for (const [code, how] of FAULTS) await tortureByFault(seed, { at, code, how }, figures);
      }
      tried += calls * FAULTS.length;
    }
    report(
      `faults by call and what became of them (${tried} in all)`,
      Object.fromEntries([...figures].sort()),
    );
    // Whatever the log waits for ends the node's use of it.
    for (const call of ['write', 'sync']) expect(figures.get(`${call} EIO: FAILED`)).toBeGreaterThan(20);
  },
  LIMIT_MS,
);
