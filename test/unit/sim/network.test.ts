import { describe, expect, it } from 'vitest';
import type { Hello, PeerFrame, PeerHandler } from '../../../src/peer/types.js';
import { SimNetwork } from '../../../src/sim/network.js';
import { World } from '../../../src/sim/world.js';

function hello(name: string): Hello {
  return {
    protocol: 1,
    featureLevel: 1,
    configuration: 0,
    name,
    diskId: name.padStart(32, '0'),
    clusterId: null,
    clusterName: 'sim',
    grpc: `${name}:1`,
    http: `${name}:2`,
    peer: `${name}:3`,
    version: '0.0.0',
  };
}

function ask(id: number): PeerFrame {
  return { type: 'ask', id, topic: 'status', body: null };
}

async function pair() {
  const world = new World(1);
  const network = new SimNetwork(world);
  const make = (name: string) => {
    const seen: string[] = [];
    const handler: PeerHandler = {
      hello: () => null,
      connected: (peer) => seen.push(`connected ${peer}`),
      lost: (peer, reason) => seen.push(`lost ${peer} ${reason}`),
      frame: (from, frame) => seen.push(`${from} ${'id' in frame ? frame.id : frame.type}`),
    };
    const clock = world.clock(0);
    const end = network.transport(name, clock);
    end.setHello(hello(name));
    end.setPeers(['a', 'b'].map((peer) => ({ name: peer, host: peer, port: 1 })));
    void end.listen(handler);
    return { end, clock, seen, frames: () => seen.filter((line) => /^[ab] /.test(line)) };
  };
  const [a, b] = [make('a'), make('b')];
  await world.run(50, () => a.end.isConnected('b'));
  return { world, network, make, a, b };
}

describe('the simulated network', () => {
  it('leaves the sockets of a process alone when the one before it, long killed, closes its own', async () => {
    const { world, network, make, a, b } = await pair();
    network.kill('a');
    const next = make('a').end;
    expect(await world.run(world.now + 1_000, () => next.isConnected('b'))).toBe(true);
    await a.end.close();
    next.send('b', 'data', ask(3));
    await world.run(world.now + 200, () => false);
    expect(next.isConnected('b')).toBe(true);
    expect(b.frames()).toEqual(['a 3']);
  });

  it('loses what is under way on a connection that breaks, and never delivers it on the next one', async () => {
    const { world, network, a, b } = await pair();
    network.faults.minDelayMs = 50;
    network.faults.maxDelayMs = 50;
    a.end.send('b', 'data', ask(1));
    network.disconnect('a', 'b');
    expect(network.broken).toBe(1);
    await world.run(world.now + 30, () => a.end.isConnected('b'));
    a.end.send('b', 'data', ask(2));
    await world.run(world.now + 200, () => false);
    expect(b.frames()).toEqual(['a 2']);
    expect(network.lost).toBe(1);
  });

  it('cuts one direction alone, for as long as any fault says so, and breaks the connection after a silence', async () => {
    const { world, network, a, b } = await pair();
    const first = network.cut('a', 'b');
    const second = network.cut('a', 'b');
    a.end.send('b', 'data', ask(1));
    b.end.send('a', 'data', ask(2));
    await world.run(world.now + 100, () => false);
    expect([a.frames(), b.frames()]).toEqual([['b 2'], []]);
    first();
    first();
    expect(network.isCut('a', 'b')).toBe(true);
    await world.run(world.now + 4_000, () => false);
    expect(a.seen).toContain('lost b timeout');
    expect(a.end.isConnected('b')).toBe(false);
    second();
    expect(network.isCut('a', 'b')).toBe(false);
    await world.run(world.now + 100, () => a.end.isConnected('b'));
    a.end.send('b', 'data', ask(3));
    await world.run(world.now + 100, () => false);
    expect(b.frames()).toEqual(['a 3']);
  });

  it('keeps the order of a channel and lets channels overtake each other', async () => {
    const { world, network, a, b } = await pair();
    network.faults.maxDelayMs = 100;
    for (let id = 1; id <= 40; id++) a.end.send('b', id % 2 === 0 ? 'data' : 'control', ask(id));
    await world.run(world.now + 500, () => false);
    const ids = b.frames().map((line) => Number(line.split(' ')[1]));
    const ascending = [...ids].sort((x, y) => x - y);
    expect(ids).not.toEqual(ascending);
    for (const rest of [0, 1]) {
      const channel = (id: number): boolean => id % 2 === rest;
      expect(ids.filter(channel)).toEqual(ascending.filter(channel));
    }
    expect(network.overtaken).toBeGreaterThan(0);
  });

  it('holds frames for a process that stands still, and gives it up after a silence', async () => {
    const { world, network, a, b } = await pair();
    b.clock.pause();
    network.paused('b');
    a.end.send('b', 'data', ask(1));
    await world.run(world.now + 1_000, () => false);
    expect(b.frames()).toEqual([]);
    b.clock.resume();
    await world.run(world.now + 10, () => false);
    expect(b.frames()).toEqual(['a 1']);
    b.clock.pause();
    network.paused('b');
    a.end.send('b', 'data', ask(2));
    await world.run(world.now + 5_000, () => false);
    expect(a.seen.at(-1)).toBe('lost b timeout');
    b.clock.resume();
    await world.run(world.now + 100, () => a.end.isConnected('b'));
    expect(b.frames()).toEqual(['a 1']);
    expect(b.seen).toContain('lost a timeout');
  });
});
