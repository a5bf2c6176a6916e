/** One bit turned anywhere in a data directory: what is there then is found damaged, or it is what it was. */
import type { Random } from '../../src/base/random.js';
import { MemoryDisk, StorageError } from '../../src/storage/index.js';
import { decodeManifest } from '../../src/storage/snapshot-format.js';
import {
  BATCH_HEADER,
  BLOCK,
  batchBytes,
  decodeBatchHeader,
  decodeSegmentHeader,
  ENTRY_HEADER,
  segmentNumber,
} from '../../src/storage/wal-format.js';
import { seeded } from '../unit/storage/support.js';
import { settingOf } from './crashes.js';
import { compare, NODE, openAll, type Setting, Violation } from './examine.js';
import { drawSteps, Life, type Step } from './life.js';
import { type Expected, NOTHING, PARTS } from './models.js';

/** `cut`: taken for the end of a write that no sync had confirmed, and said so. */
export type FlipVerdict = 'damage' | 'cut' | 'harmless';

/** Flips by kind of place and verdict. */
export type FlipFigures = Map<string, number>;

/** Bytes of one meaning, and what a flip in them must lead to. */
interface Region {
  readonly kind: string;
  readonly verdict: FlipVerdict;
  readonly path: string;
  readonly from: number;
  readonly to: number;
}

const UNWRITTEN = 'unwritten rest of a segment';
const BEGINNING: readonly Step[] = [
  'join',
  'note',
  'append',
  'append',
  'snapshot',
  'release',
  'append',
  'note',
];

function walRegions(path: string, bytes: Buffer, isNewest: boolean): Region[] {
  const header = decodeSegmentHeader(
    bytes.subarray(0, BLOCK),
    segmentNumber(path.slice(path.lastIndexOf('/') + 1))!,
  );
  if (header === null) throw new Violation(`${path} has no header`);
  const regions: Region[] = [];
  const add = (kind: string, verdict: FlipVerdict, from: number, to: number): void => {
    if (to > from) regions.push({ kind, verdict, path, from, to });
  };
  const batches = [];
  let end = BLOCK;
  for (;;) {
    const batch = decodeBatchHeader(bytes.subarray(end, end + BATCH_HEADER), header, end);
    if (batch === null) break;
    batches.push(batch);
    end += batchBytes(batch.bodyBytes);
  }
  const begun = batches.length > 0;
  add(begun ? 'segment header' : 'header of a segment made ahead', begun ? 'damage' : 'harmless', 0, 40);
  add('rest of a segment header', 'harmless', 40, BLOCK);
  for (const batch of batches) {
    const newest = isNewest && batch === batches.at(-1);
    const verdict = newest ? 'cut' : 'damage';
    const of = newest ? ' of the newest batch' : '';
    const table = batch.position + BATCH_HEADER;
    const data = table + batch.entries * ENTRY_HEADER;
    const padding = table + batch.bodyBytes;
    add(`batch header${of}`, verdict, batch.position, table);
    add(`table of entries${of}`, verdict, table, data);
    add(`bytes of entries${of}`, verdict, data, padding);
    add('padding of a batch', 'harmless', padding, batch.position + batchBytes(batch.bodyBytes));
  }
  add(UNWRITTEN, 'harmless', end, bytes.length);
  return regions;
}

function snapshotRegions(disk: MemoryDisk, path: string, manifestPath: string): Region[] {
  const bytes = disk.contentOf(path);
  const number = Number(path.slice(-16));
  const whole = { path, from: 0, to: bytes.length };
  if (path === manifestPath) return [{ ...whole, kind: 'manifest', verdict: 'damage' }];
  const manifest = decodeManifest(disk.contentOf(manifestPath), Number(manifestPath.slice(-16)))!;
  const used = [...manifest.pages.values()].filter(({ pack, length }) => pack === number && length > 0);
  used.sort((a, b) => a.offset - b.offset);
  const regions: Region[] = [];
  let at = 0;
  for (const { offset, length } of used) {
    if (offset > at) {
      regions.push({ kind: 'page that is no longer used', verdict: 'harmless', path, from: at, to: offset });
    }
    at = offset + length;
    regions.push({ kind: 'page in a pack', verdict: 'damage', path, from: offset, to: at });
  }
  if (bytes.length > at) {
    regions.push({
      kind: 'page that is no longer used',
      verdict: 'harmless',
      path,
      from: at,
      to: bytes.length,
    });
  }
  return regions;
}

/** Every byte of the data directory, by meaning. */
function regionsOf(disk: MemoryDisk): Region[] {
  const paths = disk.paths();
  const manifest = paths.findLast((path) => path.includes('/manifest-'));
  const segments = paths.filter((path) => path.endsWith('.wal'));
  const begun = segments.filter((path) =>
    walRegions(path, disk.contentOf(path), false).some((r) => r.kind === 'batch header'),
  );
  return paths.flatMap((path): Region[] => {
    const whole = { path, from: 0, to: disk.contentOf(path).length };
    if (path.endsWith('/identity')) return [{ ...whole, kind: 'identity', verdict: 'damage' }];
    if (path.includes('/notes/')) return [{ ...whole, kind: 'note', verdict: 'damage' }];
    if (path.includes('/spare-')) return [{ ...whole, kind: 'spare segment', verdict: 'harmless' }];
    if (path.endsWith('.wal')) return walRegions(path, disk.contentOf(path), path === begun.at(-1));
    if (path.includes('/snapshots/') && manifest !== undefined) return snapshotRegions(disk, path, manifest);
    throw new Violation(`nobody told what ${path} is`);
  });
}

