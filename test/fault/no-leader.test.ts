import type { MethodDefinition } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { ClusterServiceService } from '../../proto/gen/gearmesh/v1/cluster.js';
import {
  JobServiceService,
  JobSpec,
  RunJobRequest,
  SubmitJobRequest,
} from '../../proto/gen/gearmesh/v1/job.js';
import { QueueServiceService } from '../../proto/gen/gearmesh/v1/queue.js';
import {
  CompleteJobRequest,
  LeaseJobsRequest,
  WorkerServiceService,
} from '../../proto/gen/gearmesh/v1/worker.js';
import { rawCall, refusal } from '../support/raw.js';
import { RealCluster, until } from '../support/real-cluster.js';

/**
 * Goal: "a client is always told which of three happened" (docs/guarantees.md, promise 5). Where no majority runs, a
 * call cannot have been done, and its caller is told so: UNAVAILABLE, NOT_APPLIED. A call that is patient enough is
 * done once there is a leader again.
 */
const DEADLINE_MS = 1_500;
const WAIT_MS = 20_000;

describe('two of three nodes are gone', () => {
  let cluster: RealCluster;
  afterEach(async () => {
    await cluster.remove();
  });

  it.each(['the leader', 'a follower'])(
    'and %s that is left says of each call that it was not done',
    async (who) => {
      cluster = await RealCluster.start();
      const leader = await cluster.leader();
      const left = who === 'the leader' ? leader : cluster.nodes.find((node) => node !== leader)!;
      const gone = cluster.nodes.filter((node) => node !== left);
      const client = cluster.client({ only: left.name });
      const { jobId } = await client.submit('held', 'x');
      const [leased] = await rawCall(
        left.grpc,
        WorkerServiceService.leaseJobs,
        LeaseJobsRequest.fromPartial({ workerName: 'w', functions: ['held'], requestId: 'one' }),
        WAIT_MS,
      );
      const { leaseToken } = leased!.assignments[0]!;
      await Promise.all(gone.map((node) => node.end('SIGKILL')));
      await until(WAIT_MS, async () => (await cluster.info(left.name)).leader === '');

      const told: Record<string, string> = {};
      const calls: Promise<void>[] = [];
      const ask = <Q, A>(method: MethodDefinition<Q, A>, request: Q): void => {
        const call = refusal(rawCall(left.grpc, method, request, DEADLINE_MS));
        calls.push(
          call.then(({ code, reason, outcome }) => {
            told[method.path.split('/')[2]!] = `${code} ${reason} ${outcome}`;
          }),
        );
      };
      const job = JobSpec.fromPartial({ function: 'other' });
      ask(JobServiceService.submitJob, SubmitJobRequest.fromPartial({ job }));
      ask(JobServiceService.runJob, RunJobRequest.fromPartial({ job }));
      ask(JobServiceService.getJob, { namespace: '', jobId, view: 0, consistency: 0, minRevision: '' });
      ask(JobServiceService.cancelJob, { namespace: '', jobId, reason: '', grace: undefined });
      ask(QueueServiceService.pauseQueue, { namespace: '', function: 'held' });
      const poll = { workerName: 'w', functions: ['other'], requestId: 'two' };
      ask(WorkerServiceService.leaseJobs, LeaseJobsRequest.fromPartial(poll));
      ask(WorkerServiceService.completeJob, CompleteJobRequest.fromPartial({ jobId, leaseToken }));
      ask(ClusterServiceService.transferLeadership, { node: left.name });
      ask(ClusterServiceService.replaceNode, { node: gone[0]!.name });
      await Promise.all(calls);
      expect(calls).toHaveLength(9);
      const wanted = Object.fromEntries(
        Object.keys(told).map((name) => [name, 'UNAVAILABLE NO_LEADER NOT_APPLIED']),
      );
      expect(told).toEqual(wanted);

      const patient = rawCall(
        left.grpc,
        JobServiceService.submitJob,
        SubmitJobRequest.fromPartial({ job }),
        WAIT_MS,
      );
      const transfer = rawCall(
        left.grpc,
        ClusterServiceService.transferLeadership,
        { node: left.name },
        WAIT_MS,
      );
      gone[0]!.start();
      const [submitted] = await patient;
      expect((await transfer)[0]).toMatchObject({ leader: left.name });
      // What was called not done was not done.
      const queue = await client.queues.get('other');
      expect(queue.totals).toMatchObject({ submitted: 1, started: 0 });
      expect((await client.get(submitted!.jobId)).state).toBe('queued');
      expect(await client.get(jobId)).toMatchObject({ state: 'running' });
      await client.close();
    },
  );
});
