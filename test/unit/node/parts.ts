import { createBatchBuilder, createCore, encodeEntry, encodeNodeUp } from '../../../src/core/index.js';
import type { BatchBuilder, Core } from '../../../src/core/interface.js';
import type { Effects, JobSpec, JobView } from '../../../src/core/types.js';
import type { Log } from '../../../src/node/options.js';
import type { NodeStatus } from '../../../src/node/status.js';
import { EPOCH_WALL_MS, World } from '../../../src/sim/world.js';
import { createPayloadStore } from '../../../src/storage/index.js';

export const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export const NOTHING: Effects = {
  batchStart: () => false,
  batchEnd: () => {},
  batchSkipped: () => {},
  submitted: () => {},
  outcome: () => {},
  command: () => {},
  assigned: () => {},
  leaseLost: () => {},
  cancelRequested: () => {},
  job: () => {},
  sessionDetached: () => {},
  sessionClosed: () => {},
  nodeUp: () => {},
  nodeRetired: () => {},
  blobTaken: () => {},
  blobReleased: () => {},
};

/** A state machine of one cluster, with an entry per call. */
export class Machine {
  readonly core: Core = createCore({ payloads: createPayloadStore(), clusterName: 'test' });
  effects: Effects = NOTHING;
  index = 0;
  elapsedUs = 0;

  entry(batches: readonly Uint8Array[]): void {
    this.elapsedUs += 1_000;
    const wall = EPOCH_WALL_MS + this.elapsedUs / 1_000;
    this.core.apply(++this.index, encodeEntry(this.elapsedUs, wall, batches), this.effects);
  }

  /** Returns the incarnation. */
  nodeUp(name: string, nonce = 1): number {
    this.entry([encodeNodeUp({ name, nonce, grpc: '', http: '', version: '0' })]);
    return this.core.nodes().find((node) => node.name === name)!.incarnation;
  }

  batch(incarnation: number, seq: number, say: (builder: BatchBuilder) => void): Uint8Array {
    const builder = createBatchBuilder();
    say(builder);
    return builder.finish(incarnation, seq);
  }
}

/** What is known of a job, as far as watchers look at it. */
export function job(fields: Partial<JobView> & { seq: number }): JobView {
  const none = new Uint8Array(0);
  return {
    state: 'queued',
    token: 0,
    attempt: 0,
    attempts: [],
    dataCount: 0,
    payload: none,
    payloadBlob: null,
    result: none,
    progress: { numerator: 0, denominator: 0, message: '' },
    ...fields,
  } as JobView;
}

export function status(fields: Partial<NodeStatus> = {}): NodeStatus {
  return {
    role: 'follower',
    term: 1,
    leader: 'n1',
    applied: 0,
    commit: 0,
    lastIndex: 0,
    logBytes: 0,
    diskLow: false,
    draining: false,
    snapshot: 'none',
    attached: true,
    hashIndex: 0,
    hash: '',
    ...fields,
  };
}

/** Lets virtual time pass. */
export async function pass(world: World, ms: number): Promise<void> {
  await world.run(world.now + ms, () => false);
}

export function newWorld(): World {
  return new World(1);
}

/** A job of function `f`, with a fresh id asked for. */
export function jobSpec(fields: Partial<JobSpec> = {}): JobSpec {
  return {
    id: '',
    function: 'f',
    payload: Buffer.from('payload'),
    payloadBlob: null,
    contentType: '',
    metadata: [],
    priority: 1,
    runAtWall: 0,
    delayMs: 0,
    uniqueKey: '',
    retry: null,
    runTimeoutMs: 0,
    startDeadlineWall: 0,
    retentionMs: -1,
    traceparent: '',
    foreground: false,
    seed: 1,
    ...fields,
  };
}

/** What a promise comes to within so much virtual time. */
export async function settled<T>(world: World, work: Promise<T>, ms = 10_000): Promise<T> {
  let over = false;
  const end = (): void => {
    over = true;
  };
  work.then(end, end);
  if (!(await world.run(world.now + ms, () => over))) throw new Error('it still waits');
  return work;
}
