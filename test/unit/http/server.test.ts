import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { Clock } from '../../../src/base/clock.js';
import { systemClock } from '../../../src/base/system-clock.js';
import { GearmeshError } from '../../../src/core/errors.js';
import { createHttpServer, type HttpLimits, type HttpServer } from '../../../src/http/index.js';
import type { ClusterView, NodeApi } from '../../../src/node/interface.js';

interface Fake {
  phase: NodeApi['phase'];
  leader: string;
  error: Error | null;
  nowMs: number;
  renderings: number;
  metrics: () => Promise<string>;
}

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function start(limits: Partial<HttpLimits> = {}) {
  const fake: Fake = {
    phase: 'ready',
    leader: 'n2',
    error: null,
    nowMs: 0,
    renderings: 0,
    metrics: async () => '# HELP x y\n# TYPE x gauge\nx 1\n',
  };
  const clock: Clock = { ...systemClock, monotonicMs: () => fake.nowMs };
  const view = (): ClusterView => ({
    id: 'c',
    name: 'test',
    leader: fake.leader,
    term: 1,
    members: [],
    nodes: [],
    hashDisagreement: null,
  });
  const api: Pick<NodeApi, 'name' | 'phase' | 'cluster'> = {
    name: 'n1',
    get phase() {
      return fake.phase;
    },
    cluster: async () => {
      if (fake.error !== null) throw fake.error;
      return view();
    },
  };
  const lines: string[] = [];
  const line = (fields: object, message: string) => lines.push(`${message} ${JSON.stringify(fields)}`);
  const server = createHttpServer({
    api: api as NodeApi,
    metrics: {
      contentType: 'text/plain; version=0.0.4; charset=utf-8',
      text: () => {
        fake.renderings++;
        return fake.metrics();
      },
    },
    clock,
    listen: { host: '127.0.0.1', port: 0 },
    log: { info: line, warn: line, error: line },
    limits,
  });
  await server.listen();
  closers.push(() => server.close());
  return { server, fake, lines };
}

const get = (server: HttpServer, path: string, init: RequestInit = {}) =>
  fetch(`http://127.0.0.1:${server.port}${path}`, { headers: { connection: 'close' }, ...init });

const ask = async (server: HttpServer, path: string) => {
  const response = await get(server, path);
  return [response.status, await response.text()] as const;
};

async function raw(server: HttpServer): Promise<{ socket: Socket; end: Promise<string> }> {
  const socket = connect(server.port, '127.0.0.1');
  socket.on('error', () => {});
  closers.push(() => {
    socket.destroy();
  });
  await new Promise((resolve) => socket.once('connect', resolve));
  let answer = '';
  const end = new Promise<string>((resolve) => socket.once('close', () => resolve(answer)));
  socket.on('data', (chunk) => {
    answer += chunk.toString('latin1');
  });
  return { socket, end };
}

describe('probes', () => {
  const expected: Record<NodeApi['phase'], { live: number; started: number; ready: number; says: string }> = {
    starting: { live: 200, started: 503, ready: 503, says: 'it reads its disk' },
    forming: { live: 200, started: 200, ready: 503, says: 'to form the cluster' },
    'catching-up': { live: 200, started: 200, ready: 503, says: 'catching up' },
    ready: { live: 200, started: 200, ready: 200, says: 'leader: n2' },
    draining: { live: 200, started: 200, ready: 503, says: 'takes no new work' },
    stopped: { live: 503, started: 503, ready: 503, says: 'has stopped' },
  };
  for (const [phase, want] of Object.entries(expected)) {
    it(`of a node that is ${phase}`, async () => {
      const { server, fake } = await start();
      fake.phase = phase as NodeApi['phase'];
      expect((await ask(server, '/livez'))[0]).toBe(want.live);
      expect((await ask(server, '/startupz'))[0]).toBe(want.started);
      const [status, body] = await ask(server, '/readyz');
      expect(status).toBe(want.ready);
      expect(body).toContain(want.says);
      expect(body).toContain(`phase: ${phase}`);
    });
  }

  it('a short election leaves the node ready, a long one does not, and a leader mends it', async () => {
    const { server, fake, lines } = await start();
    expect((await ask(server, '/readyz'))[0]).toBe(200);
    fake.leader = '';
    expect(await ask(server, '/readyz')).toEqual([200, expect.stringContaining('leader: none')]);
    fake.nowMs += 9_999;
    expect((await ask(server, '/readyz'))[0]).toBe(200);
    fake.nowMs += 1;
    expect(await ask(server, '/readyz')).toEqual([503, expect.stringContaining('no leader for 10 s')]);
    expect((await ask(server, '/livez'))[0]).toBe(200);
    fake.leader = 'n3';
    expect((await ask(server, '/readyz'))[0]).toBe(200);
    expect(lines.filter((text) => text.startsWith('readiness changed'))).toHaveLength(3);
  });

  it('an error of the node is the reason', async () => {
    const { server, fake } = await start();
    fake.error = new GearmeshError('NO_LEADER');
    expect(await ask(server, '/readyz')).toEqual([503, expect.stringContaining('has no leader')]);
  });

  it('JSON when asked for', async () => {
    const { server, fake } = await start();
    const body = { ok: true, reason: 'the node takes work', node: 'n1', phase: 'ready', leader: 'n2' };
    const byQuery = await get(server, '/readyz?format=json');
    expect(byQuery.headers.get('content-type')).toBe('application/json');
    expect(await byQuery.json()).toEqual(body);
    const byAccept = await get(server, '/readyz', { headers: { accept: 'application/json, */*' } });
    expect(await byAccept.json()).toEqual(body);
    const asText = await get(server, '/readyz', { headers: { accept: 'text/plain, application/json' } });
    expect(await asText.text()).toMatch(/^ok: /);
    fake.phase = 'draining';
    const failing = await get(server, '/readyz?format=json');
    expect(failing.status).toBe(503);
    expect(await failing.json()).toMatchObject({ ok: false, phase: 'draining' });
  });
});

