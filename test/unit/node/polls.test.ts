import { beforeEach, describe, expect, it } from 'vitest';
import { GearmeshError } from '../../../src/core/errors.js';
import type { BatchBuilder } from '../../../src/core/interface.js';
import type { CommandResult } from '../../../src/core/types.js';
import type { LeaseRequest } from '../../../src/node/interface.js';
import type { Proposal } from '../../../src/node/origin.js';
import { Polls } from '../../../src/node/polls.js';
import type { World } from '../../../src/sim/world.js';
import { job, newWorld, pass } from './parts.js';

const SESSION = 9;

describe('a lease by a unary call', () => {
  let world: World;
  let held: number[];
  let stops: number;
  let failing: boolean;
  let polls: Polls;
  let told: string[];

  beforeEach(() => {
    world = newWorld();
    held = [];
    stops = 0;
    failing = false;
    told = [];
    const core = {
      heldTokens: () => held,
      seqOfToken: (token: number) => token,
      assignedJob: (seq: number) => job({ seq, token: seq, state: 'running', runTimeoutMs: 0 }),
      leaseEndWall: () => 0,
      session: () => ({ id: SESSION, held: held.length }),
    };
    const origin = {
      propose: (proposal: Proposal) => {
        const builder = {
          leaseRequest: () => {
            proposal.command?.(0, { refusal: null, value: SESSION, epoch: 1 } as CommandResult);
            return 0;
          },
          leaseStop: () => {
            stops += 1;
          },
        };
        if (failing) {
          proposal.failed(new GearmeshError('OUTCOME_UNKNOWN', { outcome: 'UNKNOWN' }));
          return () => false;
        }
        proposal.encode(builder as unknown as BatchBuilder);
        proposal.done(1);
        return () => false;
      },
    };
    polls = new Polls({ core: core as never, clock: world.clock(0), origin: origin as never });
  });

  function lease(name: string, waitMs: number, signal?: AbortSignal): void {
    const request: LeaseRequest = {
      namespace: 'default',
      worker: 'w',
      functions: [],
      maxJobs: 1,
      waitMs,
      durationMs: 1_000,
      requestId: 'r',
    };
    polls.lease(request, signal === undefined ? {} : { signal }).then(
      (jobs) => told.push(`${name} ${jobs.map((one) => one.token).join()}`),
      (error: GearmeshError) => told.push(`${name} ${error.code} ${error.outcome}`),
    );
  }

  function assign(token: number): void {
    held.push(token);
    polls.assigned(SESSION);
    polls.deliver();
  }

  it('gets what waits at once', async () => {
    held = [4];
    lease('a', 1_000);
    await pass(world, 1);
    expect(told).toEqual(['a 4']);
    expect(stops).toBe(0);
  });

  it('gets the first job that comes', async () => {
    lease('a', 1_000);
    await pass(world, 500);
    assign(7);
    await pass(world, 1);
    expect(told).toEqual(['a 7']);
    expect(stops).toBe(0);
  });

  it('is stopped and empty when none came in time', async () => {
    lease('a', 1_000);
    await pass(world, 1_001);
    expect(told).toEqual(['a ']);
    expect(stops).toBe(1);
  });

  it('said twice under one request id is answered twice', async () => {
    lease('first', 1_000);
    lease('again', 2_000);
    await pass(world, 500);
    assign(7);
    await pass(world, 1);
    expect(told.sort()).toEqual(['again 7', 'first 7']);
  });

  it('that gave up leaves the same request of another call alone', async () => {
    const call = new AbortController();
    lease('first', 1_000, call.signal);
    lease('again', 1_000);
    await pass(world, 1);
    call.abort();
    await pass(world, 1);
    expect(told).toEqual(['first CANCELLED NOT_APPLIED']);
    expect(stops).toBe(0);
    assign(7);
    await pass(world, 1);
    expect(told).toEqual(['first CANCELLED NOT_APPLIED', 'again 7']);
  });

  it('that gave up as a job was assigned gets the job', async () => {
    const call = new AbortController();
    lease('a', 1_000, call.signal);
    await pass(world, 1);
    held.push(7);
    call.abort();
    await pass(world, 1);
    expect(told).toEqual(['a 7']);
  });

  it('that gave up is unknown when the end of its session is', async () => {
    const call = new AbortController();
    lease('a', 1_000, call.signal);
    await pass(world, 1);
    failing = true;
    call.abort();
    await pass(world, 1);
    expect(told).toEqual(['a CANCELLED UNKNOWN']);
  });

  it('rule: skipped log - a waiting poll finds jobs whose assignment was missed', async () => {
    lease('a', 1_000);
    await pass(world, 1);
    held = [3];
    polls.resync();
    await pass(world, 1);
    expect(told).toEqual(['a 3']);
  });

  it('does not outwait its node', async () => {
    lease('a', 60_000);
    await pass(world, 1);
    polls.close();
    lease('late', 60_000);
    await pass(world, 1);
    expect(told.sort()).toEqual(['a ', 'late ']);
  });
});
