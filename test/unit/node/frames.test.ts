import { beforeEach, describe, expect, it } from 'vitest';
import { encodeNodeUp } from '../../../src/core/index.js';
import type { PeerFrame } from '../../../src/peer/types.js';
import type { SimNode } from '../../../src/sim/cluster.js';
import { SimBed } from './sim-bed.js';

/**
 * Goal: nothing that another process sends ends a node, let alone the cluster: frames that carry what cannot be read cost
 * their sender its connection, and work is taken from members alone.
 */
describe('a frame from another node', () => {
  let bed: SimBed;
  let sender: SimNode;
  let receiver: SimNode;

  beforeEach(async () => {
    bed = await SimBed.started(21);
    receiver = bed.leader;
    sender = bed.follower;
  });

  const up = encodeNodeUp({ name: 'n9', nonce: 1, grpc: '', http: '', version: '0' });
  const bytes = Buffer.of(255, 0, 1);

  it.each<[string, PeerFrame]>([
    ['events that are cut off', { type: 'events', bytes: Buffer.of(3, 1, 2) }],
    ['a snapshot without a message', { type: 'piece', transfer: 1, seq: 0, last: false, body: ['x'] }],
    ['a batch of random bytes', { type: 'batch', incarnation: 1, seq: 1, bytes }],
    ['a batch of random bytes before any incarnation', { type: 'batch', incarnation: 0, seq: 0, bytes }],
    ['the NodeUp of another node', { type: 'batch', incarnation: 0, seq: 0, bytes: up }],
  ])('with %s costs the connection alone', async (_, frame) => {
    const transport = bed.cluster.network.end(sender.name)!;
    expect(transport.send(receiver.name, 'data', frame)).toBe(true);
    await bed.until(() =>
      bed.lines.some((line) => line.includes(`${receiver.name} lost ${sender.name} closed`)),
    );
    await bed.until(() => transport.isConnected(receiver.name));
    await bed.submit(sender);
    await bed.until(() => bed.agree());
    for (const node of bed.cluster.nodes) expect(node.fatal).toBeNull();
  });

  it('that brings work counts from members alone', async () => {
    const before = bed.place(receiver);
    const stranger: PeerFrame = { type: 'batch', incarnation: 0, seq: 0, bytes: up };
    receiver.node!.engine!.frame('n9', stranger);
    receiver.node!.engine!.frame('n9', { type: 'events', bytes: Buffer.of(3, 1, 2) });
    await bed.pass(1_000);
    expect(bed.place(receiver)).toBe(before);
    expect(bed.core(receiver).nodes()).toHaveLength(3);
  });
});
