import { expect, it } from 'vitest';
import { MemoryDisk } from '../../src/storage/index.js';
import { Boots } from './boots.js';
import { LIMIT_MS, report } from './seeds.js';

it(
  'comes up in its cluster and takes itself for damaged at no time, however often its first starts are interrupted',
  async () => {
    const figures = { crashPoints: 0, disks: 0 };
    await new Boots(figures).under(new MemoryDisk(), 2, '');
    report('first starts of a node', { 'crash points': figures.crashPoints, disks: figures.disks });
    expect(figures.crashPoints).toBeGreaterThan(500);
  },
  LIMIT_MS,
);
