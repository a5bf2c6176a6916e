import { randomBytes } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, it } from 'vitest';
import { MalformedBytesError } from '../../../src/base/bytes.js';
import { encodeFrame } from '../../../src/peer/codec.js';
import { Bundle, closed, helloOf, numbered, type TestNode } from './bundle.js';

let bundle = new Bundle();
afterEach(async () => {
  await bundle.close();
  bundle = new Bundle();
});

const UPGRADE = (path: string) =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

/** Sends `bytes` on a new connection and returns all that comes back until it is closed. */
async function exchange(port: number, ...parts: readonly (string | Buffer)[]): Promise<string> {
  const socket = await bundle.raw(port);
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk.toString('latin1');
  });
  for (const part of parts) socket.write(part);
  await closed(socket);
  return answer;
}

/** Frames still travel between the two, and neither has lost the other. */
async function undisturbed(a: TestNode, b: TestNode): Promise<void> {
  const from = b.seen.all.length;
  expect(a.transport.send('b', 'data', numbered(4_711))).toBe(true);
  await b.frame((f) => f.type === 'batch' && f.seq === 4_711, from);
  expect(a.seen.all.concat(b.seen.all).filter((s) => s.kind === 'lost')).toEqual([]);
}

describe('a peer whose frames are sound and carry what cannot be read', () => {
  it('is let go with a line that says so, and comes again', async () => {
    const [a, b] = await bundle.pair();
    b.onFrame = (frame) => {
      if (frame.type === 'events') throw new MalformedBytesError('nothing that I know');
    };
    a.transport.send('b', 'data', { type: 'events', bytes: Buffer.from('x') });
    await Promise.all([a.lost('b', 'closed'), b.lost('a', 'closed')]);
    const line = await b.log.next((l) => l.message === 'dropped a connection at the peer port');
    expect(line.fields.why).toBe('a malformed events: nothing that I know');
    const told = await a.log.next((l) => l.message === 'lost a peer');
    expect(told.fields.text).toContain('nothing that I know');
    await Promise.all([a.connected('b', a.seen.all.length - 1), b.connected('a', b.seen.all.length - 1)]);
    a.transport.send('b', 'data', numbered(1));
    await b.frame((f) => f.type === 'batch' && f.seq === 1);
  });
});

const SHORT = { handshakeTimeoutMs: 150 };

describe('whatever connects to the peer port', () => {
  it('random bytes get a 400 and are closed', async () => {
    const [a, b] = await bundle.pair(SHORT);
    expect(await exchange(b.transport.port, randomBytes(1_000))).toMatch(/^HTTP\/1.1 400/);
    expect(b.transport.droppedConnections).toBe(1);
    const line = await b.log.next((l) => l.message === 'dropped a connection at the peer port');
    expect(line.fields.why).toBe('what it sent is not HTTP');
    await undisturbed(a, b);
  });

  it('plain HTTP is told that it is wrong here', async () => {
    const [a, b] = await bundle.pair(SHORT);
    expect(await exchange(b.transport.port, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n')).toMatch(/^HTTP\/1.1 426/);
    expect(await exchange(b.transport.port, UPGRADE('/other'))).toMatch(/^HTTP\/1.1 400/);
    const headers = `GET / HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`;
    expect(await exchange(b.transport.port, headers)).toMatch(/^HTTP\/1.1 4/);
    await undisturbed(a, b);
  });

  it('silence, half a request and half a frame end with the handshake’s time', async () => {
    const [a, b] = await bundle.pair(SHORT);
    const half = Buffer.from([0x82, 0xfe, 0x01]);
    await Promise.all([
      exchange(b.transport.port),
      exchange(b.transport.port, 'GET / HT'),
      exchange(b.transport.port, UPGRADE('/gearmesh/peer/v1/control')),
      exchange(b.transport.port, UPGRADE('/gearmesh/peer/v1/data'), half),
    ]);
    expect(b.transport.droppedConnections).toBe(4);
    await undisturbed(a, b);
  });

  it('huge lengths are refused before the bytes are there', async () => {
    const [a, b] = await bundle.pair({ handshakeTimeoutMs: 60_000 });
    const head = Buffer.from([0x82, 0xff, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]);
    await exchange(b.transport.port, UPGRADE('/gearmesh/peer/v1/control'), head);
    // A length within the frame's limit, but no hello is that long.
    const allowed = Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0x00, 0x30, 0, 0, 1, 2, 3, 4]);
    await exchange(b.transport.port, UPGRADE('/gearmesh/peer/v1/control'), allowed, Buffer.alloc(200_000));
    await b.log.next((l) => l.message.startsWith('dropped'));
    expect(b.transport.droppedConnections).toBe(2);
    await undisturbed(a, b);
  });

  it('too many that wait push out the oldest, and an honest peer still gets in', async () => {
    const limits = { unauthenticatedMax: 10, handshakeTimeoutMs: 60_000 };
    const b = await bundle.node('b', { limits });
    const idle = [];
    for (let i = 0; i < 30; i++) idle.push(await bundle.raw(b.transport.port));
    await Promise.all(idle.slice(0, 20).map(closed));
    const a = await bundle.node('a');
    a.transport.setPeers([b.address]);
    await Promise.all([a.connected('b'), b.connected('a')]);
    expect(b.transport.droppedConnections).toBeGreaterThanOrEqual(20);
    expect(idle.filter((socket) => !socket.closed).length).toBeLessThanOrEqual(10);
  });

  it('a flood of garbage disturbs nobody, and its memory returns', async () => {
    const [a, b] = await bundle.pair({ ...SHORT, unauthenticatedMax: 32 });
    const gc = collector();
    const flood = async (count: number) => {
      for (let i = 0; i < count; i += 50) {
        await Promise.all(
          Array.from({ length: 50 }, (_, n) =>
            n % 2 === 0
              ? exchange(b.transport.port, randomBytes(1 + ((i + n) % 4_000)))
              : exchange(b.transport.port, UPGRADE('/gearmesh/peer/v1/control'), randomBytes(3_000)),
          ),
        );
        expect(a.transport.send('b', 'control', numbered(i))).toBe(true);
      }
      await undisturbed(a, b);
      gc();
      return process.memoryUsage();
    };
    await flood(200); // what is allocated once
    const before = await flood(200);
    const after = await flood(1_000);
    const grown = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers;
    expect(grown).toBeLessThan(6 * 1024 * 1024);
    expect(b.log.all.filter((l) => l.level !== 'debug').length).toBeLessThan(50);
  });
});

