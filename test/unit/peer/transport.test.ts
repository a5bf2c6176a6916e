import { createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { encodeFrame } from '../../../src/peer/codec.js';
import { Bundle, events, helloOf, numbered } from './bundle.js';

const MIB = 1024 * 1024;
let bundle = new Bundle();
afterEach(async () => {
  await bundle.close();
  bundle = new Bundle();
});

describe('connecting', () => {
  it('both sides see each other once, with the hello of the other', async () => {
    const [a, b] = await bundle.pair();
    expect(a.seen.all).toEqual([{ kind: 'connected', name: 'b', hello: helloOf('b') }]);
    expect(b.seen.all).toEqual([{ kind: 'connected', name: 'a', hello: helloOf('a') }]);
    expect(a.transport.isConnected('b')).toBe(true);
    expect(b.transport.hello('a')).toEqual(helloOf('a'));
  });

  it('a dialler that is in nobody’s list is left to hello()', async () => {
    const [a, b] = [await bundle.node('a'), await bundle.node('b')];
    a.transport.setPeers([b.address]);
    await Promise.all([a.connected('b'), b.connected('a')]);
    expect(b.transport.send('a', 'control', events(Buffer.from('x')))).toBe(true);
    await a.frame((f) => f.type === 'events');
  });

  it('nodes of different protocol versions say so and do not connect, whichever of them dials', async () => {
    for (const [name, dialler, listener] of [
      ['old', 1, 2],
      ['new', 2, 1],
    ] as const) {
      const a = await bundle.node(`a-${name}`, { hello: { protocol: dialler } });
      const b = await bundle.node(`b-${name}`, { hello: { protocol: listener } });
      a.transport.setPeers([b.address]);
      const line = await a.log.next((l) => l.message.startsWith('cannot connect to a peer'));
      expect(line.fields.text).toContain('peer protocol 2 is not 1, which this node speaks');
      expect(a.transport.isConnected(b.name)).toBe(false);
      expect(b.transport.isConnected(a.name)).toBe(false);
    }
  });

  it('a refused dialler tries again until it is taken', async () => {
    const [a, b] = [await bundle.node('a'), await bundle.node('b')];
    b.judge = () => 'not yet';
    a.transport.setPeers([b.address]);
    await a.lost('b', 'rejected');
    b.judge = () => null;
    await Promise.all([a.connected('b'), b.connected('a')]);
  });

  it('a peer taken out of the list is let go, and dialled again when it returns', async () => {
    const [a, b] = await bundle.pair();
    a.transport.setPeers([]);
    await Promise.all([a.lost('b', 'closed'), b.lost('a', 'closed')]);
    expect(a.transport.send('b', 'control', numbered(1))).toBe(false);
    const [seenA, seenB] = [a.seen.all.length, b.seen.all.length];
    a.transport.setPeers([b.address]);
    await Promise.all([a.connected('b', seenA), b.connected('a', seenB)]);
  });

  it('a node that goes on with another disk is known by it at once, on either side', async () => {
    const [a, b] = await bundle.pair();
    const knows = (node: typeof a, diskId: string) =>
      node.seen.next((s) => s.kind === 'connected' && s.hello.diskId === diskId);
    a.transport.setHello({ ...helloOf('a'), diskId: 'other-a' });
    await knows(b, 'other-a');
    b.transport.setHello({ ...helloOf('b'), diskId: 'other-b' });
    await knows(a, 'other-b');
    await b.lost('a', 'closed');
    await a.lost('b', 'closed');
    expect(a.transport.hello('b')?.diskId).toBe('other-b');
    a.transport.setHello({ ...helloOf('a'), diskId: 'other-a', clusterId: 'joined' });
    expect(a.transport.isConnected('b')).toBe(true);
  });

  it('another node at the address is not taken for the peer', async () => {
    const [a, c] = [await bundle.node('a'), await bundle.node('c')];
    a.transport.setPeers([{ ...c.address, name: 'b' }]);
    await a.lost('b', 'rejected');
    const line = await c.log.next((l) => l.message.includes('refuses us'));
    expect(line.fields.text).toBe(`expected b at 127.0.0.1:${c.transport.port}, found c`);
  });
});

describe('frames', () => {
  it('arrive in order on each channel, in both directions', async () => {
    const [a, b] = await bundle.pair();
    const count = 500;
    for (let i = 0; i < count; i++) {
      for (const [from, to] of [
        [a, 'b'],
        [b, 'a'],
      ] as const) {
        expect(from.transport.send(to, 'data', numbered(i, i % 50 === 0 ? 100_000 : 10))).toBe(true);
        expect(from.transport.send(to, 'control', { type: 'ask', id: i, topic: 't', body: i })).toBe(true);
      }
    }
    for (const node of [a, b]) {
      await node.frame((f) => f.type === 'batch' && f.seq === count - 1);
      await node.frame((f) => f.type === 'ask' && f.id === count - 1);
      const frames = node.seen.all.flatMap((s) => (s.kind === 'frame' ? [s.frame] : []));
      const wanted = Array.from({ length: count }, (_, i) => i);
      expect(frames.flatMap((f) => (f.type === 'batch' ? [f.seq] : []))).toEqual(wanted);
      expect(frames.flatMap((f) => (f.type === 'ask' ? [f.id] : []))).toEqual(wanted);
    }
    const data = a.transport.traffic().find((t) => t.peer === 'b' && t.channel === 'data');
    expect(data?.sentFrames).toBe(count);
    expect(data?.receivedFrames).toBeGreaterThanOrEqual(count); // and the handshake's `ready`
    expect(data?.sentBytes).toBeGreaterThan(1_000_000);
  });

  it('frames sent in one turn leave in few writes', async () => {
    const [a, b] = await bundle.pair();
    let reads = 0;
    for (let i = 0; i < 200; i++) a.transport.send('b', 'data', numbered(i));
    let inTurn = false;
    const original = b.seen.add.bind(b.seen);
    b.seen.add = (item) => {
      if (!inTurn) {
        reads++;
        inTurn = true;
        queueMicrotask(() => {
          inTurn = false;
        });
      }
      original(item);
    };
    await b.frame((f) => f.type === 'batch' && f.seq === 199);
    expect(reads).toBeLessThan(20);
  });

  it('a frame longer than the limit is refused here and harms nobody', async () => {
    const limits = {
      frameBytesMax: { control: 1_000, data: 1_000, bulk: 1_000 },
      queueBytesMax: { control: 5_000, data: 5_000, bulk: 5_000 },
    };
    const [a, b] = await bundle.pair(limits);
    expect(a.transport.send('b', 'data', numbered(1, 2_000))).toBe(false);
    expect(a.transport.refusedFrames).toBe(1);
    await a.log.next((l) => l.level === 'error' && l.fields.limit === 1_000);
    expect(a.transport.send('b', 'data', numbered(2))).toBe(true);
    await b.frame((f) => f.type === 'batch' && f.seq === 2);
  });
});

describe('queues', () => {
  it('a peer that reads no bulk fills its queue only: false at the limit, and control passes', async () => {
    const b = await bundle.node('b');
    const slow = await bundle.scripted('a', b);
    slow.sockets.bulk.pause();
    const piece = Buffer.alloc(MIB);
    const send = (seq: number) =>
      b.transport.send('a', 'bulk', { type: 'piece', transfer: 1, seq, last: false, body: piece });
    let taken = 0;
    // What the kernel's buffers take leaves the queue, turn by turn.
    for (let quiet = 0; quiet < 20; quiet++) {
      while (send(taken)) {
        taken++;
        quiet = 0;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(b.transport.queued('a', 'bulk')).toBeLessThanOrEqual(8 * MIB);
    expect(b.transport.queued('a', 'bulk')).toBeGreaterThan(6 * MIB);
    expect(b.transport.refusedFrames).toBeGreaterThan(0);

    expect(b.transport.send('a', 'control', numbered(7))).toBe(true);
    expect(b.transport.send('a', 'data', numbered(8))).toBe(true);
    await slow.frames.next((f) => f.type === 'batch' && f.seq === 7);
    await slow.frames.next((f) => f.type === 'batch' && f.seq === 8);
    expect(slow.frames.all.some((f) => f.type === 'piece')).toBe(false);

    slow.sockets.bulk.resume();
    await slow.frames.next((f) => f.type === 'piece' && f.seq === taken - 1);
    const pieces = slow.frames.all.flatMap((f) => (f.type === 'piece' ? [f.seq] : []));
    expect(pieces).toEqual(Array.from({ length: taken }, (_, i) => i));
    expect(send(taken)).toBe(true);
  });
});

describe('refusal', () => {
  it('by the listener is seen with its text by both', async () => {
    const [a, b] = [await bundle.node('a', { hello: { clusterId: 'other' } }), await bundle.node('b')];
    b.judge = (hello) => (hello.clusterId === 'cluster-1' ? null : `cluster ${hello.clusterId} is not mine`);
    a.transport.setPeers([b.address]);
    await a.lost('b', 'rejected');
    const [here, there] = await Promise.all([
      a.log.next((l) => String(l.fields.text).includes('cluster other is not mine')),
      b.log.next((l) => l.fields.refusal === 'cluster other is not mine'),
    ]);
    expect(here.level).toBe('warn');
    expect(there.fields.peer).toBe('a');
    expect(a.seen.all.some((s) => s.kind === 'connected')).toBe(false);
    expect(b.seen.all).toEqual([]);
  });

  it('by the dialler is seen with its text by both', async () => {
    const [a, b] = [await bundle.node('a'), await bundle.node('b')];
    a.judge = () => 'its disk is not the expected one, '.repeat(10);
    a.transport.setPeers([b.address]);
    await a.lost('b', 'rejected');
    const line = await b.log.next((l) => String(l.fields.text).startsWith('its disk is not the expected'));
    expect(line.fields.peer).toBe('a');
    expect(b.seen.all).toEqual([]);
  });

  it('of a second node with the same name', async () => {
    const b = await bundle.node('b');
    await expect(bundle.scripted('b', b)).rejects.toThrow('my own');
  });
});

describe('losing and finding again', () => {
  it('a peer that dies is lost at once, refused while it is away, and connected when it returns', async () => {
    const [a, b] = await bundle.pair({ backoffMaxMs: 50 });
    const { port } = b.transport;
    await b.transport.close();
    await a.lost('b', 'closed');
    expect(a.transport.isConnected('b')).toBe(false);
    await a.lost('b', 'refused');
    expect(a.seen.all.filter((s) => s.kind === 'lost')[0]).toMatchObject({ reason: 'closed' });
    const from = a.seen.all.length;
    const again = await bundle.node('b', { port });
    again.transport.setPeers([a.address]);
    await Promise.all([a.connected('b', from), again.connected('a')]);
    expect(a.transport.send('b', 'data', numbered(1))).toBe(true);
    await again.frame((f) => f.type === 'batch');
  });

  it('failures that repeat themselves are logged once', async () => {
    const a = await bundle.node('a', { limits: { backoffMaxMs: 10 } });
    a.transport.setPeers([{ name: 'b', host: '127.0.0.1', port: await freePort() }]);
    for (let i = 0; i < 4; i++) await a.lost('b', 'refused', i);
    const warned = a.log.all.filter((l) => l.level === 'warn');
    expect(warned).toHaveLength(1);
    expect(warned[0]?.fields.text).toContain('ECONNREFUSED');
  });

  it('a dialler that comes again replaces its old connections', async () => {
    const b = await bundle.node('b');
    await bundle.scripted('a', b);
    const second = await bundle.scripted('a', b);
    await b.lost('a', 'closed');
    await b.connected('a', 2);
    expect(b.seen.all.map((s) => s.kind)).toEqual(['connected', 'lost', 'connected']);
    expect(b.transport.send('a', 'data', numbered(3))).toBe(true);
    await second.frames.next((f) => f.type === 'batch');
  });

  it('one broken channel ends all three', async () => {
    const b = await bundle.node('b');
    const a = await bundle.scripted('a', b);
    a.sockets.bulk.terminate();
    await b.lost('a', 'closed');
    await Promise.all([a.closed.control, a.closed.data]);
  });

  it('a silent peer is lost by timeout', async () => {
    const b = await bundle.node('b', { limits: { pingIntervalMs: 20, silenceMaxMs: 60 } });
    await bundle.scripted('a', b); // says nothing after its hello
    await b.lost('a', 'timeout');
  });

  it('an idle peer stays connected by its pings alone', async () => {
    const b = await bundle.node('b', { limits: { pingIntervalMs: 20, silenceMaxMs: 60 } });
    const a = await bundle.scripted('a', b);
    for (let i = 1; i <= 12; i++) {
      await a.frames.nth(i, (f) => f.type === 'ping');
      a.sockets.control.send(encodeFrame({ type: 'ping', id: 0 }));
    }
    expect(b.seen.all.map((s) => s.kind)).toEqual(['connected']);
  });

  it('a listener that never answers costs a timeout, not for ever', async () => {
    const sockets: Socket[] = [];
    const mute = createServer((socket) => sockets.push(socket));
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    bundle.onClose(() => {
      for (const socket of sockets) socket.destroy();
      mute.close();
    });
    const address = mute.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const a = await bundle.node('a', { limits: { handshakeTimeoutMs: 50 } });
    a.transport.setPeers([{ name: 'b', host: '127.0.0.1', port }]);
    await a.lost('b', 'timeout');
    expect(await a.transport.probe('b', 20)).toBe(false);
  });
});

describe('probe', () => {
  it('of a standing connection asks the other side, from either side', async () => {
    const [a, b] = await bundle.pair();
    expect(await a.transport.probe('b', 1_000)).toBe(true);
    expect(await b.transport.probe('a', 1_000)).toBe(true);
    expect(await a.transport.probe('nobody', 1_000)).toBe(false);
  });

  it('of a standing connection whose other side is stuck is false', async () => {
    const b = await bundle.node('b');
    await bundle.scripted('a', b);
    expect(await b.transport.probe('a', 30)).toBe(false);
  });

  it('by the dialler dials at once instead of after the pause', async () => {
    const port = await freePort();
    const a = await bundle.node('a', { limits: { backoffMinMs: 60_000, backoffMaxMs: 60_000 } });
    a.transport.setPeers([{ name: 'b', host: '127.0.0.1', port }]);
    await a.lost('b', 'refused');
    expect(await a.transport.probe('b', 5_000)).toBe(false);
    await bundle.node('b', { port });
    expect(await a.transport.probe('b', 5_000)).toBe(true);
    expect(a.transport.isConnected('b')).toBe(true);
  });

  it('by the other side tells a dead listener (refused) from a living one', async () => {
    const [a, b] = await bundle.pair();
    const { port } = a.transport;
    await a.transport.close();
    await b.lost('a', 'closed');
    expect(await b.transport.probe('a', 5_000)).toBe(false);
    await b.lost('a', 'refused');
    const again = await bundle.node('a', { port });
    expect(again.transport.isConnected('b')).toBe(false);
    expect(await b.transport.probe('a', 5_000)).toBe(true);
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
