import { describe, expect, it } from 'vitest';
import { completion, type Got, RuleBed } from './bed.js';

const JOBS = 200;
const STEPS = 10;

describe('the loss of a node with many jobs', () => {
  it('rule: bounded apply - goes on with the next leader where the one before died in the midst of it', async () => {
    const bed = await RuleBed.started(61, { nodes: 5, settings: { sweepSteps: STEPS } });
    const { leader: first } = bed;
    const [lost, ...others] = bed.followers as [(typeof bed.followers)[0], ...(typeof bed.followers)[0][]];
    const worker = await bed.serve(lost, JOBS, { resumable: false });
    for (let i = 0; i < JOBS; i++) await bed.submit(first, { runTimeoutMs: 0 });
    await bed.until(() => worker.got.length === JOBS);
    worker.session.ack(worker.got.map(({ token }) => token));
    await bed.pass(2_500);
    await bed.until(() => bed.agree());
    const running = (node: (typeof others)[0]): number => bed.core(node).counts().running;
    // How many jobs each entry of one replica's log touches.
    const touched: number[] = [];
    const witness = others[0]!;
    const core = bed.core(witness);
    const { apply } = core;
    core.apply = (...entry) => {
      const before = running(witness);
      apply.apply(core, entry);
      touched.push(Math.abs(running(witness) - before));
    };
    lost.kill();
    await bed.until(() => running(first) < JOBS - 3 * STEPS);
    // The dangerous state: some of the jobs came back, most have not, and who proposed the rest is gone.
    first.kill();
    expect(running(witness)).toBeGreaterThan(3 * STEPS);
    expect(running(witness)).toBeLessThan(JOBS);
    await bed.until(() => bed.cluster.leader !== null && running(bed.leader) === 0, 20_000);
    expect(Math.max(...touched)).toBeGreaterThan(1);
    expect(Math.max(...touched)).toBeLessThanOrEqual(STEPS);

    // Each came back once, with the attempt that was lost counted.
    const again = await bed.serve(witness, JOBS * 2, { name: 'again' });
    await bed.until(() => again.got.length === JOBS, 20_000);
    await bed.pass(1_000);
    expect(new Set(again.got.map((one) => one.job)).size).toBe(JOBS);
    expect(again.got).toHaveLength(JOBS);
    expect(again.got.every((one) => one.attempt === 2)).toBe(true);
    const stale = worker.got.slice(0, 5);
    for (const one of stale) {
      expect((await bed.outcome(again, completion(one))).error?.code).toBe('LEASE_LOST');
      const now = again.got.find((got: Got) => got.job === one.job)!;
      expect((await bed.outcome(again, completion(now))).error).toBeNull();
    }
    void first.start();
    void lost.start();
    await bed.until(() => bed.cluster.allReady() && bed.agree(), 20_000);
  });
});
