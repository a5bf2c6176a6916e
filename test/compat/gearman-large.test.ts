import { spawn } from 'node:child_process';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { packet, REQUEST_MAGIC, TYPE } from '../../src/gearman/packets.js';
import { Worker } from '../../src/worker/index.js';
import { argsOf, type Came, RawGearman } from '../support/gearman.js';
import { gearmanClients, gearmanTools } from '../support/gearman-clients.js';
import { RealCluster, type RealNode } from '../support/real-cluster.js';

/**
 * Goal: payloads and results of any size up to the limit pass between all kinds of clients and workers, at all nodes,
 * over the loss of one, while no node holds them in memory.
 */
const MIB = 1 << 20;
const WAIT_MS = 120_000;
const GROWTH_MAX = 100 * MIB;
const tools = gearmanTools();
const php = gearmanClients().find(({ name }) => name.startsWith('PHP'))!;

let cluster: RealCluster;
let folder: string;
let opened: RawGearman[] = [];
let workers: Worker[] = [];

beforeAll(async () => {
  cluster = await RealCluster.start();
  folder = mkdtempSync(join(tmpdir(), 'gearmesh-large-'));
});

afterEach(async () => {
  for (const one of opened) one.end();
  opened = [];
  for (const one of workers) await one.stop({ timeoutMs: 0 });
  workers = [];
});

afterAll(async () => {
  await cluster?.agreedHash();
  await cluster?.remove();
  rmSync(folder, { recursive: true, force: true });
});

async function at(node: RealNode | 1 | 2 | 3): Promise<RawGearman> {
  const { gearman } = typeof node === 'number' ? cluster.node(`n${node}`) : node;
  const raw = await RawGearman.open(gearman);
  raw.waitMs = WAIT_MS;
  opened.push(raw);
  return raw;
}

async function workerAt(node: RealNode | 1 | 2 | 3, fn: string): Promise<RawGearman> {
  return (await at(node)).send('CAN_DO', fn);
}

const newFunction = (): string => `large-${randomUUID()}`;
const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** What follows the first arguments, by its digest: large packets are not turned into text. */
function dataOf({ body }: Came, args: number): string {
  let from = 0;
  for (let i = 0; i < args; i++) from = body.indexOf(0, from) + 1;
  return digest(body.subarray(from));
}

/** Takes the job, checks its payload, and completes it. */
async function work(worker: RawGearman, payload: string, result: Uint8Array): Promise<string> {
  const came = await worker.grab();
  const handle = argsOf({ name: came.name, body: came.body.subarray(0, 500) }, 2)[0]!;
  expect(dataOf(came, 2)).toBe(payload);
  worker.send('WORK_COMPLETE', handle, result);
  return handle;
}

/** The most memory that each node had while `during` ran, beyond what it had before. */
async function growth(during: () => Promise<void>): Promise<number[]> {
  const nodes = [1, 2, 3].map((n) => cluster.node(`n${n}`));
  const before = nodes.map((node) => node.residentBytes());
  const most = [...before];
  const look = setInterval(() => {
    nodes.forEach((node, i) => {
      most[i] = Math.max(most[i]!, node.residentBytes());
    });
  }, 20);
  try {
    await during();
  } finally {
    clearInterval(look);
  }
  return most.map((bytes, i) => bytes - before[i]!);
}

/** Runs a program with this input. Resolves with the digest of what it wrote. */
async function run(command: readonly string[], input: Uint8Array): Promise<string> {
  const [program, ...args] = command as [string, ...string[]];
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const hash = createHash('sha256');
  child.stdout.on('data', (bytes: Buffer) => hash.update(bytes));
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  expect(code).toBe(0);
  return hash.digest('hex');
}

/** Debian's `gearman` at a node. */
function gearman(node: 1 | 2 | 3, ...args: string[]): string[] {
  const [host, port] = cluster.node(`n${node}`).gearman.split(':') as [string, string];
  return ['gearman', '-h', host, '-p', port, ...args];
}

