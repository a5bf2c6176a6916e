import { describe, expect, it } from 'vitest';
import type { Assignment } from '../../../src/node/index.js';
import type { SimNode } from '../../../src/sim/cluster.js';
import { SimBed } from './sim-bed.js';

/**
 * Goal: workers that call without a stream, each time at whichever node, are told the truth (docs/guarantees.md,
 * promise 5): a lease that lives is never called lost by a node that is behind, nor one that was given not applied.
 */
const REQUEST = {
  namespace: 'default',
  worker: 'w',
  functions: [{ name: 'f', concurrency: 0, runTimeoutMs: 0 }],
  maxJobs: 1,
  waitMs: 0,
  durationMs: 60_000,
  requestId: '',
};

function lease(
  node: SimNode,
  over: Partial<typeof REQUEST> = {},
  signal?: AbortSignal,
): Promise<readonly Assignment[]> {
  return node.node!.leaseJobs({ ...REQUEST, ...over }, signal === undefined ? {} : { signal });
}

function complete(node: SimNode, jobId: string, token: number) {
  const outcome = {
    kind: 'complete',
    seq: 0,
    token,
    result: Buffer.from('done'),
    resultBlob: null,
    resultContentType: '',
    dataCount: 0,
  } as const;
  return node.node!.settle('default', jobId, outcome, {});
}

describe('a lease without a request id', () => {
  it('is given, and takes other jobs each time', async () => {
    const bed = await SimBed.started(3);
    const ids = [await bed.submit(bed.leader), await bed.submit(bed.leader)];
    const first = await bed.settled(lease(bed.leader));
    const second = await bed.settled(lease(bed.leader));
    expect([...first, ...second].map((one) => one.job.id)).toEqual(ids);
    expect(await bed.settled(lease(bed.leader))).toEqual([]);
  });

  it('that its caller did not wait for takes no later job', async () => {
    const bed = await SimBed.started(3);
    const { leader } = bed;
    const [a, b] = bed.others(leader);
    for (const other of [a, b]) bed.cluster.network.cut(leader.name, other.name);
    const call = new AbortController();
    const gone = lease(leader, {}, call.signal).catch((error: unknown) => error);
    await bed.pass(20);
    call.abort();
    expect(await bed.settled(gone)).toMatchObject({ code: 'OUTCOME_UNKNOWN', outcome: 'UNKNOWN' });
    bed.cluster.network.heal();
    await bed.pass(3_000);
    const id = await bed.submit(bed.leader);
    const [mine] = await bed.settled(lease(bed.leader));
    expect(mine?.job.id).toBe(id);
  });
});

describe('a node that is behind', () => {
  /** A job leased at the leader, of which the follower knows nothing yet. */
  async function behind(): Promise<{ bed: SimBed; late: SimNode; id: string; token: number }> {
    const bed = await SimBed.started(3);
    const late = bed.follower;
    bed.cluster.network.cut(bed.leader.name, late.name);
    const id = await bed.submit(bed.leader);
    const [leased] = await bed.settled(lease(bed.leader));
    bed.cluster.network.heal();
    expect(bed.core(late).seqOfToken(leased!.token)).toBe(0);
    return { bed, late, id, token: leased!.token };
  }

  it('takes progress of a lease that it does not know yet', async () => {
    const { bed, late, id, token } = await behind();
    await bed.settled(late.node!.reportProgress(token, 1, 2, 'half', {}));
    const numerator = (): number => bed.core(bed.leader).findJob('default', id)!.progress.numerator;
    await bed.until(() => numerator() === 1);
  });

  it('takes data of a lease that it does not know yet', async () => {
    const { bed, late, id, token } = await behind();
    const chunks: string[] = [];
    const watcher = {
      state: () => {},
      progress: () => {},
      data: (_attempt: number, first: number, sent: readonly Uint8Array[]) =>
        chunks.push(...sent.map((chunk, i) => `${first + i} ${chunk}`)),
      dataGap: () => {},
      failed: () => {},
    };
    const read = { consistency: 'eventual', minRevision: 0 } as const;
    await bed.settled(bed.leader.node!.watchJob('default', id, watcher, read));
    await bed.settled(late.node!.sendData(token, 0, [Buffer.from('a')], {}));
    await bed.until(() => chunks.length > 0);
    expect(chunks).toEqual(['0 a']);
  });

  it('answers an outcome that is said again as the first time', async () => {
    const bed = await SimBed.started(3);
    const late = bed.follower;
    bed.cluster.network.cut(bed.leader.name, late.name);
    const id = await bed.submit(bed.leader);
    const [leased] = await bed.settled(lease(bed.leader));
    const first = await bed.settled(complete(bed.leader, id, leased!.token));
    expect(first.error).toBeNull();
    bed.cluster.network.heal();
    expect(bed.core(late).seqOf('default', id)).toBe(0);
    expect(await bed.settled(complete(late, id, leased!.token))).toEqual(first);
  });

  it('answers it so when the record is gone as well', async () => {
    const bed = await SimBed.started(3);
    const id = await bed.submit(bed.leader);
    const [leased] = await bed.settled(lease(bed.leader));
    const first = await bed.settled(complete(bed.leader, id, leased!.token));
    await bed.settled(bed.leader.node!.deleteJob('default', id, {}));
    expect(bed.core(bed.leader).findJob('default', id)).toBeNull();
    for (const node of [bed.leader, bed.follower]) {
      expect(await bed.settled(complete(node, id, leased!.token))).toEqual(first);
    }
    const other = await bed.settled(complete(bed.leader, id, leased!.token + 1));
    expect(other.error).toMatchObject({ code: 'LEASE_LOST' });
  });

  it('says LEASE_LOST of one that is lost', async () => {
    const { bed, late, token } = await behind();
    const progress = late.node!.reportProgress(token + 1, 1, 2, '', {});
    await expect(bed.settled(progress)).rejects.toMatchObject({ code: 'LEASE_LOST' });
  });
});