describe('other paths', () => {
  it('metrics in their own content type, rendered once for a flood of scrapes', async () => {
    const { server, fake } = await start({ metricsCacheMs: 100 });
    const response = await get(server, '/metrics');
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(await response.text()).toContain('\nx 1\n');
    await Promise.all(Array.from({ length: 20 }, () => ask(server, '/metrics')));
    expect(fake.renderings).toBe(1);
    fake.nowMs += 100;
    await ask(server, '/metrics');
    expect(fake.renderings).toBe(2);
  });

  it('a defect in the metrics is a 500 and a line in the log', async () => {
    const { server, fake, lines } = await start();
    fake.metrics = () => Promise.reject(new Error('broken'));
    expect((await ask(server, '/metrics'))[0]).toBe(500);
    expect(lines).toHaveLength(1);
    expect((await ask(server, '/livez'))[0]).toBe(200);
  });

  it('404 says what there is', async () => {
    const { server } = await start();
    const [status, body] = await ask(server, '/');
    expect(status).toBe(404);
    for (const path of ['/metrics', '/livez', '/readyz', '/startupz']) expect(body).toContain(path);
  });

  it('405 says what is allowed', async () => {
    const { server } = await start();
    const response = await get(server, '/readyz', { method: 'POST', body: 'x'.repeat(100_000) });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('GET, HEAD');
    expect(await response.text()).toContain('/readyz answers GET, HEAD only');
  });

  it('HEAD answers without a body', async () => {
    const { server } = await start();
    const response = await get(server, '/livez', { method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(Number(response.headers.get('content-length'))).toBeGreaterThan(0);
    expect(await response.text()).toBe('');
  });
});

describe('slow and hostile clients', () => {
  it('garbage, long headers and bodies get an answer and are closed', async () => {
    const { server } = await start();
    for (const bytes of [
      randomBytes(2_000),
      `GET /livez HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
      'GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n',
    ]) {
      const { socket, end } = await raw(server);
      socket.write(bytes);
      expect(await end).toMatch(/^HTTP\/1.1 4\d\d/);
    }
    const { socket, end } = await raw(server);
    socket.write('GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx');
    expect(await end).toMatch(/^HTTP\/1.1 200/);
    expect((await ask(server, '/livez'))[0]).toBe(200);
  });

  it('half a request ends with its time', async () => {
    const { server } = await start({ headersTimeoutMs: 50, requestTimeoutMs: 50, checkIntervalMs: 20 });
    const { socket, end } = await raw(server);
    socket.write('GET /livez HTTP/1.1\r\nHo');
    expect(await end).toMatch(/^HTTP\/1.1 408/);
  });

  it('a client that does not read is closed', async () => {
    const { server, fake } = await start({ idleTimeoutMs: 50 });
    fake.metrics = async () => 'x'.repeat(50_000_000);
    const { socket, end } = await raw(server);
    socket.pause();
    socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');
    // Each of these is idle for the same time, one after the other.
    for (let i = 0; i < 3; i++) await (await raw(server)).end;
    socket.resume();
    expect((await end).length).toBeLessThan(50_000_000);
  });

  it('connections are limited', async () => {
    const { server } = await start({ connectionsMax: 3 });
    const held = [await raw(server), await raw(server), await raw(server)];
    const fourth = await raw(server);
    expect(await fourth.end).toBe('');
    held[0]!.socket.destroy();
    await held[0]!.end;
    expect((await ask(server, '/livez'))[0]).toBe(200);
  });

  it('close ends idle connections, and those that hang after their time', async () => {
    const { server } = await start({ closeMs: 30 });
    const hanging = await raw(server);
    hanging.socket.write('GET /livez HT');
    await server.close();
    await hanging.end;
    closers.length = 0;
  });
});
