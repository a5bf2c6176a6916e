import { beforeEach, describe, expect, it } from 'vitest';
import type { SimNode } from '../../../src/sim/cluster.js';
import { jobSpec } from './parts.js';
import { SimBed } from './sim-bed.js';

const SETTINGS = { sessionGraceMs: 3_000 };

/** Goal: what the replicated state says of waiting clients is what the nodes' connections know, come what may. */
describe('clients of a node that wait for jobs', () => {
  let bed: SimBed;
  let node: SimNode;

  beforeEach(async () => {
    bed = await SimBed.started(11, { settings: SETTINGS });
    node = bed.follower;
  });

  async function waits(at: SimNode, uniqueKey = 'u'): Promise<number> {
    const spec = jobSpec({ id: at.node!.newJobId(), uniqueKey, waits: true });
    const [result] = await bed.settled(at.node!.submit('default', [spec], { allOrNothing: false }));
    return result!.seq;
  }

  const seen = (seq: number, at = bed.leader): string =>
    `${bed.core(at).job(seq)?.state} ${bed.core(at).job(seq)?.waiters}`;

  function cutOff(away: SimNode): void {
    for (const other of bed.others(away)) {
      bed.cluster.network.cut(away.name, other.name);
      bed.cluster.network.cut(other.name, away.name);
    }
  }

  it("rule: waiters - are the cluster's: the last one drops the job, at whatever node", async () => {
    const seq = await waits(node);
    expect(await waits(bed.leader)).toBe(seq);
    await bed.until(() => seen(seq, node) === 'queued 2');
    node.node!.unwait(seq);
    await bed.until(() => seen(seq) === 'queued 1');
    node.node!.unwait(seq);
    bed.leader.node!.unwait(seq);
    await bed.until(() => seen(seq) === 'cancelled 0');
    await bed.until(() => bed.agree());
  });

  it('rule: waiters - many that leave in one turn cost one command, and none where the job has ended', async () => {
    const seqs: number[] = [];
    for (let i = 0; i < 40; i++) seqs.push(await waits(node, `u${i}`));
    const before = bed.core(bed.leader).lastBatch(bed.incarnation(node));
    for (const seq of seqs) node.node!.unwait(seq);
    await bed.until(() => seqs.every((seq) => seen(seq) === 'cancelled 0'));
    expect(bed.core(bed.leader).lastBatch(bed.incarnation(node))).toBe(before + 1);
    const { session, got } = await bed.worker(node, 1);
    const seq = await waits(node);
    await bed.until(() => got.length === 1);
    const { token, job } = got[0]!;
    const complete = { kind: 'complete', token, jobId: job.id, result: Buffer.alloc(0) } as const;
    await bed.settled(
      session.settle([{ ...complete, resultBlob: null, resultContentType: '', dataCount: 0 }], 0),
    );
    const ended = bed.core(bed.leader).lastBatch(bed.incarnation(node));
    node.node!.unwait(seq);
    await bed.pass(1_000);
    expect(bed.core(bed.leader).lastBatch(bed.incarnation(node))).toBe(ended);
  });

  it('rule: waiters - a submission that is carried out after its client gave up leaves no one waiting', async () => {
    const abort = new AbortController();
    const id = node.node!.newJobId();
    const spec = jobSpec({ id, waits: true });
    const call = node.node!.submit('default', [spec], { allOrNothing: false, signal: abort.signal });
    // On its way to the leader: it cannot be taken back.
    await bed.pass(0.2);
    expect(bed.core(node).findJob('default', id)).toBeNull();
    abort.abort();
    await expect(bed.settled(call)).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    const seq = (): number => bed.core(bed.leader).seqOf('default', id);
    await bed.until(() => seq() !== 0);
    await bed.until(() => seen(seq()) === 'cancelled 0');
  });

  it('rule: waiters - a node that was given up too early says again who waits there', async () => {
    const seq = await waits(node);
    const left = await waits(node, 'left');
    const before = bed.incarnation(node);
    cutOff(node);
    const down = (): boolean =>
      !bed
        .core(bed.others(node)[0])
        .nodes()
        .some(({ name, up }) => name === node.name && up);
    await bed.until(down);
    node.node!.unwait(left);
    bed.cluster.network.heal();
    await bed.until(() => bed.incarnation(node) > before && node.node!.phase === 'ready');
    await bed.until(() => seen(seq) === 'queued 2');
    expect(seen(left)).toBe('queued 1');
    await bed.until(() => seen(left) === 'cancelled 0');
    expect(seen(seq)).toBe('queued 1');
    node.node!.unwait(seq);
    await bed.until(() => seen(seq) === 'cancelled 0');
    await bed.until(() => bed.agree());
  });

  it("rule: waiters - a node that does not come back is waited for a grace, then its clients' jobs are dropped", async () => {
    const seq = await waits(node);
    const shared = await waits(node, 'shared');
    expect(await waits(bed.leader, 'shared')).toBe(shared);
    node.kill();
    await bed.pass(3_000);
    expect(seen(seq)).toBe('queued 1');
    await bed.until(() => seen(seq) === 'cancelled 0');
    expect(seen(shared)).toBe('queued 1');
  });
});
