import type { SimNode } from '../cluster.js';
import type { Bed, Fault } from './bed.js';

/** Syncs of the log behind a turned bit before its node dies: the newest batch may look torn, and is then cut off. */
const SYNCS_BEHIND = 3;
const SYNC_MS = [
  [50, 300],
  [300, 1_500],
  [1_500, 4_000],
] as const;

/** What happens to disks. */
export function diskFaults(bed: Bed): Fault[] {
  const { random, coverage, world } = bed;

  const syncFails = (): boolean => {
    const node = bed.target();
    if (node === null) return false;
    const { disk } = node;
    const logOnly = random.chance(700);
    const ms = random.between(500, 3_000);
    coverage.injected('sync-fails');
    world.note(`${node.name} cannot sync`);
    const before = bed.ownEnds(node);
    disk.failSync((path) => !logOnly || path.includes('/wal/'));
    bed.excuse(node, ms);
    bed.effectWithin('sync-fails', ms, () => bed.ownEnds(node) > before);
    bed.lasting(ms, () => disk.failSync(null));
    return true;
  };

  const full = (): boolean => {
    const node = bed.target();
    if (node === null) return false;
    const { disk } = node;
    const ms = random.between(2_000, 15_000);
    const room = random.below(random.pick([1, 32, 256]) * 1_024);
    coverage.injected('disk-full');
    world.note(`${node.name} has room for ${room} bytes`);
    const before = disk.refused;
    const refusals = coverage.count('fullDiskRefusals');
    disk.fullAfter(room);
    bed.excuse(node, ms);
    bed.effectWithin(
      'disk-full',
      ms,
      () => disk.refused > before || coverage.count('fullDiskRefusals') > refusals,
    );
    bed.lasting(ms, () => disk.fullAfter(Number.POSITIVE_INFINITY));
    return true;
  };

  const slow = (): boolean => {
    const node = bed.target();
    if (node === null) return false;
    const range = random.pick(SYNC_MS);
    if (node.syncTime.ms[1] >= SYNC_MS[0][0]) return false;
    coverage.injected('slow-disk');
    world.note(`${node.name} takes up to ${range[1]} ms for a sync`);
    const before = node.slowSyncs;
    const undo = node.syncTime.slow(range);
    const ms = random.between(1_000, 8_000);
    bed.effectWithin('slow-disk', ms, () => node.slowSyncs > before);
    bed.lasting(ms, undo);
    return true;
  };

  /**
   * Rot is found when the disk is read, at the next start at the latest: so that start is made to come, with nothing
   * else in between that a majority might need this disk for.
   */
  const flip = (): boolean => {
    const node = bed.target();
    if (node === null || !bed.mayLose) return false;
    const place = rottenPlace(bed, node);
    if (place === null) return false;
    const { disk } = node;
    disk.flipBit(place.path, place.offset, random.below(8));
    world.note(`${node.name} has a turned bit in ${place.path} at ${place.offset}`);
    coverage.injected('bit-flip');
    bed.lose(node);
    bed.frail.add(node);
    const before = node.logSyncs;
    const life = node.starts;
    bed.when(
      () => node.logSyncs >= before + SYNCS_BEHIND || node.starts !== life,
      () => (node.starts === life ? startAgain(node) : newDisk(node)),
    );
    return true;
  };

  const startAgain = (node: SimNode): void => {
    node.kill();
    bed.excuse(node, 60_000);
    node.boot();
    bed.when(
      () => !node.started || node.node?.phase === 'ready' || node.node?.phase === 'forming',
      () => {
        if (!node.started) {
          coverage.effective('bit-flip');
          newDisk(node);
        } else if (node.node?.phase === 'ready') {
          // It lies where nothing is read any more.
          bed.frail.delete(node);
          bed.kept(node);
        } else {
          coverage.effective('bit-flip');
          bed.frail.delete(node);
          bed.replace(node, () => {});
        }
      },
    );
  };

  /** The directory is of no use any more, or may be: the operator empties it. */
  const newDisk = (node: SimNode): void => {
    bed.frail.delete(node);
    if (node.started) node.kill();
    node.wipe();
    node.boot();
    bed.replace(node, () => {});
  };

  return [
    { kind: 'sync-fails', weight: 3, strike: syncFails },
    { kind: 'disk-full', weight: 3, strike: full },
    { kind: 'slow-disk', weight: 4, strike: slow },
    { kind: 'bit-flip', weight: 3, strike: flip },
  ];
}

/** Somewhere in what is written and outlives the process, rather than in what is kept ready. */
function rottenPlace({ random }: Bed, node: SimNode): { path: string; offset: number } | null {
  const paths = node.disk.paths().filter((path) => !path.endsWith('/lock') && !path.includes('/spill/'));
  for (let attempt = 0; attempt < 50 && paths.length > 0; attempt++) {
    const path = random.pick(paths);
    const content = node.disk.contentOf(path);
    if (content.length === 0) continue;
    const offset = random.below(content.length);
    if (content[offset] !== 0) return { path, offset };
  }
  return null;
}
