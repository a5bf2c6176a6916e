/** Rot: nothing that a turned bit makes of the data is ever taken for the data. */
import { mkdir, writeFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { openDataDirectory, realDisk } from '../../src/storage/index.js';
import { inTemporaryDirectory, seeded } from '../unit/storage/support.js';
import { type FlipFigures, tortureByFlips } from './flips.js';
import { LIMIT_MS, report, seeds } from './seeds.js';

/** What was seen to be safe, place by place; a place that is missing here was not reached. */
const PLACES = [
  'identity: damage',
  'note: damage',
  'segment header: damage',
  'header of a segment made ahead: harmless',
  'rest of a segment header: harmless',
  'batch header: damage',
  'table of entries: damage',
  'bytes of entries: damage',
  'padding of a batch: harmless',
  'batch header of the newest batch: cut',
  'table of entries of the newest batch: cut',
  'bytes of entries of the newest batch: cut',
  'unwritten rest of a segment: harmless',
  'spare segment: harmless',
  'manifest: damage',
  'page in a pack: damage',
  'page that is no longer used: harmless',
];

it(
  'rule: damage - every bit that was turned below what was synced is found, and none elsewhere misleads',
  async () => {
    const figures: FlipFigures = new Map();
    for (const seed of seeds(60, 0.1)) await tortureByFlips(seed, 8, figures);
    let flips = 0;
    for (const count of figures.values()) flips += count;
    report(`turned bits by place and verdict (${flips} in all)`, Object.fromEntries([...figures].sort()));
    if (process.env.TORTURE_SEED === undefined)
      expect([...figures.keys()].sort()).toEqual([...PLACES].sort());
  },
  LIMIT_MS,
);

it('takes a lock whose file holds anything, since the system and not the file says who holds it', () =>
  inTemporaryDirectory(async (path) => {
    await mkdir(path, { recursive: true });
    const random = seeded(1);
    for (let round = 0; round < 20; round++) {
      await writeFile(`${path}/lock`, random.bytes(random.below(100)));
      const directory = await openDataDirectory(realDisk(), path, { nodeName: 'n1', random });
      await expect(openDataDirectory(realDisk(), path, { nodeName: 'n1', random })).rejects.toMatchObject({
        code: 'LOCKED',
      });
      await directory.close();
    }
  }));
