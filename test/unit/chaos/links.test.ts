import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SeededRandom } from '../../../src/sim/random.js';
import { between, Conditions } from '../../chaos/links/conditions.js';
import { rulesOf } from '../../chaos/links/packets.js';
import { PeerProxies } from '../../chaos/links/proxy.js';

describe('conditions of the ways between nodes', () => {
  it('are as bad as the worst fault that lies on them, and whole when the last one is gone', () => {
    const conditions = new Conditions();
    let changes = 0;
    conditions.onChange(() => changes++);
    const first = conditions.add(between(['n1'], ['n2']), { lossPermille: 10, delayMs: 5 });
    const second = conditions.add([{ from: 'n1', to: 'n2' }], { cut: true, delayMs: 2 });
    expect(conditions.of('n1', 'n2')).toEqual({ cut: true, lossPermille: 10, delayMs: 5 });
    expect(conditions.of('n2', 'n1')).toEqual({ cut: false, lossPermille: 10, delayMs: 5 });
    expect(conditions.connected('n2', 'n1')).toBe(false);
    expect(conditions.connected('n2', 'n3')).toBe(true);
    first();
    expect(conditions.of('n2', 'n1').lossPermille).toBe(0);
    expect(conditions.connected('n2', 'n1')).toBe(false);
    second();
    second();
    expect(conditions.connected('n2', 'n1')).toBe(true);
    expect(changes).toBe(4);
  });

  it('become rules for the packets that a node sends', () => {
    const conditions = new Conditions();
    const names = ['n1', 'n2', 'n3'];
    expect(rulesOf('n1', names, conditions)).not.toContain('drop');
    conditions.add([{ from: 'n1', to: 'n2' }], { cut: true });
    conditions.add(between(['n1'], ['n3']), { lossPermille: 50 });
    const rules = rulesOf('n1', names, conditions);
    expect(rules).toContain('ip daddr { 10.99.1.2, 10.99.2.2 } counter drop');
    expect(rules).toContain('ip daddr { 10.99.1.3, 10.99.2.3 } numgen random mod 1000 < 50 counter drop');
    expect(rulesOf('n2', names, conditions)).not.toContain('drop');
  });
});

describe('a proxy between two nodes', () => {
  let conditions: Conditions;
  let proxies: PeerProxies;
  let target: Server;
  let port: number;
  const sockets: Socket[] = [];

  beforeEach(async () => {
    conditions = new Conditions();
    proxies = new PeerProxies({
      conditions,
      random: new SeededRandom(1),
      nameOf: () => 'n1',
      sourceOf: () => '127.0.0.1',
      losesByItself: true,
    });
    target = createServer((socket) => socket.pipe(socket));
    target.listen(0, '127.0.0.1');
    await once(target, 'listening');
    const at = { host: '127.0.0.1', port: (target.address() as AddressInfo).port };
    port = await proxies.open({ name: 'n2', host: '127.0.0.1', port: 0, target: at });
  });

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await proxies.close();
    target.close();
  });

  async function open(): Promise<Socket> {
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    await once(socket, 'connect');
    return socket;
  }

  async function echoed(socket: Socket, text: string): Promise<number> {
    const begin = performance.now();
    let came = '';
    while (came !== text) came += String((await once(socket, 'data'))[0]);
    return performance.now() - begin;
  }

  it('passes on what comes, and an end', async () => {
    const socket = await open();
    socket.write('hello');
    await echoed(socket, 'hello');
    const closed = once(socket, 'close');
    socket.end();
    await closed;
  });

  it('holds everything back while the way is cut, and lets it go on, in order, afterwards', async () => {
    const socket = await open();
    socket.write('a');
    await echoed(socket, 'a');
    const heal = conditions.add([{ from: 'n1', to: 'n2' }], { cut: true });
    let came = '';
    socket.on('data', (bytes) => {
      came += String(bytes);
    });
    socket.write('b');
    // Somebody whose way is whole gets there and back in the meantime.
    await new Promise<void>((resolve) => {
      const other = connect((target.address() as AddressInfo).port, '127.0.0.1', () => other.write('x'));
      sockets.push(other);
      other.once('data', () => resolve());
    });
    socket.write('c');
    expect(came).toBe('');
    heal();
    while (came !== 'bc') await once(socket, 'data');
    expect(proxies.counts.held).toBeGreaterThan(0);
  });

  it('answers a connection that comes while the way is cut only once it is whole', async () => {
    const heal = conditions.add([{ from: 'n2', to: 'n1' }], { cut: true });
    let arrived = 0;
    target.on('connection', () => arrived++);
    const socket = await open();
    socket.write('late');
    expect(arrived).toBe(0);
    heal();
    await echoed(socket, 'late');
    expect(arrived).toBe(1);
  });

  it('delays each piece, in both directions where both are slow', async () => {
    const socket = await open();
    conditions.add(between(['n1'], ['n2']), { delayMs: 40 });
    socket.write('slow');
    expect(await echoed(socket, 'slow')).toBeGreaterThanOrEqual(75);
    expect(proxies.counts.delayed).toBeGreaterThanOrEqual(2);
  });

  it('makes a lost packet a pause, as TCP does', async () => {
    const socket = await open();
    conditions.add([{ from: 'n1', to: 'n2' }], { lossPermille: 999 });
    socket.write('lost');
    expect(await echoed(socket, 'lost')).toBeGreaterThanOrEqual(190);
    expect(proxies.counts.held).toBeGreaterThan(0);
  });
});