/** Submits what it reads, and writes the result. */
const PHP = `
  $client = new GearmanClient();
  $client->addServers($argv[1]);
  $result = $client->doNormal($argv[2], stream_get_contents(STDIN));
  if ($client->returnCode() !== GEARMAN_SUCCESS) exit(1);
  fwrite(STDOUT, $result);
`;

describe('payloads and results of any size', () => {
  it('gearman point 22: 64 MiB payloads and results pass at three nodes, in bounded memory', async () => {
    const payload = randomBytes(64 * MIB);
    const result = randomBytes(64 * MIB);
    const [asked, given] = [digest(payload), digest(result)];
    // Buffers that every node has once it was busy, whatever the sizes.
    const warm = newFunction();
    const first = await at(1);
    const warming = await workerAt(2, warm);
    await first.submit('SUBMIT_JOB', warm, '', payload.subarray(0, 4 * MIB));
    await work(warming, digest(payload.subarray(0, 4 * MIB)), result.subarray(0, 4 * MIB));
    await first.next();
    const grown = await growth(async () => {
      for (const node of [1, 2, 3] as const) {
        const fn = newFunction();
        const client = await at(node);
        const worker = await workerAt(((node % 3) + 1) as 1 | 2 | 3, fn);
        const handle = await client.submit('SUBMIT_JOB', fn, '', payload);
        expect(await work(worker, asked, result)).toBe(handle);
        const done = await client.next();
        expect([done.name, dataOf(done, 1)]).toEqual(['WORK_COMPLETE', given]);
        client.end();
        worker.end();
      }
    });
    for (const bytes of grown) expect(bytes).toBeLessThan(GROWTH_MAX);
    const over = (await at(1)).send('SUBMIT_JOB', 'f', '', Buffer.alloc(64 * MIB + 1));
    expect(await over.expect('ERROR')).toMatch(/^ARGUMENT_TOO_LARGE\0/);
    await over.before();
  });

  const named = (what: string, missing: string): string =>
    missing === '' ? what : `${what} (skipped: ${missing})`;

  it.skipIf(php.missing !== '')(
    named('gearman point 22: a client in PHP sends and gets 64 MiB', php.missing),
    async () => {
      const payload = randomBytes(64 * MIB);
      const result = randomBytes(64 * MIB);
      const fn = newFunction();
      const worker = await workerAt(2, fn);
      const address = cluster.node('n1').gearman;
      const client = run(['php', '-d', 'memory_limit=-1', '-r', PHP, '--', address, fn], payload);
      await work(worker, digest(payload), result);
      expect(await client).toBe(digest(result));
    },
  );

  // Not more: the time in which this program reads its input grows with the square of that.
  it.skipIf(tools !== '')(named('gearman point 22: gearman sends 4 MiB and gets 64 MiB', tools), async () => {
    const payload = randomBytes(4 * MIB);
    const result = randomBytes(64 * MIB);
    const fn = newFunction();
    const worker = await workerAt(2, fn);
    const client = run(gearman(1, '-f', fn), payload);
    await work(worker, digest(payload), result);
    expect(await client).toBe(digest(result));
  });

  it.skipIf(tools !== '')(
    named('gearman point 22: a worker by gearman takes and gives 2 MiB', tools),
    async () => {
      const payload = randomBytes(2 * MIB);
      const fn = newFunction();
      const client = await at(1);
      const handle = await client.submit('SUBMIT_JOB', fn, '', payload);
      // It gives its command all of the input before it takes any output, which it reads as slowly; and it goes as soon as
      // it has said the result.
      const script = join(folder, 'command');
      writeFileSync(script, `#!/bin/sh\ncat > ${folder}/input && cat ${folder}/input\n`, { mode: 0o755 });
      await run(gearman(3, '-w', '-c', '1', '-f', fn, script), new Uint8Array());
      const done = await client.next();
      expect([done.name, dataOf(done, 1)]).toEqual(['WORK_COMPLETE', digest(payload)]);
      expect(done.body.indexOf(0)).toBe(handle.length);
    },
  );

  it('gearman point 22: Gearman submits, a worker over gRPC works it, and the other way round', async () => {
    const payload = randomBytes(8 * MIB);
    const result = randomBytes(8 * MIB);
    const fn = newFunction();
    const seen: string[] = [];
    const worker = new Worker({ endpoints: cluster.node('n2').grpc });
    workers.push(worker);
    worker.handle(fn, (job) => {
      seen.push(digest(job.payload));
      return result;
    });
    await worker.start();
    const client = await at(1);
    await client.submit('SUBMIT_JOB', fn, '-', payload);
    const done = await client.next();
    expect([done.name, dataOf(done, 1)]).toEqual(['WORK_COMPLETE', digest(result)]);
    expect(seen).toEqual([digest(payload)]);

    const other = newFunction();
    const raw = await workerAt(3, other);
    const sdk = cluster.client({ only: 'n1' });
    try {
      const run = sdk.run(other, payload);
      await work(raw, digest(payload), result);
      const told = await run.result;
      expect(told.size).toBe(result.length);
      expect(digest(await told.bytes())).toBe(digest(result));
    } finally {
      await sdk.close();
    }
  });
});

