import { expect, it } from 'vitest';
import { LIMIT_MS, report } from './seeds.js';
import { tortureSetAside } from './set-aside.js';

it(
  'comes up as a new and empty disk and throws nothing away, however often setting it aside is interrupted',
  async () => {
    const figures = { crashPoints: 0, subsets: 0 };
    await tortureSetAside(1, figures);
    report('setting a damaged directory aside', {
      'crash points': figures.crashPoints,
      disks: figures.subsets,
    });
    expect(figures.crashPoints).toBeGreaterThan(100);
  },
  LIMIT_MS,
);
