/** Clients and workers that go to the leader: how they find it, follow it, and do without. */
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Cluster } from '../../../proto/gen/gearmesh/v1/cluster.js';
import { ServeFrame } from '../../../proto/gen/gearmesh/v1/worker.js';
import { Client } from '../../../src/client/index.js';
import { Worker } from '../../../src/worker/index.js';
import { accepted, FakeNode, refusal } from './fake-server.js';

let nodes: [FakeNode, FakeNode, FakeNode];
let leader: number;
let client: Client;

/** As node number `at` sees the cluster. */
function answer(at: number, addresses = nodes.map((node) => node.address)) {
  return () =>
    Cluster.fromPartial({
      leader: leader < 0 ? '' : `n${leader}`,
      nodes: addresses.map((grpcAddress, i) => ({ name: `n${i}`, grpcAddress })),
      answeredBy: `n${at}`,
    });
}

beforeEach(async () => {
  nodes = await Promise.all([FakeNode.start(), FakeNode.start(), FakeNode.start()]);
  leader = 2;
  for (const [i, node] of nodes.entries()) node.unary.set('getCluster', answer(i));
  client = new Client({ endpoints: nodes.map((node) => node.address), order: 'leader' });
  taken = [];
  owed = [];
  silent = false;
  for (const i of nodes.keys()) void accept(i);
});

afterEach(async () => {
  for (const node of nodes) node.kill();
  await client.close();
});

/** Which node took each job, by its payload, in the order in which they came. */
let taken: [number, string][];
/** While it is true, node 2 keeps what it got without an answer. */
let silent: boolean;
let owed: (() => void)[];

/** Accepts all that comes, at every node. */
async function accept(at: number): Promise<void> {
  for (;;) {
    const stream = await nodes[at]!.submits.next();
    void (async () => {
      for (;;) {
        const frame = await stream.frames.next();
        for (const { payload } of frame.jobs) taken.push([at, Buffer.from(payload).toString()]);
        const answer = (): void => stream.send(accepted(frame));
        if (silent) owed.push(answer);
        else answer();
      }
    })();
  }
}

/** Submits until a node takes it that is wanted. */
async function until(wanted: (at: number) => boolean): Promise<void> {
  do {
    await new Promise((resolve) => setTimeout(resolve, 20));
    await client.submit('f', `${taken.length}`);
  } while (!wanted(taken.at(-1)![0]));
}

const timesAsked = (): number => nodes.reduce((sum, node) => sum + node.calls.length, 0);

describe('a client that goes to the leader', () => {
  test('asks one node where it is', async () => {
    await client.submit('f', '');
    expect(taken).toEqual([[2, '']]);
    expect(timesAsked()).toBe(1);
  });

  test('finds it among addresses that the nodes do not know', async () => {
    for (const [i, node] of nodes.entries()) {
      node.unary.set('getCluster', answer(i, ['inside:1', 'inside:2', 'inside:3']));
    }
    await client.submit('f', '');
    expect(taken).toEqual([[2, '']]);
  });

  test('goes anywhere when nobody may say', async () => {
    for (const node of nodes) {
      node.unary.set('getCluster', () => {
        throw refusal(status.PERMISSION_DENIED, 'PERMISSION_DENIED');
      });
    }
    await client.submit('f', 'a');
    await client.submit('f', 'b');
    expect(taken.map(([, text]) => text)).toEqual(['a', 'b']);
    expect(taken[0]![0]).toBe(taken[1]![0]);
  });

  test('stays where it is when the leader cannot be reached from here, and asks less and less', async () => {
    nodes[2].kill();
    for (let i = 0; i < 40; i++) {
      await client.submit('f', `${i}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(new Set(taken.map(([at]) => at)).size).toBe(1);
    expect(taken).toHaveLength(40);
    // Each look asks two nodes: after 0, 100, 200, 400, … ms.
    expect(timesAsked()).toBeLessThan(16);
  });

  test('does not wait for nodes that say nothing for longer than the call may take', async () => {
    for (const node of nodes) node.unary.delete('getCluster');
    await expect(client.get('01KDVDNW00ABCDEFGHJKMNPQRS', { timeoutMs: 100 })).rejects.toMatchObject({
      reason: 'TIMED_OUT',
    });
    // It is over then: nobody was asked for the job with the last fraction of a millisecond.
    expect(new Set(nodes.flatMap((node) => node.calls))).toEqual(new Set(['getCluster']));
  });

  test('follows it when another node leads', async () => {
    await client.submit('f', '0');
    leader = 0;
    await until((at) => at === 0);
    expect(taken.every(([at], i) => at === (i === taken.length - 1 ? 0 : 2))).toBe(true);
    expect(taken.map(([, text]) => text)).toEqual(taken.map((_, i) => `${i}`));
  });

  test('but only behind the answers that are due, so that jobs keep their order', async () => {
    await client.submit('f', '0');
    leader = 0;
    silent = true;
    const open: Promise<unknown>[] = [];
    for (let asked = timesAsked(); timesAsked() === asked; ) {
      open.push(client.submit('f', `${open.length + 1}`));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    open.push(client.submit('f', 'last'));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(taken.every(([at]) => at === 2)).toBe(true);
    silent = false;
    for (const answer of owed) answer();
    await Promise.all(open);
    expect(taken.at(-1)).toEqual([0, 'last']);
    expect(taken.map(([, text]) => text)).toEqual([
      '0',
      ...open.map((_, i) => `${i + 1}`).slice(0, -1),
      'last',
    ]);
  });

  test('goes on elsewhere when it dies, and then to the next one', async () => {
    await client.submit('f', '');
    leader = -1;
    nodes[2].kill();
    await until((at) => at !== 2);
    leader = 1 - taken.at(-1)![0];
    await until((at) => at === leader);
  });
});

test('a worker that goes to the leader opens its session there', async () => {
  const worker = new Worker({ endpoints: nodes.map((node) => node.address), order: 'leader' });
  worker.handle('f', () => {});
  const started = worker.start();
  const stream = await nodes[2].works.next();
  expect((await stream.frames.next()).hello).toBeDefined();
  stream.end();
  nodes[2].kill();
  await worker.stop({ timeoutMs: 0 });
  await started.catch(() => {});
});

test('a worker that the leader sends away goes where it says, and not back', async () => {
  const worker = new Worker({ endpoints: nodes.map((node) => node.address), order: 'leader' });
  worker.handle('f', () => {});
  const started = worker.start();
  const stream = await nodes[2].works.next();
  await stream.frames.next();
  stream.send(ServeFrame.fromPartial({ welcome: { sessionId: 1, secret: Buffer.alloc(16) } }));
  await started;
  stream.send(ServeFrame.fromPartial({ redirect: { endpoints: [nodes[1].address], reason: 'it stops' } }));
  const next = await nodes[1].works.next();
  expect((await next.frames.next()).hello).toBeDefined();
  expect(nodes[2].works.size).toBe(0);
  for (const node of nodes) node.kill();
  await worker.stop({ timeoutMs: 0 });
});
