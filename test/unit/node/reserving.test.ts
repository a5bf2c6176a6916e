import { beforeEach, describe, expect, it } from 'vitest';
import type { Assignment, SessionPort, WorkerSession } from '../../../src/node/index.js';
import type { SimNode } from '../../../src/sim/cluster.js';
import { SimBed } from './sim-bed.js';

/** Goal: a node's reserved jobs, from their session's side: begun in one command per turn, seen at all nodes. */
describe('a session whose jobs are reserved', () => {
  let bed: SimBed;
  let node: SimNode;
  let got: Assignment[];
  let session: WorkerSession;

  beforeEach(async () => {
    bed = await SimBed.started(13);
    node = bed.follower;
    got = [];
    const port: SessionPort = {
      assigned: (jobs) => got.push(...jobs),
      leasesLost: () => {},
      cancelRequested: () => {},
      redirect: () => {},
      drain: () => {},
      closed: () => {},
    };
    const functions = [{ name: 'f', concurrency: 0, runTimeoutMs: 0 }];
    const open = { namespace: 'default', name: 'w', functions, resumable: false, reserves: true, credit: 10 };
    session = await bed.settled(node.node!.openSession(open, port));
  });

  const states = (at: SimNode): string[] =>
    got.map(({ job }) => `${bed.core(at).job(job.seq)!.state} ${bed.core(at).job(job.seq)!.attempt}`);
  const batches = (): number => bed.core(node).lastBatch(bed.incarnation(node));

  async function jobs(count: number): Promise<void> {
    const before = got.length;
    for (let i = 0; i < count; i++) await bed.submit(node);
    await bed.until(() => got.length === before + count);
  }

  it('rule: reserved jobs - those that are begun together are one batch, and run for all nodes', async () => {
    await jobs(5);
    await bed.until(() => bed.agree());
    for (const one of bed.cluster.nodes) expect(states(one)).toEqual(new Array(5).fill('queued 0'));
    const before = batches();
    for (const { token } of got) session.start(token);
    for (const one of bed.cluster.nodes)
      await bed.until(() => states(one).every((state) => state === 'running 1'));
    expect(batches()).toBe(before + 1);
    // They are acknowledged by that: nothing more comes of it.
    await bed.pass(20_000);
    expect(batches()).toBe(before + 1);
    expect(states(bed.leader)).toEqual(new Array(5).fill('running 1'));
  });

  it('rule: reserved jobs - a worker that is lost as soon as it began one counts as lost with it', async () => {
    await jobs(2);
    const [begun, kept] = got as [Assignment, Assignment];
    session.start(begun.token);
    session.detach();
    await bed.until(() => bed.core(bed.leader).session(session.id) === null);
    expect(bed.core(bed.leader).job(begun.job.seq)!.attempts).toMatchObject([
      { number: 1, error: { code: 'WORKER_LOST' } },
    ]);
    expect(bed.core(bed.leader).job(kept.job.seq)!.attempts).toEqual([]);
  });

  it('rule: reserved jobs - an outcome that comes soon takes the place of the start', async () => {
    await jobs(2);
    const [done, back] = got as [Assignment, Assignment];
    for (const { token } of got) session.start(token);
    const complete = { kind: 'complete', token: done.token, jobId: done.job.id } as const;
    const results = await bed.settled(
      session.settle(
        [
          { ...complete, result: Buffer.from('r'), resultBlob: null, resultContentType: '', dataCount: 0 },
          { kind: 'release', token: back.token, jobId: back.job.id, reason: 'not now' },
        ],
        0,
      ),
    );
    expect(results.map(({ error }) => error)).toEqual([null, null]);
    await bed.until(() => bed.agree());
    expect(bed.core(bed.leader).job(done.job.seq)).toMatchObject({ state: 'succeeded', attempt: 1 });
    // It was given back before anybody knew that it had begun.
    expect(bed.core(bed.leader).job(back.job.seq)).toMatchObject({ attempt: 0 });
  });

  it('rule: reserved jobs - what nobody begins comes back by a timer of the core, ahead of the queue', async () => {
    await jobs(1);
    await bed.pass(6_000);
    const [first, again] = got as [Assignment, Assignment];
    // It still has credit, and is the one that takes it.
    expect(again.job.seq).toBe(first.job.seq);
    expect(again.token).toBeGreaterThan(first.token);
    expect(bed.core(bed.leader).job(first.job.seq)!.attempt).toBe(0);
  });
});
