import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { SeededRandom } from '../../../src/sim/random.js';
import type { RealNode } from '../../support/real-cluster.js';
import { flipBit, flipSnapshotBit } from '../../support/wal.js';
import type { Stage } from '../stage.js';
import { type Fault, nothingAgainst, someNode } from './fault.js';
import { replace } from './replace.js';

const run = promisify(execFile);
const FULL_MS = [2_000, 10_000] as const;
const SLOW_MS = [2_000, 12_000] as const;
const SYNC_DELAY_MS = [20, 400] as const;
const DOWN_MS = [500, 4_000] as const;
const NOTICED_MS = 30_000;
const LOOK_MS = 100;
const FILLER = 'filler';
/** Left where the disk is to be nearly full: less than the reserve. */
const LEFT_BYTES = 16 * 2 ** 20;

function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/** Somebody else's file takes all that is left of the node's file system, or all but a little. */
const FULL_DISK: Fault = {
  kind: 'full-disk',
  lane: 'nodes',
  whyNot: (stage) => stage.machine.volumes,
  inject: async (stage, random) => {
    const node = await someNode(stage, random);
    const left = random.chance(500) ? 0 : LEFT_BYTES;
    const filler = join(node.directory, FILLER);
    // It may give up and end, which is for this node alone to do.
    stage.away(node);
    await run('fallocate', ['-l', String(freeBytes(node.directory) - left), filler]).catch(() => {});
    const free = freeBytes(node.directory);
    return {
      what: `${node.name}, ${Math.round(free / 2 ** 20)} MiB left`,
      lastsMs: random.between(...FULL_MS),
      heal: async () => {
        rmSync(filler, { force: true });
        await stage.revive(node);
        stage.back(node);
        return free <= LEFT_BYTES;
      },
    };
  },
};

/** Every sync of one node takes longer. */
const SLOW_DISK: Fault = {
  kind: 'slow-disk',
  lane: 'beside',
  whyNot: nothingAgainst,
  inject: async (stage, random) => {
    const node = await someNode(stage, random);
    const counter = join(stage.cluster.directory, `${node.name}.slow.count`);
    const count = (): string => (existsSync(counter) ? readFileSync(counter, 'utf8') : '');
    const before = count();
    const ms = Math.round(random.between(...SYNC_DELAY_MS));
    stage.setSyncDelay(node, ms);
    return {
      what: `${node.name}, ${ms} ms a sync`,
      lastsMs: random.between(...SLOW_MS),
      heal: async () => {
        stage.setSyncDelay(node, 0);
        return count() !== before;
      },
    };
  },
};

/** A bit of the log or of the newest snapshot turns while the node is down. */
const BIT_FLIP: Fault = {
  kind: 'bit-flip',
  lane: 'nodes',
  whyNot: nothingAgainst,
  inject: async (stage, random) => {
    const node = await someNode(stage, random);
    stage.away(node);
    await node.end('SIGKILL');
    const file = flipSomewhere(node, random);
    stage.damaged.add(node);
    return {
      what: `${node.name}, ${file.slice(node.directory.length + 1)}`,
      lastsMs: random.between(...DOWN_MS),
      heal: async () => {
        const asideBefore = setAside(node);
        const from = node.log().length;
        node.start();
        const noticed = await wasNoticed(stage, node, from, asideBefore);
        // Damage that was not met yet could meet that of the next disk: two of three.
        if (noticed) await replace(stage, node);
        else await wipeAndReplace(stage, node);
        stage.back(node);
        return noticed;
      },
    };
  },
};

function flipSomewhere(node: RealNode, random: SeededRandom): string {
  const snapshots = join(node.directory, 'snapshots');
  const hasSnapshot =
    existsSync(snapshots) && readdirSync(snapshots).some((name) => name.startsWith('pack-'));
  return hasSnapshot && random.chance(400) ? flipSnapshotBit(node.directory) : flipBit(node.directory);
}

function setAside(node: RealNode): number {
  return readdirSync(node.directory).filter((name) => name.startsWith('damaged-')).length;
}

/** Whether the node has set its data aside, once it either has or is ready. */
async function wasNoticed(stage: Stage, node: RealNode, from: number, before: number): Promise<boolean> {
  const end = stage.now() + NOTICED_MS;
  while (stage.now() < end) {
    if (setAside(node) > before && node.log().slice(from).includes('waiting to be added')) return true;
    if ((await node.probe('/readyz')) === 200) return setAside(node) > before;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  stage.found(`${node.name} was neither ready nor did it set its data aside after a bit of it was turned`);
  return false;
}

/** What the mount point holds goes; the mount itself is the machine's. */
function wipe(node: RealNode): void {
  for (const name of readdirSync(node.directory)) {
    rmSync(join(node.directory, name), { recursive: true, force: true });
  }
}

async function wipeAndReplace(stage: Stage, node: RealNode): Promise<boolean> {
  await node.end('SIGKILL');
  wipe(node);
  node.start();
  return replace(stage, node);
}

/** The node comes back with an empty disk, and is taken in anew while work goes on. */
const WIPE: Fault = {
  kind: 'wipe',
  lane: 'nodes',
  whyNot: nothingAgainst,
  inject: async (stage, random) => {
    const node = await someNode(stage, random);
    stage.away(node);
    stage.damaged.add(node);
    await node.end('SIGKILL');
    return {
      what: node.name,
      lastsMs: random.between(...DOWN_MS),
      heal: async () => {
        const replaced = await wipeAndReplace(stage, node);
        stage.back(node);
        return replaced;
      },
    };
  },
};

export const DISK_FAULTS: readonly Fault[] = [FULL_DISK, SLOW_DISK, BIT_FLIP, WIPE];
