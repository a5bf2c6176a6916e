import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type JobReport, type SessionReport, Worker } from '../../src/worker/index.js';
import { Gate } from '../support/gate.js';
import { completeJob, refusal } from '../support/raw.js';
import { RealCluster, until } from '../support/real-cluster.js';
import { ROOT } from '../support/root.js';

/**
 * Goal: "At-least-once execution. At most one live lease per job; a lease carries a fencing token; anything said with
 * an old token is refused (FAILED_PRECONDITION, reason LEASE_LOST)" (docs/guarantees.md, promise 2). A worker whose node
 * dies goes on under the same lease through another node; of one that does not come back the jobs run elsewhere, after
 * the grace, and what it says later does not count.
 */
const GRACE_MS = 1_500;
const WAIT_MS = 20_000;

/** A worker that takes jobs and never ends them, as a process of its own. */
const STUCK = `
  import { Worker } from ${JSON.stringify(join(ROOT, 'dist/src/worker/index.js'))};
  const worker = new Worker({ endpoints: process.argv[1].split(','), order: 'listed', name: 'stuck' });
  worker.handle('hold', () => new Promise(() => {}));
  await worker.start();
`;

describe('a worker is lost', () => {
  let cluster: RealCluster;
  const processes: ChildProcess[] = [];
  afterEach(async () => {
    for (const one of processes.splice(0)) one.kill('SIGKILL');
    await cluster.remove();
  });

  for (const role of ['follower', 'leader'] as const) {
    it(`resumes through another node when its own, the ${role}, is killed in mid-job`, async () => {
      cluster = await RealCluster.start();
      const [follower] = await cluster.followers();
      const node = role === 'leader' ? await cluster.leader() : follower!;
      const begun = new Gate<number>();
      const mayEnd = new Gate();
      const sessions: SessionReport[] = [];
      const reports: JobReport[] = [];
      const worker = new Worker({ endpoints: cluster.endpointsFrom(node.name), order: 'listed' });
      worker.on('session', (report) => sessions.push(report));
      worker.on('job', (report) => reports.push(report));
      worker.handle('hold', async (_job, ctx) => {
        begun.open(ctx.leaseToken);
        await mayEnd.passed;
        expect(ctx.signal.aborted).toBe(false);
        return 'held through';
      });
      await worker.start();
      expect(sessions).toMatchObject([{ type: 'opened', node: node.name }]);

      const other = cluster.nodes.find((one) => one !== node)!;
      const client = cluster.client({ first: other.name });
      const run = client.run('hold', '', { resultRetentionMs: 60_000 });
      const token = await begun.passed;
      await node.end('SIGKILL');
      await until(WAIT_MS, () => sessions.some((one) => one.type === 'resumed'));
      const resumed = sessions.find((one) => one.type === 'resumed')!;
      expect(resumed.node).not.toBe(node.name);
      expect(resumed.sessionId).toBe(sessions[0]!.sessionId);

      mayEnd.open();
      expect(await (await run.result).text()).toBe('held through');
      const job = await client.get(run.jobId);
      expect(job).toMatchObject({ state: 'succeeded', attempt: 1 });
      expect(job.attempts).toHaveLength(1);
      await until(WAIT_MS, () => reports.some((one) => one.type === 'succeeded'));
      expect(reports.find((one) => one.type === 'succeeded')).toMatchObject({ leaseToken: token });
      expect((await client.queues.get('hold')).totals).toMatchObject({ started: 1, leasesLost: 0 });
      await worker.stop();
      await client.close();
    });
  }

  for (const withNode of [false, true]) {
    const what = withNode ? 'dies together with its node' : 'dies';
    it(`gives the job to another worker after the grace when it ${what}, and refuses the first one's word`, async () => {
      cluster = await RealCluster.start({
        flags: ['--workers-session-grace-ms', String(GRACE_MS), '--node-down-ms', '500'],
      });
      const [node, other] = await cluster.followers();
      const client = cluster.client({ first: other!.name });
      const stuck = spawn(
        process.execPath,
        ['--input-type=module', '-e', STUCK, cluster.endpointsFrom(node!.name).join(',')],
        { stdio: 'inherit' },
      );
      processes.push(stuck);
      const { jobId } = await client.submit('hold', '', { resultRetentionMs: 60_000 });
      await until(WAIT_MS, async () => (await client.get(jobId)).state === 'running');
      const first = await client.get(jobId);
      expect(first.attempts[0]).toMatchObject({ worker: 'stuck', node: node!.name });

      const begun = new Gate<number>();
      const mayEnd = new Gate();
      const second = new Worker({ endpoints: cluster.endpointsFrom(other!.name), order: 'listed' });
      second.handle('hold', async (_job, ctx) => {
        begun.open(ctx.leaseToken);
        await mayEnd.passed;
        return 'by the second';
      });
      await second.start();

      const gone = once(stuck, 'exit');
      const killedAt = performance.now();
      stuck.kill('SIGKILL');
      if (withNode) await node!.end('SIGKILL');
      await gone;
      const token = await begun.passed;
      const waitedMs = performance.now() - killedAt;
      expect(waitedMs).toBeGreaterThan(GRACE_MS * 0.95);
      expect(waitedMs).toBeLessThan(GRACE_MS + 10_000);
      expect(token).toBeGreaterThan(first.leaseToken);

      const said = { jobId, leaseToken: first.leaseToken, result: 'by the first' };
      const whileRunning = await refusal(completeJob(other!.grpc, said));
      expect(whileRunning).toMatchObject({ code: 'FAILED_PRECONDITION', reason: 'LEASE_LOST' });
      mayEnd.open();
      expect(await (await client.watch(jobId).result).text()).toBe('by the second');
      const leader = await cluster.leader();
      const afterEnd = await refusal(completeJob(leader.grpc, said));
      expect(afterEnd).toMatchObject({ code: 'FAILED_PRECONDITION', reason: 'LEASE_LOST' });
      const job = await client.get(jobId, { view: 'full' });
      expect(job).toMatchObject({ state: 'succeeded', attempt: 2 });
      expect(Buffer.from(job.result).toString()).toBe('by the second');
      expect(job.attempts.map((one) => one.error?.code ?? '')).toEqual(['WORKER_LOST', '']);
      await second.stop();
      await client.close();
    });
  }
});