describe('a peer that turns bad', () => {
  it('a malformed frame closes its own connections, says why, and harms no other peer', async () => {
    const c = await bundle.node('c');
    const [good, bad] = [await bundle.scripted('a', c), await bundle.scripted('b', c)];
    bad.sockets.data.send(randomBytes(64));
    await c.lost('b', 'closed');
    expect(await bad.closed.data).toMatch(/^not a frame: |^frame /);
    await bad.closed.control;
    const line = await c.log.next((l) => l.message.startsWith('dropped'));
    expect(line.fields.remote).toBe('b');
    expect(c.transport.isConnected('a')).toBe(true);
    c.transport.send('a', 'data', numbered(1));
    await good.frames.next((f) => f.type === 'batch');
    expect(c.seen.all.filter((s) => s.kind === 'frame')).toEqual([]);
  });

  it('a frame over the limit, a text, and a second hello close the connection', async () => {
    const limits = {
      frameBytesMax: { control: 1_000, data: 1_000, bulk: 1_000 },
      queueBytesMax: { control: 1_000, data: 1_000, bulk: 1_000 },
    };
    const c = await bundle.node('c', { limits });
    const attacks = [
      encodeFrame(numbered(1, 2_000)),
      'text',
      encodeFrame({ type: 'hello', channel: 'control', token: '', hello: helloOf('a') }),
    ];
    for (const attack of attacks) {
      const from = c.seen.all.length;
      const peer = await bundle.scripted('a', c);
      peer.sockets.control.send(attack);
      await c.lost('a', 'closed', from);
      await peer.closed.data;
    }
    expect(c.seen.all.filter((s) => s.kind === 'frame')).toEqual([]);
  });

  it('a join without the token of a hello gets nowhere', async () => {
    const b = await bundle.node('b');
    const stranger = await bundle.stranger(b, 'data');
    stranger.send(encodeFrame({ type: 'join', channel: 'data', token: '' }));
    const text = await new Promise<string>((resolve) =>
      stranger.once('close', (_code, reason) => resolve(reason.toString())),
    );
    expect(text).toBe('it belongs to no connection that is being made');
    expect(b.seen.all).toEqual([]);
  });

  it('a frame before the handshake is over is not handed on', async () => {
    const b = await bundle.node('b');
    const stranger = await bundle.stranger(b, 'control');
    const end = new Promise((resolve) => stranger.once('close', resolve));
    stranger.send(encodeFrame({ type: 'hello', channel: 'control', token: '', hello: helloOf('a') }));
    stranger.send(encodeFrame(numbered(1)));
    await end;
    expect(b.seen.all).toEqual([]);
  });
});

function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
