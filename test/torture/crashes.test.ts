/**
 * The log, the snapshots and the identity under crashes: what was acknowledged is there afterwards, with the same bytes,
 * term and vote; of what was under way all or nothing; and the start behind the next one finds the same.
 */
import { expect, it } from 'vitest';
import { noFigures, tortureByCrashes } from './crashes.js';
import { LIMIT_MS, report, seeds } from './seeds.js';

it(
  'keeps what was acknowledged wherever the power is lost or the process is killed, and invents nothing',
  async () => {
    const figures = noFigures();
    for (const seed of seeds(5, 0.7)) await tortureByCrashes({ seed, figures });
    report('crashes', {
      workloads: figures.workloads,
      'operations of the disk': figures.operations,
      'crash points': figures.crashPoints,
      'crash points behind another crash': figures.crashPointsBehindCrashes,
      'disks that lost power (subsets, torn writes)': figures.subsets,
      'disks whose process was killed': figures.kills,
      'lives that went on behind a crash': figures.wentOn,
    });
    expect(figures.crashPoints).toBeGreaterThan(50);
    expect(figures.subsets).toBeGreaterThan(figures.crashPoints * 4);
  },
  LIMIT_MS,
);
