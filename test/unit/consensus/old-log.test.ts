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
