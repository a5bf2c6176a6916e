import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { expectAllDone, startWorker } from '../support/jobs.js';
import { Load } from '../support/load.js';
import { refusal } from '../support/raw.js';
import { RealCluster, type RealNode } from '../support/real-cluster.js';
import { flipBit, flipSnapshotBit, removeMiddleSegment, tearTail, walSegments } from '../support/wal.js';

/**
 * Goal: "An acknowledged submission … survives any minority of nodes lost for good" (docs/guarantees.md, promise 1),
 * also when a disk gives back something else than was written. A torn tail was never acknowledged and is cut off. With
 * damage below what was synced the node uses nothing of its log, says what to do, and neither votes nor acknowledges
 * until it was added again.
 */
const SEGMENT_BYTES = 4 * 2 ** 20;
const PAYLOAD_BYTES = 100_000;
const REPLACE_MS = 60_000;

const FLAGS = ['--segment-bytes', String(SEGMENT_BYTES), '--disk-reserve-bytes', '0'];

/** A cluster whose log has at least three segments, all nodes equal, n3 killed; and what was acknowledged. */
async function withStoppedNode(): Promise<{ cluster: RealCluster; broken: RealNode; ids: string[] }> {
  const cluster = await RealCluster.start({ flags: FLAGS });
  const client = cluster.client();
  const payload = randomBytes(PAYLOAD_BYTES / 2).toString('hex');
  const ids: string[] = [];
  while (ids.length * PAYLOAD_BYTES < SEGMENT_BYTES * 2.5) {
    const results = await Promise.all(
      Array.from({ length: 5 }, () => client.submit('reverse', payload, { resultRetentionMs: 3_600_000 })),
    );
    for (const { jobId } of results) ids.push(jobId);
  }
  await client.close();
  await cluster.agreedHash();
  const broken = (await cluster.followers())[0]!;
  await broken.end('SIGKILL');
  return { cluster, broken, ids };
}

/** The damaged node says so and waits; with one other node it makes no majority; `replace` brings it back. */
async function expectSetAsideAndReplaced(
  cluster: RealCluster,
  broken: RealNode,
  ids: string[],
  said: readonly string[],
): Promise<void> {
  broken.start();
  await broken.logged([
    ...said,
    `gearmesh cluster replace`,
    'the disk is damaged: what was on it is set aside',
    'waiting to be added',
  ]);
  expect(readdirSync(broken.directory).some((name) => name.startsWith('damaged-'))).toBe(true);
  expect(await broken.probe('/readyz')).toBe(503);
  expect(await broken.probe('/livez')).toBe(200);

  // Were its vote worth anything, two of three would be a majority.
  const [left, lost] = cluster.nodes.filter((node) => node !== broken);
  await lost!.end('SIGKILL');
  const lonely = cluster.client({ only: left!.name });
  const refused = await refusal(
    lonely.submit('reverse', 'nobody may acknowledge this', { timeoutMs: 3_000 }),
  );
  expect(['NO_LEADER', 'TIMED_OUT', 'OUTCOME_UNKNOWN']).toContain(refused.reason);
  await lonely.close();
  lost!.start();
  await lost!.ready();
  await left!.ready();

  const client = cluster.client({ first: left!.name });
  const steps: string[] = [];
  await client.cluster.replace(broken.name, {
    timeoutMs: REPLACE_MS,
    onProgress: (line) => steps.push(line),
  });
  expect(steps.at(-1)).toContain('votes');
  await broken.ready();
  await client.close();
  const worker = await startWorker(cluster, 'reverse');
  await expectAllDone(cluster, ids);
  await worker.stop();
  await cluster.agreedHash({ damaged: broken });
}

describe('the log of a node comes back other than it was written', () => {
  let cluster: RealCluster;
  afterEach(async () => {
    await cluster.remove();
  });

  it('cuts off a torn tail, says so, and catches up', async () => {
    const stopped = await withStoppedNode();
    cluster = stopped.cluster;
    const { broken, ids } = stopped;
    const before = walSegments(broken.directory).at(-1)!.batches.length;
    tearTail(broken.directory);
    expect(walSegments(broken.directory).at(-1)!.batches.length).toBe(before);
    const client = cluster.client({ first: cluster.nodes.find((node) => node !== broken)!.name });
    const load = new Load([client], 'reverse', 8);
    await load.more(200);
    broken.start();
    await broken.logged(['a torn tail of the log was cut off']);
    await broken.ready();
    await load.more(200);
    await load.stop();
    await client.close();
    expect(load.failures).toEqual([]);
    expect(readdirSync(broken.directory).some((name) => name.startsWith('damaged-'))).toBe(false);
    const worker = await startWorker(cluster, 'reverse');
    await expectAllDone(cluster, [...ids, ...load.acknowledged]);
    await worker.stop();
    await cluster.agreedHash();
  });

  it('sets itself aside when a bit in the middle is flipped', async () => {
    const stopped = await withStoppedNode();
    cluster = stopped.cluster;
    const file = flipBit(stopped.broken.directory);
    const said = [`the log is damaged at ${file}`, 'a record that was synced cannot be read'];
    await expectSetAsideAndReplaced(cluster, stopped.broken, stopped.ids, said);
  });

  it('sets itself aside when a bit of its snapshot is flipped', async () => {
    const stopped = await withStoppedNode();
    cluster = stopped.cluster;
    const file = flipSnapshotBit(stopped.broken.directory);
    const said = ['a page of the newest snapshot is damaged at', file];
    await expectSetAsideAndReplaced(cluster, stopped.broken, stopped.ids, said);
  });

  it('sets itself aside when a segment is missing', async () => {
    const stopped = await withStoppedNode();
    cluster = stopped.cluster;
    const file = removeMiddleSegment(stopped.broken.directory);
    const said = [`the log is damaged at ${file}`, 'this segment is missing'];
    await expectSetAsideAndReplaced(cluster, stopped.broken, stopped.ids, said);
  });
});