describe('over the loss of a node', () => {
  it('gearman point 22: a worker at a node that was away gets a payload that the node lacks', async () => {
    const payload = randomBytes(16 * MIB);
    const fn = newFunction();
    const [away] = await cluster.followers();
    await away!.end('SIGKILL');
    const leader = await cluster.leader();
    const client = await at(leader);
    const handle = await client.submit('SUBMIT_JOB', fn, '', payload);
    away!.start();
    await away!.ready();
    const worker = await workerAt(away!, fn);
    expect(await work(worker, digest(payload), payload)).toBe(handle);
    const done = await client.next();
    expect([done.name, dataOf(done, 1)]).toEqual(['WORK_COMPLETE', digest(payload)]);
    await cluster.ready();
  });

  it('gearman point 22: an upload that dies with the leader is sent again by its client', async () => {
    const payload = randomBytes(32 * MIB);
    const fn = newFunction();
    const leader = await cluster.leader();
    const half = await at(leader);
    const whole = packet(REQUEST_MAGIC, TYPE.SUBMIT_JOB_BG, [fn, 'same', payload]);
    half.bytes(whole.subarray(0, whole.length / 2));
    const sdk = cluster.client({ first: leader.name });
    let times = 0;
    let killed = Promise.resolve<unknown>(null);
    async function* source(): AsyncGenerator<Uint8Array, void, undefined> {
      const first = ++times === 1;
      for (let from = 0; from < payload.length; from += MIB) {
        if (first && from === payload.length / 2) killed = leader.end('SIGKILL');
        yield payload.subarray(from, from + MIB);
      }
    }
    try {
      const { jobId } = await sdk.submit(fn, source, { uniqueKey: 'sdk' });
      expect(times).toBeGreaterThan(1);
      await killed;
      const [other] = [1, 2, 3].map((n) => cluster.node(`n${n}`)).filter(({ running }) => running);
      const again = await at(other!);
      const handle = await again.submit('SUBMIT_JOB_BG', fn, 'same', payload);
      const worker = await workerAt(other!, fn);
      const first = await work(worker, digest(payload), payload.subarray(0, 10));
      const second = await work(worker, digest(payload), payload.subarray(0, 10));
      expect(first).not.toBe(handle);
      expect(second).toBe(handle);
      await worker.before();
      expect((await sdk.get(jobId)).payloadBlob).toMatchObject({ size: payload.length });
    } finally {
      await sdk.close();
    }
    leader.start();
    await cluster.ready();
  });

  it('gearman point 22: a large background job whose JOB_CREATED came survives the leader', async () => {
    const payload = randomBytes(16 * MIB);
    const fn = newFunction();
    const leader = await cluster.leader();
    const client = await at(leader);
    const handle = await client.submit('SUBMIT_JOB_BG', fn, '', payload);
    await leader.end('SIGKILL');
    const others = [1, 2, 3].map((n) => cluster.node(`n${n}`)).filter(({ running }) => running);
    const worker = await workerAt(others[1]!, fn);
    expect(await work(worker, digest(payload), payload)).toBe(handle);
    await worker.before();
    leader.start();
    await cluster.ready();
  });
});
