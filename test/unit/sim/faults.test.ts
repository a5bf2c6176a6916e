import { describe, expect, it } from 'vitest';
import { SimCluster, type SimNode } from '../../../src/sim/cluster.js';
import { Coverage } from '../../../src/sim/coverage.js';
import { Bed } from '../../../src/sim/faults/bed.js';
import { diskFaults } from '../../../src/sim/faults/disk.js';
import { Groups } from '../../../src/sim/faults/groups.js';
import { oldEntriesFaults } from '../../../src/sim/faults/old-entries.js';
import { Heard } from '../../../src/sim/heard.js';
import { World } from '../../../src/sim/world.js';

function bedOf() {
  const world = new World(1);
  const cluster = new SimCluster(world, { nodes: 3 });
  const coverage = new Coverage();
  return { world, cluster, bed: new Bed(cluster, coverage, new Heard(cluster, coverage)) };
}

describe('groups of nodes', () => {
  it('hear themselves alone, until others are made or all is healed', () => {
    const { cluster } = bedOf();
    const [a, b, c] = cluster.nodes as [SimNode, SimNode, SimNode];
    const cut = (): string[] => {
      const pairs = cluster.nodes.flatMap((one) => cluster.nodes.map((other) => [one.name, other.name]));
      return pairs
        .filter(([one, other]) => cluster.network.isCut(one!, other!))
        .map((pair) => pair.join('>'));
    };
    const groups = new Groups(cluster);
    groups.be([[a, b]], true);
    expect(cut()).toEqual(['n1>n3', 'n2>n3', 'n3>n1', 'n3>n2']);
    groups.be([[b, c]], false);
    expect(cut()).toEqual(['n1>n2', 'n1>n3', 'n2>n1', 'n3>n1']);
    const other = new Groups(cluster);
    other.be([[a, b, c]], false);
    groups.heal();
    expect(cut()).toEqual([]);
  });
});

describe('what is to be done in a moment', () => {
  it('is done once, behind the event that brings it, and is late when its time is over', async () => {
    const { world, bed } = bedOf();
    const done: string[] = [];
    let ready = false;
    bed.within(
      100,
      () => ready,
      () => done.push('ready'),
      () => done.push('never'),
    );
    bed.within(
      50,
      () => false,
      () => done.push('never'),
      () => done.push('late'),
    );
    bed.look();
    expect(done).toEqual([]);
    ready = true;
    bed.look();
    bed.look();
    await world.run(200, () => false);
    expect(done).toEqual(['ready', 'late']);
  });

  it('is late at once when the faults end', () => {
    const { bed } = bedOf();
    const done: string[] = [];
    bed.within(
      1_000,
      () => false,
      () => done.push('never'),
      () => done.push('late'),
    );
    for (const node of bed.cluster.nodes) bed.frail.add(node);
    bed.end();
    expect(done).toEqual(['late']);
  });
});

describe('faults that meet at one disk', () => {
  it('leave it as it was when they end', async () => {
    const { world, cluster, bed } = bedOf();
    for (const node of cluster.nodes) node.boot();
    expect(await world.run(30_000, () => cluster.allReady() && cluster.leader !== null)).toBe(true);
    const leader = cluster.leader!;
    const usual = leader.syncTime.ms;
    const slow = diskFaults(bed).find(({ kind }) => kind === 'slow-disk')!;
    for (let i = 0; i < 100 && leader.syncTime.ms === usual; i++) slow.strike();
    expect(leader.syncTime.ms).not.toEqual(usual);
    // Its scene begins on a disk that is slow already, and outlives that.
    expect(oldEntriesFaults(bed)[0]!.strike()).toBe(true);
    bed.end();
    expect(cluster.nodes.map((node) => node.syncTime.ms)).toEqual([usual, usual, usual]);
  });
});