class Flips {
  readonly #random: Random;
  readonly #setting: Setting;
  readonly #figures: FlipFigures;
  readonly #disk = new MemoryDisk();
  #expected: Expected = NOTHING;
  /** What is left when the newest batch was never written. */
  #cut: Expected = NOTHING;

  constructor(seed: number, figures: FlipFigures) {
    this.#random = seeded(seed + 77);
    this.#setting = settingOf(seed);
    this.#figures = figures;
  }

  async run(seed: number, perKind: number): Promise<void> {
    const random = seeded(seed);
    const life = new Life(
      () => {
        this.#disk.stop();
        return this.#disk.mount();
      },
      random,
      this.#setting,
    );
    await life.start();
    const steps = drawSteps(random, 4 + random.below(12)).filter((step) => step !== 'install');
    await life.run([...BEGINNING, ...steps, 'append']);
    const { wal } = life.opened;
    const { bytes } = wal;
    const inOrder = random.below(2) === 0;
    if (inOrder) await life.stop();
    const sealed = wal.bytes > bytes;
    this.#disk.crashKeeping({ names: [], files: [] });
    this.#expected = life.expected;
    const regions = regionsOf(this.#disk);
    await this.#findCut(regions);
    const newest = regions.find(({ kind }) => kind === 'batch header of the newest batch')!.path;
    const room = regions.some(({ kind, path }) => kind === UNWRITTEN && path === newest);
    if (inOrder && room && !sealed) throw new Violation('the log was closed and not sealed');
    // A node that stopped in order leaves a newest batch that says nothing new.
    const cost = PARTS.log.differs(this.#cut.log[0]!, this.#expected.log[0]!);
    if (sealed && cost !== null) throw new Violation(`without the seal: ${cost}`);
    for (const kind of new Set(regions.map((region) => region.kind))) {
      const list = regions.filter((region) => region.kind === kind);
      for (let left = perKind; left > 0; left--) {
        const region = list[this.#random.below(list.length)]!;
        const offset = region.from + this.#random.below(region.to - region.from);
        await this.#flip(region, offset, this.#random.below(8));
      }
    }
  }

  async #findCut(regions: readonly Region[]): Promise<void> {
    const { path, from, to } = regions.find(({ kind }) => kind === 'batch header of the newest batch')!;
    const disk = this.#disk.copy();
    const file = await disk.open(path, { create: false });
    await file.write([Buffer.alloc(to - from)], from);
    const opened = await openAll(disk.mount(), this.#setting);
    if (opened.recovery.damage !== null) throw new Violation(opened.recovery.damage.message);
    const log = { ...(await PARTS.log.read(opened)), torn: true };
    this.#cut = { ...this.#expected, log: [log] };
    disk.stop();
  }

  async #flip(region: Region, offset: number, bit: number): Promise<void> {
    const disk = this.#disk.copy();
    disk.flipBit(region.path, offset, bit);
    const place = `bit ${bit} of byte ${offset} of ${region.path} (${region.kind})`;
    try {
      const said: string[] = [];
      const verdict = await this.#verdict(disk, region, said);
      if (verdict !== region.verdict) throw new Violation(`${verdict} instead of ${region.verdict}`);
      const name = `${region.kind}: ${verdict}`;
      this.#figures.set(name, (this.#figures.get(name) ?? 0) + 1);
    } catch (error) {
      throw new Violation(`${place}: ${(error as Error).message}`, { cause: error });
    }
  }

  async #verdict(disk: MemoryDisk, region: Region, said: string[]): Promise<FlipVerdict> {
    const damage = await this.#open(disk, region.verdict === 'cut' ? this.#cut : this.#expected, said);
    if (damage === null) {
      if (region.verdict !== 'cut') return 'harmless';
      if (!said.some((line) => /bytes were cut off/.test(line)))
        throw new Violation('cut off and nothing said');
      return 'cut';
    }
    if (!damage.includes(region.path)) throw new Violation(`another file is named: ${damage}`);
    if (!damage.includes(`cluster replace N`) && !damage.includes(`cluster replace ${NODE}`)) {
      throw new Violation(`no word about what to do: ${damage}`);
    }
    return 'damage';
  }

  /** What the operator is told of damage, null where there is none; twice the same. */
  async #open(disk: MemoryDisk, expected: Expected, said: string[]): Promise<string | null> {
    const first = await this.#openOnce(disk, expected, said);
    const second = await this.#openOnce(disk, expected, []);
    if (first !== second) throw new Violation(`first "${first}", at the next start "${second}"`);
    return first;
  }

  async #openOnce(disk: MemoryDisk, expected: Expected, said: string[]): Promise<string | null> {
    disk.stop();
    try {
      const opened = await openAll(disk.mount(), this.#setting, said);
      const damage = opened.recovery.damage ?? opened.store.damage;
      if (damage !== null) return damage.message;
      await compare(opened, expected);
      return null;
    } catch (error) {
      if (error instanceof StorageError && error.code === 'DAMAGED') return error.message;
      throw error;
    } finally {
      disk.stop();
    }
  }
}

export async function tortureByFlips(seed: number, perKind: number, figures: FlipFigures): Promise<void> {
  try {
    await new Flips(seed, figures).run(seed, perKind);
  } catch (error) {
    const again = `TORTURE_SEED=${seed} npm run test:torture -- test/torture/flips.test.ts`;
    throw new Violation(`seed ${seed}, ${(error as Error).message}\nrepeat: ${again}`, { cause: error });
  }
}
