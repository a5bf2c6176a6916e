import { describe, expect, test } from 'vitest';
import { createConsensus, messageFromWire, messageToWire } from '../../../src/consensus/index.js';
import { Cluster, type Node } from './cluster.js';

const codec = { toWire: messageToWire, fromWire: messageFromWire };
const WORD = 'x'.repeat(500);

/** A leader whose third node was away for 200 entries, two of which fit into a message, and none is in memory. */
function bed() {
  const options = { maxMessageBytes: 1_100, maxInflight: 64 };
  const cluster = new Cluster({ factory: createConsensus, codec, voters: [1, 2, 3], options, keepBytes: 0 });
  const leader = cluster.elect(1);
  cluster.isolate(3);
  for (let i = 0; i < 200; i++) cluster.propose(leader, WORD);
  leader.core.reportUnreachable(3);
  cluster.heal();
  cluster.readBack = 0;
  return { cluster, leader, laggard: cluster.node(3) };
}

/** The leader and the laggard see each other's heartbeat, and no more. */
function meet(cluster: Cluster, leader: Node, laggard: Node): void {
  leader.core.tick();
  cluster.drain(leader);
  while (cluster.network.length > 0) cluster.deliver(0);
  cluster.drain(laggard);
  while (cluster.network.length > 0) cluster.deliver(0);
}

describe('log that is read back from the disk for a node that lags', () => {
  test('takes it to the end', () => {
    const { cluster, leader, laggard } = bed();
    expect(leader.core.status().heldFrom).toBe(leader.core.status().lastIndex + 1);
    cluster.tick(3);
    expect(laggard.appliedIndex).toBe(leader.appliedIndex);
    expect(cluster.readBack).toBeGreaterThanOrEqual(200);
    expect(laggard.snapshots).toEqual([]);
  });

  test('is read in few pieces at a time, and the next when those have arrived', () => {
    const { cluster, leader, laggard } = bed();
    let pieces = 0;
    for (let round = 0; round < 1_000 && laggard.appliedIndex < leader.appliedIndex; round++) {
      if (round % 50 === 0) leader.core.tick();
      const before = cluster.readBack;
      cluster.drain(leader);
      const read = cluster.readBack - before;
      // Two entries fit; what the disk hands out besides is one more for each piece.
      expect(read).toBeLessThanOrEqual(5 * 3);
      if (read > 0) pieces++;
      if (cluster.network.length > 0) cluster.deliver(0);
      cluster.drain(laggard);
    }
    expect(laggard.appliedIndex).toBe(leader.appliedIndex);
    expect(pieces).toBeGreaterThan(20);
  });

  test('is sent again when all that was under way got lost, and is not read while nobody asks', () => {
    const { cluster, leader, laggard } = bed();
    meet(cluster, leader, laggard);
    let lost = 0;
    for (let round = 0; round < 10; round++) {
      cluster.drain(leader);
      cluster.drain(laggard);
      const left = cluster.network.filter(({ wire }) => codec.fromWire(wire).control);
      lost += cluster.network.length - left.length;
      cluster.network = left;
      while (cluster.network.length > 0) cluster.deliver(0);
    }
    expect(lost).toBeGreaterThan(0);
    expect(lost).toBeLessThan(10);
    const { readBack } = cluster;
    for (let i = 0; i < 20; i++) {
      leader.core.propose([new Uint8Array(10)]);
      cluster.drain(leader);
      cluster.network = [];
    }
    expect(cluster.readBack).toBe(readBack);
    cluster.tick(10);
    expect(laggard.appliedIndex).toBe(leader.appliedIndex);
  });

  test('where the disk fails, it is `take` that says so', () => {
    const { cluster, leader, laggard } = bed();
    meet(cluster, leader, laggard);
    leader.disk.archive.clear();
    laggard.core.tick();
    const said = (() => {
      for (let i = 0; i < 20; i++) {
        leader.core.tick();
        try {
          for (let output = leader.core.take(); output !== null; output = leader.core.take()) {
            for (const message of output.messages) {
              if (message.to === 3) cluster.arrive({ from: 1, to: 3, wire: codec.toWire(message) });
            }
          }
        } catch (error) {
          return (error as Error).message;
        }
        cluster.drain(laggard);
        while (cluster.network.length > 0) cluster.deliver(0);
      }
      return 'nothing';
    })();
    expect(said).toContain('is not on disk');
  });
});

