import { beforeEach, describe, expect, it } from 'vitest';
import type { JobEventKind, JobView } from '../../../src/core/types.js';
import type { JobWatcher } from '../../../src/node/interface.js';
import { LiveData } from '../../../src/node/live-data.js';
import { Watching } from '../../../src/node/watching.js';
import type { World } from '../../../src/sim/world.js';
import { job, newWorld, pass } from './parts.js';

const SEQ = 5;

/** Two nodes that apply the same job; frames between them are lost while `cut`. */
class Side {
  readonly liveData: LiveData;
  readonly watching: Watching;
  jobs = new Map<number, JobView>();
  cut = false;

  constructor(world: World, other: () => Side) {
    const clock = world.clock(0);
    this.liveData = new LiveData({
      clock,
      peers: () => ['other'],
      send: (_, bytes) => {
        if (!this.cut) other().liveData.frame('other', bytes);
        return !this.cut;
      },
    });
    const core = {
      get wall() {
        return clock.wallMs();
      },
      job: (seq: number) => this.jobs.get(seq) ?? null,
      stateOf: (seq: number) => this.jobs.get(seq)?.state ?? null,
    };
    this.watching = new Watching({ core: core as never, clock, liveData: this.liveData });
  }

  become(view: JobView, kind: JobEventKind): void {
    this.jobs.set(view.seq, view);
    if (kind === 'ended') this.liveData.jobEnded(view.seq);
    this.watching.job(view.seq, kind);
  }
}

describe('a job that is older than its watch', () => {
  const failed = (number: number) => ({
    number,
    worker: `w${number}`,
    node: 'n1',
    startedWall: 1,
    endedWall: 2,
    error: { code: `E${number}`, message: '', details: new Uint8Array(0) },
  });
  const now = { ...failed(3), endedWall: 0, error: null };

  function told(view: JobView): string[] {
    const lines: string[] = [];
    const side: Side = new Side(newWorld(), () => side);
    side.jobs.set(SEQ, view);
    side.watching.add(view, {
      state: (kind, seen) => {
        const last = seen.attempts.at(-1);
        const why =
          kind === 'attempt-failed' ? ` ${last?.worker} ${last?.error?.code} ${seen.error?.code}` : '';
        lines.push(`${kind} ${seen.attempt} ${seen.state}${why}`);
      },
      progress: () => {},
      data: () => {},
      dataGap: () => {},
      failed: () => {},
    });
    return lines;
  }

  it('tells of the attempts that failed before it ran', () => {
    const attempts = [failed(1), failed(2), now];
    expect(told(job({ seq: SEQ, state: 'running', token: 9, attempt: 3, attempts }))).toEqual([
      'accepted 3 running',
      'attempt-failed 1 queued w1 E1 E1',
      'attempt-failed 2 queued w2 E2 E2',
      'started 3 running',
    ]);
  });

  it('tells of the attempt after which it waits, with its time', () => {
    expect(told(job({ seq: SEQ, state: 'scheduled', attempt: 1, attempts: [failed(1)] }))).toEqual([
      'accepted 1 scheduled',
      'attempt-failed 1 scheduled w1 E1 E1',
    ]);
  });

  it('leaves the last attempt of a failed one to its end', () => {
    const attempts = [failed(1), failed(2)];
    expect(told(job({ seq: SEQ, state: 'failed', attempt: 2, attempts }))).toEqual([
      'accepted 2 failed',
      'attempt-failed 1 queued w1 E1 E1',
      'ended 2 failed',
    ]);
  });
});

