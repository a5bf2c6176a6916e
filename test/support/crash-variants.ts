/** What a power loss may leave of what no sync covered: every subset where there are few changes, else a choice. */
import type { Random } from '../../src/base/random.js';
import type { Survivors, UnsyncedChanges } from '../../src/storage/memory-disk.js';

export interface Bounds {
  /** Up to so many unsynced changes, every subset of them is tried. */
  readonly everySubsetOf: number;
  /** With more: so many subsets by chance, besides none, all, each alone and all but each. */
  readonly byChance: number;
  /** Writes, the newest first, that are also torn. */
  readonly torn: number;
}

interface Variant {
  readonly name: string;
  readonly survivors: Survivors;
}

type Piece = readonly [from: number, to: number];

const SECTOR_BYTES = 512;

/** Sizes of the pieces at which a write is cut: of a batch's header, and of what sectors and pages are. */
const BYTES_OF_NOTE = [1, 8, 16, 64, 127, 128, 152, SECTOR_BYTES, 4096];

/** Pieces of one write that a crash may keep: its beginning, its end, scattered sectors. */
function tears(bytes: number, random: Random): (readonly [string, readonly Piece[]])[] {
  const list: [string, Piece[]][] = [];
  const cut = (at: number): void => {
    if (at > 0 && at < bytes) list.push([`up to byte ${at}`, [[0, at]]]);
  };
  cut(BYTES_OF_NOTE[random.below(BYTES_OF_NOTE.length)]!);
  cut(random.below(Math.min(bytes, 600) + 1));
  cut(random.below(bytes + 1));
  cut(bytes - 1 - random.below(Math.min(bytes, 8)));
  const sectors = Math.ceil(bytes / SECTOR_BYTES);
  if (sectors > 1) {
    const middle = SECTOR_BYTES * (1 + random.below(sectors - 1));
    cut(middle);
    list.push([`from byte ${middle}`, [[middle, bytes]]]);
    const scattered: Piece[] = [];
    for (let at = 0; at < bytes; at += SECTOR_BYTES) {
      if (random.below(2) === 0) scattered.push([at, Math.min(bytes, at + SECTOR_BYTES)]);
    }
    list.push([`sectors at ${scattered.map(([from]) => from).join(' ')}`, scattered]);
  }
  return list;
}

/** The first variant loses all, so that a caller with little time takes it alone. */
export function* crashVariants(
  unsynced: UnsyncedChanges,
  random: Random,
  bounds: Bounds,
): Generator<Variant> {
  const writes = unsynced.files.flatMap(({ path, writes }, file) =>
    writes.map(({ bytes, position }, at) => ({ path, file, at, position, bytes: bytes?.length ?? 0 })),
  );
  const names = unsynced.names.length;
  const count = names + writes.length;
  const labels = [...unsynced.names, ...writes.map((w) => `${w.path}@${w.position}+${w.bytes}`)];
  const variant = (keep: readonly boolean[], torn = -1, pieces: readonly Piece[] = [], how = ''): Variant => {
    const files = unsynced.files.map((file) => file.writes.map((): readonly Piece[] => []));
    writes.forEach(({ file, at, bytes }, number) => {
      const whole: readonly Piece[] = keep[names + number] === true ? [[0, bytes]] : [];
      files[file]![at] = number === torn ? pieces : whole;
    });
    const kept = labels.filter((_, at) => keep[at] === true && at !== names + torn);
    const rest = torn < 0 ? '' : `; ${labels[names + torn]} ${how}`;
    return {
      name: `kept: ${kept.join(', ') || 'nothing'}${rest}`,
      survivors: { names: keep.slice(0, names), files },
    };
  };
  const all = (value: boolean): boolean[] => Array.from({ length: count }, () => value);
  const chance = (): boolean[] => Array.from({ length: count }, () => random.below(2) === 0);
  if (count <= bounds.everySubsetOf) {
    for (let set = 0; set < 2 ** count; set++)
      yield variant(all(false).map((_, at) => ((set >> at) & 1) === 1));
  } else {
    yield variant(all(false));
    yield variant(all(true));
    for (let one = 0; one < count; one++) {
      yield variant(all(false).map((_, at) => at === one));
      yield variant(all(true).map((_, at) => at !== one));
    }
    for (let left = bounds.byChance; left > 0; left--) yield variant(chance());
  }
  for (let torn = writes.length - 1; torn >= Math.max(0, writes.length - bounds.torn); torn--) {
    for (const [how, pieces] of tears(writes[torn]!.bytes, random)) {
      yield variant(random.below(2) === 0 ? all(true) : chance(), torn, pieces, how);
    }
  }
}
