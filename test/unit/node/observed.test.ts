import { beforeEach, describe, expect, it } from 'vitest';
import type { Outcome } from '../../../src/core/types.js';
import { SimBed } from './sim-bed.js';

/** Goal: what an operator reads of leaders, waits and ends is what happened, by whichever calls. */
describe('what a node tells its metrics', () => {
  let bed: SimBed;
  let leaders: Map<string, string[]>;
  let started: number[];
  let ended: number[];

  beforeEach(async () => {
    leaders = new Map();
    started = [];
    ended = [];
    bed = await SimBed.started(31, {
      observer: (name) => ({
        leaderChanged: (leader) => leaders.set(name, [...(leaders.get(name) ?? []), leader]),
        started: (microseconds) => started.push(microseconds),
        ended: (microseconds) => ended.push(microseconds),
      }),
    });
  });

  it('names the loss of a leader as well as the next one', async () => {
    const { leader, follower } = bed;
    expect(leaders.get(follower.name)).toEqual([leader.name]);
    leader.kill();
    await bed.until(() => bed.cluster.leader !== null && bed.cluster.leader !== leader);
    const seen = leaders.get(follower.name)!;
    expect(seen.slice(0, 2)).toEqual([leader.name, '']);
    await bed.until(() => leaders.get(follower.name)!.at(-1) === bed.leader.name);
  });

  it('counts the wait of a delayed job from its being due', async () => {
    await bed.submit(bed.leader, { delayMs: 5_000 });
    await bed.pass(5_500);
    expect(started).toEqual([]);
    await bed.pass(500);
    await bed.worker(bed.leader, 1);
    await bed.until(() => started.length === 1);
    expect(started[0]).toBeGreaterThan(900_000);
    expect(started[0]).toBeLessThan(1_200_000);
  });

  it('counts the end of a job that failed for good, and not that of an attempt', async () => {
    const retry = {
      maxAttempts: 2,
      initialBackoffMs: 0,
      maxBackoffMs: 0,
      multiplierPermille: 1000,
      jitterPermille: 0,
    };
    await bed.submit(bed.leader, { retry });
    const { session, got } = await bed.worker(bed.leader, 2);
    const fail = (token: number) =>
      session.settle(
        [
          {
            kind: 'fail',
            token,
            jobId: '',
            error: { code: 'E', message: '', details: new Uint8Array(0) },
            retryable: true,
            retryAfterMs: 0,
            dataCount: 0,
          },
        ],
        2,
      );
    await bed.until(() => got.length === 1);
    await bed.settled(fail(got[0]!.token));
    expect(ended).toEqual([]);
    await bed.until(() => got.length === 2);
    await bed.settled(fail(got[1]!.token));
    expect(ended).toHaveLength(1);
    expect(started).toHaveLength(2);
  });

  it('counts jobs of the plain calls once, also where a request or an outcome is said again', async () => {
    const node = bed.leader.node!;
    const id = await bed.submit(bed.leader);
    await bed.pass(1_000);
    const request = {
      namespace: 'default',
      worker: 'w',
      requestId: 'r',
      functions: [{ name: 'f', concurrency: 0, runTimeoutMs: 0 }],
      maxJobs: 1,
      durationMs: 10_000,
      waitMs: 0,
    };
    const [first] = await bed.settled(node.leaseJobs(request, {}));
    const [again] = await bed.settled(node.leaseJobs(request, {}));
    expect(again!.token).toBe(first!.token);
    expect(started).toHaveLength(1);
    expect(started[0]).toBeGreaterThan(900_000);
    await bed.pass(2_000);
    const outcome: Outcome = {
      kind: 'complete',
      seq: 0,
      token: first!.token,
      result: new Uint8Array(0),
      resultContentType: '',
      dataCount: 0,
    };
    for (let i = 0; i < 2; i++) {
      const { error } = await bed.settled(node.settle('default', id, outcome, {}));
      expect(error).toBeNull();
    }
    expect(ended).toHaveLength(1);
    expect(ended[0]).toBeGreaterThan(2_900_000);
  });
});