describe('data of a running job', () => {
  let world: World;
  let worker: Side;
  let client: Side;
  let told: string[];
  const watcher: JobWatcher = {
    state: (kind) => told.push(kind),
    progress: (numerator) => told.push(`progress ${numerator}`),
    data: (attempt, first, chunks) => told.push(`data ${attempt} ${first} ${Buffer.concat([...chunks])}`),
    dataGap: (_, from, to) => told.push(`gap ${from}-${to}`),
    failed: (error) => told.push(`failed ${error.code}`),
  };
  const running = (token: number, attempt = 1): JobView =>
    job({ seq: SEQ, state: 'running', token, attempt });
  const ended = (dataCount: number): JobView =>
    job({ seq: SEQ, state: 'succeeded', attempt: 1, dataCount, finishedWall: world.clock(0).wallMs() });

  beforeEach(() => {
    world = newWorld();
    told = [];
    worker = new Side(world, () => client);
    client = new Side(world, () => worker);
  });

  function both(view: JobView, kind: JobEventKind): void {
    worker.become(view, kind);
    client.become(view, kind);
  }

  function say(token: number, first: number, ...chunks: string[]): void {
    worker.liveData.data(
      SEQ,
      token,
      first,
      chunks.map((chunk) => Buffer.from(chunk)),
    );
  }

  it('reaches a watcher at another node in order and once', () => {
    both(running(1), 'started');
    client.watching.add(running(1), watcher);
    say(1, 0, 'a', 'b');
    say(1, 1, 'b', 'c');
    both(ended(3), 'ended');
    expect(told).toEqual(['accepted', 'started', 'data 1 0 ab', 'data 1 2 c', 'ended']);
    expect(client.watching.size).toBe(0);
  });

  it("rule: data chunks - they are kept at the worker's node and replayed to a watcher that comes late", () => {
    both(running(1), 'started');
    say(1, 0, 'a', 'b');
    client.watching.add(running(1), watcher);
    expect(told).toEqual(['accepted', 'started', 'data 1 0 ab']);
  });

  it('rule: data chunks - what is kept for replay is bounded, and what is gone from it is a gap', () => {
    both(running(1), 'started');
    const chunk = 'x'.repeat(60 * 1024);
    say(1, 0, ...Array.from({ length: 10 }, () => chunk));
    client.watching.add(running(1), watcher);
    const replayed = told.filter((one) => one.startsWith('data')).join().length;
    expect(replayed).toBeGreaterThan(180 * 1024);
    expect(replayed).toBeLessThan(257 * 1024);
    expect(told.slice(0, 3)).toEqual(['accepted', 'started', 'gap 0-5']);
    expect(told[3]).toMatch(/^data 1 6 x/);
    expect(told).toHaveLength(4);
  });

  it('rule: data chunks - those that are empty count as well', () => {
    both(running(1), 'started');
    for (let first = 0; first < 100_000; first += 1_000) {
      say(1, first, ...Array.from({ length: 1_000 }, () => ''));
    }
    client.watching.add(running(1), watcher);
    const gap = Number(/^gap 0-(\d+)$/.exec(told[2]!)![1]);
    expect(100_000 - 1 - gap).toBeLessThanOrEqual(4_096);
    expect(told).toHaveLength(4);
  });

  it('waits for its attempt where that is applied later', () => {
    worker.become(running(1), 'started');
    client.watching.add(job({ seq: SEQ }), watcher);
    say(1, 0, 'a');
    expect(told).toEqual(['accepted']);
    client.become(running(1), 'started');
    expect(told).toEqual(['accepted', 'started', 'data 1 0 a']);
  });

  it('rule: data chunks - they are numbered per lease: those of an older one are dropped', () => {
    both(running(2, 2), 'started');
    client.watching.add(running(2, 2), watcher);
    client.watching.data(SEQ, 1, 0, [Buffer.from('old')]);
    expect(told).toEqual(['accepted', 'started']);
  });

  it('rule: data chunks - what was lost is a gap, before what comes next', () => {
    both(running(1), 'started');
    client.watching.add(running(1), watcher);
    worker.cut = true;
    say(1, 0, 'a');
    worker.cut = false;
    say(1, 1, 'b');
    expect(told.slice(2)).toEqual(['gap 0-0', 'data 1 1 b']);
  });

  it('rule: data chunks - what never comes is a gap within a second, so that nobody waits for ever', async () => {
    both(running(1), 'started');
    client.watching.add(running(1), watcher);
    worker.cut = true;
    say(1, 0, 'a');
    both(ended(1), 'ended');
    await pass(world, 900);
    expect(told).toEqual(['accepted', 'started']);
    await pass(world, 200);
    expect(told).toEqual(['accepted', 'started', 'gap 0-0', 'ended']);
    expect(client.watching.size).toBe(0);
  });

  it('goes on where it stood when the connection comes back', () => {
    both(running(1), 'started');
    client.watching.add(running(1), watcher);
    say(1, 0, 'a');
    worker.liveData.peerLost('other');
    say(1, 1, 'b');
    client.liveData.peerConnected('other');
    expect(told.slice(2)).toEqual(['data 1 0 a', 'data 1 1 b']);
  });

  it('is forgotten a moment after the job ended', async () => {
    both(running(1), 'started');
    client.watching.add(running(1), watcher);
    say(1, 0, 'a');
    expect(worker.liveData.streams).toBe(1);
    both(ended(1), 'ended');
    await pass(world, 3_000);
    expect(worker.liveData.streams).toBe(0);
  });

  it('rule: skipped log - watchers learn of ends that were missed', async () => {
    both(running(1), 'started');
    worker.watching.add(running(1), watcher);
    say(1, 0, 'a');
    worker.jobs.set(SEQ, ended(1));
    worker.watching.resync();
    await pass(world, 3_000);
    expect(told.at(-1)).toBe('ended');
    expect(worker.liveData.streams).toBe(0);
  });

  it('in a job that is deleted or gone ends its watch with an error', () => {
    client.watching.add(job({ seq: SEQ }), watcher);
    client.jobs.clear();
    client.watching.resync();
    expect(told).toEqual(['accepted', 'failed NOT_FOUND']);
  });

  it('kept before its attempt is known is bounded', () => {
    client.watching.add(job({ seq: SEQ }), watcher);
    const chunk = Buffer.alloc(400 * 1024);
    for (let i = 0; i < 4; i++) client.watching.data(SEQ, 1, i, [chunk]);
    client.become(running(1), 'started');
    expect(told.filter((one) => one.startsWith('data'))).toHaveLength(2);
  });

  it('is not sent any more once the watch is closed', () => {
    both(running(1), 'started');
    const watch = client.watching.add(running(1), watcher);
    watch.close();
    say(1, 0, 'a');
    expect(told).toEqual(['accepted', 'started']);
    expect(client.watching.size).toBe(0);
  });
});
