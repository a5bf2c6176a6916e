import { describe, expect, it } from 'vitest';
import { completion, type Got, RuleBed, type TestWorker } from './bed.js';

/** So little log is kept that whoever was away needs another node's state. */
const LITTLE = { snapshotLogBytes: 8 * 1024, keepLogBytes: 1024 };

/** A cluster whose leader has its state from another node's snapshot, with workers that have waited since before. */
async function ledByOneThatSkippedLog(seed: number) {
  const bed = await RuleBed.started(seed, LITTLE);
  const [away, home] = bed.others(bed.leader);
  const workers: TestWorker[] = [];
  for (const name of ['a', 'b', 'c']) workers.push(await bed.serve(home, 1, { name }));
  const before: Got[] = [];
  const credits = new Map<TestWorker, number>();
  bed.isolate(away);
  for (let i = 0; i < 90; i++) {
    await bed.submit(bed.leader, { payload: Buffer.alloc(200) });
    await bed.until(() => workers.some((worker) => worker.got.length > 0));
    for (const worker of workers) {
      for (const one of worker.got.splice(0)) {
        before.push(one);
        const credit = (credits.get(worker) ?? 1) + 1;
        credits.set(worker, credit);
        await bed.settled(worker.session.settle([completion(one)], credit));
      }
    }
  }
  const { installs } = bed.cluster;
  bed.heal();
  await bed.until(() => bed.cluster.allReady() && bed.agree(), 20_000);
  // The state came as a snapshot, with all that is derived from it built anew.
  expect(bed.cluster.installs).toBe(installs + 1);
  await bed.lead(away);
  return { bed, away, home, workers, before };
}

describe('a leader that has its state from a snapshot', () => {
  it('rule: numbers - goes on counting tokens and jobs where the others were', async () => {
    const { bed, away, workers, before } = await ledByOneThatSkippedLog(111);
    const largest = Math.max(...before.map(({ token }) => token));
    const seqs = before.map(({ job }) => bed.seqOf(away, job));
    const after: Got[] = [];
    for (let i = 0; i < 3; i++) {
      const job = await bed.submit(away);
      expect(bed.seqOf(away, job)).toBeGreaterThan(Math.max(...seqs));
      await bed.until(() => workers.some((worker) => worker.got.length > 0));
      for (const worker of workers) after.push(...worker.got.splice(0));
    }
    const tokens = after.map(({ token }) => token);
    expect(Math.min(...tokens)).toBeGreaterThan(largest);
    expect(new Set(tokens).size).toBe(tokens.length);
    // An outcome under a token of before is fenced off by it as by any other.
    const late = { ...after[0]!, token: before.at(-1)!.token };
    const fenced = await bed.settled(
      away.node!.settle('default', late.job, { ...completion(late), seq: 0 } as never, {}),
    );
    expect(fenced.error?.code).toBe('LEASE_LOST');
  });

  it('rule: matching - goes round the workers that wait as one that saw them come', async () => {
    const { bed, away, home, workers } = await ledByOneThatSkippedLog(112);
    for (const { session } of workers) session.credit(1_000);
    await bed.until(() => bed.agree());
    const order: number[] = [];
    for (let i = 0; i < 12; i++) {
      await bed.submit(away);
      await bed.until(() => workers.some((worker) => worker.got.length > 0));
      const at = workers.findIndex((worker) => worker.got.length > 0);
      order.push(at);
      workers[at]!.got.length = 0;
      if (i === 5) await bed.lead(home);
    }
    expect(new Set(order.slice(0, 3)).size).toBe(3);
    expect(order.slice(3)).toEqual(order.slice(0, -3));
    await bed.until(() => bed.agree());
  });
});
