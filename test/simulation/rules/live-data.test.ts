import { describe, expect, it } from 'vitest';
import type { JobWatcher } from '../../../src/node/index.js';
import type { SimNode } from '../../../src/sim/cluster.js';
import { completion, RuleBed } from './bed.js';

async function watched(bed: RuleBed, node: SimNode, job: string): Promise<string[]> {
  const told: string[] = [];
  const watcher: JobWatcher = {
    state: (kind, view) => told.push(`${kind} ${view.state}`),
    progress: () => {},
    data: (attempt, first, chunks) => told.push(`data ${attempt} ${first}..${first + chunks.length - 1}`),
    dataGap: (attempt, from, to) => told.push(`gap ${attempt} ${from}..${to}`),
    failed: (error) => told.push(error.code),
  };
  await bed.settled(
    node.node!.watchJob('default', job, watcher, { consistency: 'linearizable', minRevision: 0 }),
  );
  told.length = 0;
  return told;
}

const chunk = (i: number): Buffer => Buffer.from(`chunk ${i}`);

describe('data chunks between two nodes that lose each other', () => {
  it('rule: data chunks - those that never came are a gap, and the end is told within a second of them', async () => {
    const bed = await RuleBed.started(101);
    const [at, reader] = bed.others(bed.leader);
    const worker = await bed.serve(at, 1);
    const job = await bed.submit(bed.leader);
    await bed.until(() => worker.got.length === 1);
    const lease = worker.got[0]!;
    const told = await watched(bed, reader, job);
    worker.session.data(lease.token, 0, [chunk(0), chunk(1)]);
    await bed.until(() => told.length > 0);
    expect(told).toEqual(['data 1 0..1']);
    // The leader still hears both, so the outcome is known at the watcher's node, which waits for what is named there.
    bed.cut(at, reader);
    worker.session.data(lease.token, 2, [chunk(2), chunk(3)]);
    await bed.pass(50);
    const settle = worker.session.settle([{ ...completion(lease), dataCount: 4 } as never], 0);
    await bed.settled(settle);
    await bed.until(() => bed.stateOf(reader, job) === 'succeeded');
    const ended = bed.world.now;
    expect(told).toEqual(['data 1 0..1']);
    await bed.until(() => told.length === 3);
    expect(told.slice(1)).toEqual(['gap 1 2..3', 'ended succeeded']);
    expect(bed.world.now - ended).toBeLessThan(1_100);
    bed.heal();
    await bed.pass(3_000);
    expect(told).toHaveLength(3);
  });

  it('rule: data chunks - are numbered anew by the next lease, after the node of the first died with them', async () => {
    const bed = await RuleBed.started(102);
    const [at, reader] = bed.others(bed.leader);
    const worker = await bed.serve(at, 1, { resumable: false });
    const job = await bed.submit(bed.leader);
    await bed.until(() => worker.got.length === 1);
    const told = await watched(bed, reader, job);
    worker.session.data(worker.got[0]!.token, 0, [chunk(0)]);
    await bed.until(() => told.length > 0);
    bed.cut(at, reader);
    worker.session.data(worker.got[0]!.token, 1, [chunk(1), chunk(2)]);
    await bed.pass(20);
    at.kill();
    const next = await bed.serve(reader, 1, { name: 'next' });
    await bed.until(() => next.got.length === 1);
    next.session.data(next.got[0]!.token, 0, [chunk(10)]);
    await bed.settled(next.session.settle([{ ...completion(next.got[0]!), dataCount: 1 } as never], 0));
    await bed.until(() => told.includes('ended succeeded'));
    expect(told.filter((line) => line.startsWith('data') || line.startsWith('gap'))).toEqual([
      'data 1 0..0',
      'data 2 0..0',
    ]);
  });
});