describe('committed log that a start finds on disk', () => {
  const LARGE = 'x'.repeat(100_000);

  /** All members write 200 entries of 100 KB, are killed and start again; nothing is applied. */
  function restarted(voters: readonly number[], keepBytes: number) {
    const cluster = new Cluster({ factory: createConsensus, codec, voters, keepBytes });
    const leader = cluster.elect(1);
    for (let i = 0; i < 200; i++) cluster.propose(leader, `${i} ${LARGE}`);
    cluster.propose(leader, 'last');
    const all = cluster.commands(leader);
    for (const id of voters) cluster.crash(id);
    cluster.network = [];
    for (const id of voters) cluster.restart(id);
    cluster.readBack = 0;
    return { cluster, all };
  }

  test('is applied in order, by one node as by three, whatever of it is in memory', () => {
    for (const voters of [[1], [1, 2, 3]]) {
      for (const keepBytes of [0, 1_000_000, Number.POSITIVE_INFINITY]) {
        const { cluster, all } = restarted(voters, keepBytes);
        const status = cluster.node(1).core.status();
        expect(status.lastIndex - status.heldFrom < 20).toBe(keepBytes < Number.POSITIVE_INFINITY);
        cluster.elect(1);
        for (const node of cluster.all) expect(cluster.commands(node)).toEqual(all);
        expect(cluster.readBack > 180).toBe(keepBytes < Number.POSITIVE_INFINITY);
        cluster.propose(cluster.node(1), 'more');
        expect(cluster.commands(cluster.node(1)).at(-1)).toBe('more');
      }
    }
  });

  test('is read in pieces, the next one when all of the one before is applied', () => {
    const { cluster } = restarted([1, 2, 3], 0);
    const { core } = cluster.node(2);
    let pieces = 0;
    for (;;) {
      const committed = core.take()?.committed ?? [];
      if (committed.length === 0) break;
      pieces++;
      expect(cluster.readBack).toBeLessThan(pieces * 45);
      for (let again = 0; again < 3; again++) expect(core.take()?.committed ?? []).toEqual([]);
      core.applied(committed[0]!.index);
      expect(core.take()).toBeNull();
      core.applied(committed.at(-1)!.index);
    }
    expect(pieces).toBeGreaterThan(4);
    expect(core.status().applied).toBe(core.status().commit);
    expect(core.status().applied).toBeGreaterThan(200);
  });

  test('keeps a node from an election while it changes the membership and is not applied, without a read', () => {
    const cluster = new Cluster({ factory: createConsensus, codec, voters: [1, 2, 3], keepBytes: 0 });
    const leader = cluster.elect(1);
    for (let i = 0; i < 150; i++) cluster.propose(leader, LARGE);
    expect(
      leader.core.proposeMembership({ changes: [{ kind: 'remove', id: 3 }], context: new Uint8Array(0) }),
    ).toBe('accepted');
    cluster.settle();
    cluster.propose(leader, 'behind the change');
    cluster.propose(leader, 'last');
    cluster.crash(2);
    cluster.restart(2);
    cluster.network = [];
    cluster.readBack = 0;
    const { core } = cluster.node(2);
    core.campaign();
    for (let i = 0; i < 30; i++) core.tick();
    expect(core.status().role).toBe('follower');
    expect(cluster.readBack).toBe(0);
    expect(cluster.logged.at(-1)).toContain('membership is still to be applied');
    cluster.crash(1);
    cluster.drain(cluster.node(2));
    expect(core.status().membership.voters).toEqual([1, 2]);
    core.campaign();
    expect(core.status().role).toBe('candidate');
  });

  test('where the disk fails, it is `take` that says so', () => {
    const { cluster } = restarted([1], 0);
    const { core, disk } = cluster.node(1);
    disk.archive.delete(60);
    expect(() => {
      for (;;) core.applied(core.take()!.committed.at(-1)!.index);
    }).toThrow('entry 60 is not on disk');
  });
});
